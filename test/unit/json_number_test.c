/*
 * json_number_test.c
 *	  Numbers that every reader takes for the same, and the others.
 *
 * Links: src/json_number.c
 */
#include "exact_copy.h"
#include "json_number.h"
#include "tap.h"

static const char *const plain[] = {
	"0", "-0", "1", "-1", "9007199254740993", "999999999999999999", "9223372036854775807", "-9223372036854775808", "1000000000000000000",
	"0.1", "-0.1", "0.0", "123456789012.345", "0.123456789012345", "0.000000000000000123456789012345", "1.5e10", "1E+5", "1e-5", "1e307", "1e308", "1.7e308", "-1.79769313486231e308", "1e-307", "-1.23456789012345e-307",
	"0e5", "0.000e-3", "100000000000.000", "1e15", "0.5e38", "0.0099e40", "-0.5e308",
};

static const char *const longer[] = {
	"9223372036854775808", "-9223372036854775809", "10000000000000000000", "12345678901234567890123", "1234567890123456.0", "0.1234567890123456", "1.000000000000000", "1.234567890123456e5",
	"1e309", "1.8e308", "9e-308", "5e-324", "2.2250738585072e-308", "-1e400", "1e999", "1e-400", "1e-324", "2e-400",
	"0.5e308", "0.5e39", "0.1e39", "0.002e41",
	/* No JSON numbers. */
	"", "-", "NaN", "Infinity", "-Infinity", "01", "-01", "1.", ".5", "1e", "1e+", "+1", "1.5.5", "1e5e5", "1x", " 1", "1 ", "0x10", "--1", "1-2",
};

static const char *const too_long[] = {
	"1e1000", "-1e1000", "10e999", "0.1e1001", "1e-1001", "0.1e-1000", "1e99999999999999999999", "1e-99999999999999999999", "0e1001",
};

static void
test_all(const char *const *numbers, size_t count, JsonNumber expected, const char *what)
{
	for (size_t i = 0; i < count; i++)
	{
		char	   *copy = exact_copy(numbers[i], strlen(numbers[i]));

		ok(json_number_judge(copy, strlen(numbers[i])) == expected, "\"%s\" %s", numbers[i], what);
		free(copy);
	}
}

/* `head`, so many zeros or sevens, `tail`. */
static JsonNumber
judge_filled(const char *head, char fill, size_t count, const char *tail)
{
	size_t		length = strlen(head) + count + strlen(tail);
	char	   *text = malloc(length + 1);
	JsonNumber	judged;
	char	   *copy;

	memcpy(text, head, strlen(head));
	memset(text + strlen(head), fill, count);
	strcpy(text + strlen(head) + count, tail);
	copy = exact_copy(text, length);
	judged = json_number_judge(copy, length);
	free(copy);
	free(text);
	return judged;
}

int
main(void)
{
	test_all(plain, LENGTH_OF(plain), JSON_NUMBER_PLAIN, "is plain");
	test_all(longer, LENGTH_OF(longer), JSON_NUMBER_LONG, "travels as a string");
	test_all(too_long, LENGTH_OF(too_long), JSON_NUMBER_TOO_LONG, "has too many digits");
	ok(judge_filled("", '7', 1000, "") == JSON_NUMBER_LONG && judge_filled("", '7', 1001, "") == JSON_NUMBER_TOO_LONG, "1000 digits are the limit before the point");
	ok(judge_filled("0.", '7', 1000, "") == JSON_NUMBER_LONG && judge_filled("0.", '7', 1001, "") == JSON_NUMBER_TOO_LONG, "1000 digits are the limit behind the point");
	ok(judge_filled("0.", '0', 300, "1") == JSON_NUMBER_PLAIN, "a small number without an exponent is plain");
	ok(judge_filled("0.", '0', 350, "1") == JSON_NUMBER_LONG, "a small number that is no double is not plain");
	ok(judge_filled("0.", '0', 399, "") == JSON_NUMBER_LONG, "zeros behind the point are digits of a length");
	ok(judge_filled("1e", '0', 300, "5") == JSON_NUMBER_PLAIN && judge_filled("1e", '0', 500, "5") == JSON_NUMBER_LONG, "an exponent may begin with zeros, within a length");
	ok(judge_filled("1", '0', 1000000, "") == JSON_NUMBER_TOO_LONG, "a number of a million digits has too many");
	return tap_done();
}
