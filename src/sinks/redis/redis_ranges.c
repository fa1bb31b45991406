/*
 * redis_ranges.c
 *	  Sets of audit_ids as a few ranges: which rows were published.
 *
 * A set has room for ADMIN_SINK_MOST_RANGES.  Where it would need more, the two that are nearest to each
 * other become one.  So a set may hold more than was added to it, never less: a row
 * that was committed late keeps a range of its own, far below the others.
 */
#include "postgres.h"

#include "sinks/redis/redis_ranges.h"
#include "sinks/redis/redis_types.h"

/* Makes one of two neighbours. */
static void
ranges_join(AdminSinkRange *ranges, int *count, int lower)
{
	ranges[lower].last = Max(ranges[lower].last, ranges[lower + 1].last);
	memmove(&ranges[lower + 1], &ranges[lower + 2], (*count - lower - 2) * sizeof(AdminSinkRange));
	(*count)--;
}

/* The lower one of the two neighbours that are nearest to each other. */
static int
ranges_nearest(const AdminSinkRange *ranges, int count)
{
	int			nearest = 0;

	for (int i = 1; i < count - 1; i++)
	{
		if (ranges[i + 1].first - ranges[i].last < ranges[nearest + 1].first - ranges[nearest].last)
			nearest = i;
	}
	return nearest;
}

void
redis_ranges_add(AdminSinkRanges *set, int64 first, int64 last)
{
	AdminSinkRange ranges[ADMIN_SINK_MOST_RANGES + 1];
	int			count = set->count;
	int			at = 0;

	memcpy(ranges, set->ranges, count * sizeof(AdminSinkRange));
	while (at < count && ranges[at].first < first)
		at++;
	memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(AdminSinkRange));
	ranges[at] = (AdminSinkRange)
	{
		first, last
	};
	count++;
	for (int i = Max(at - 1, 0); i < count - 1;)
	{
		if (ranges[i].last >= ranges[i + 1].first - 1)
			ranges_join(ranges, &count, i);
		else
			i++;
	}
	if (count > ADMIN_SINK_MOST_RANGES)
		ranges_join(ranges, &count, ranges_nearest(ranges, count));
	memcpy(set->ranges, ranges, count * sizeof(AdminSinkRange));
	set->count = count;
}

void
redis_ranges_add_all(AdminSinkRanges *set, const AdminSinkRanges *more)
{
	for (int i = 0; i < more->count; i++)
		redis_ranges_add(set, more->ranges[i].first, more->ranges[i].last);
}

void
redis_ranges_drop_below(AdminSinkRanges *set, int64 audit_id)
{
	int			passed = 0;

	while (passed < set->count - 1 && set->ranges[passed].last < audit_id)
		passed++;
	set->count -= passed;
	memmove(set->ranges, &set->ranges[passed], set->count * sizeof(AdminSinkRange));
}

int
redis_ranges_write(const AdminSinkRanges *set, char *text, Size size)
{
	int			used = 0;

	text[0] = '\0';
	for (int i = 0; i < set->count; i++)
		used += snprintf(text + used, size - used, "%s" INT64_FORMAT "-" INT64_FORMAT, i > 0 ? "," : "",
						 set->ranges[i].first, set->ranges[i].last);
	return used;
}

const char *
redis_ranges_read(AdminSinkRanges *set, const char *text)
{
	long long	first;
	long long	last;
	int			length;

	set->count = 0;
	while (sscanf(text, "%lld-%lld%n", &first, &last, &length) == 2)
	{
		redis_ranges_add(set, first, last);
		text += length;
		if (*text != ',')
			break;
		text++;
	}
	return text;
}
