/*
 * rfc3339.c
 *	  See rfc3339.h.
 */
#include "rfc3339.h"

#define USECS			INT64_C(1000000)
#define DAY_SECONDS		INT64_C(86400)

/* What is left to be read. */
typedef struct Text
{
	const char *at;
	const char *end;
} Text;

static bool
take_one_of(Text *text, const char *one_of)
{
	if (text->at == text->end)
		return false;
	for (; *one_of != '\0'; one_of++)
	{
		if (*text->at == *one_of)
		{
			text->at++;
			return true;
		}
	}
	return false;
}

static bool
is_at_digit(const Text *text)
{
	return text->at < text->end && *text->at >= '0' && *text->at <= '9';
}

/* Exactly so many digits, from least to most. */
static bool
parse_number(Text *text, int digits, int least, int most, int *value)
{
	*value = 0;
	for (; digits > 0; digits--)
	{
		if (!is_at_digit(text))
			return false;
		*value = *value * 10 + (*text->at++ - '0');
	}
	return *value >= least && *value <= most;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

/* From 2000-01-01 on; years begin in March, so that the leap day comes last. */
static int64_t
day_number(int year, int month, int day)
{
	int64_t		y = month > 2 ? year : year - 1;
	int64_t		m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 730425;
}

static bool
parse_fraction(Text *text, int64_t *microseconds)
{
	int64_t		unit = USECS / 10;

	*microseconds = 0;
	if (!take_one_of(text, "."))
		return true;
	if (!is_at_digit(text))
		return false;
	for (; is_at_digit(text); text->at++, unit /= 10)
		*microseconds += unit * (*text->at - '0');
	return true;
}

static bool
parse_offset(Text *text, int64_t *seconds)
{
	bool		west = text->at < text->end && *text->at == '-';
	int			hours;
	int			minutes;

	*seconds = 0;
	if (take_one_of(text, "Zz"))
		return true;
	if (!take_one_of(text, "+-") || !parse_number(text, 2, 0, 23, &hours) || !take_one_of(text, ":") || !parse_number(text, 2, 0, 59, &minutes))
		return false;
	*seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

bool
rfc3339_parse(const char *string, size_t length, int64_t *at)
{
	Text		text = {string, string + length};
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int64_t		microseconds;
	int64_t		zone;
	int64_t		seconds;

	if (!parse_number(&text, 4, 0, 9999, &year) || !take_one_of(&text, "-") || !parse_number(&text, 2, 1, 12, &month) || !take_one_of(&text, "-") ||
		!parse_number(&text, 2, 1, days_in_month(year, month), &day) || !take_one_of(&text, "Tt ") ||
		!parse_number(&text, 2, 0, 23, &hour) || !take_one_of(&text, ":") || !parse_number(&text, 2, 0, 59, &minute) || !take_one_of(&text, ":") ||
		!parse_number(&text, 2, 0, 60, &second) || !parse_fraction(&text, &microseconds) || !parse_offset(&text, &zone) || text.at != text.end)
		return false;
	seconds = day_number(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - zone;
	if (seconds < RFC3339_BEGIN / USECS || seconds >= RFC3339_END / USECS)
		return false;
	*at = seconds * USECS + microseconds;
	return true;
}
