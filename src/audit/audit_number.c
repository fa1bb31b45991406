/*
 * audit_number.c
 *	  See audit_number.h.
 *
 * audit_id is unique within one partition only, and setval() is neither DDL nor transactional.  So
 * shared memory keeps the highest number drawn, for each database.  After a restart that is the
 * highest number in the trail (audit_highest.c) or in the partitions that were dropped.  A number
 * that is not higher is discarded: either another process was faster, or the sequence was moved
 * back.  Gaps are allowed.  Without shared_preload_libraries each session keeps a value of its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_highest.h"
#include "audit/audit_number.h"
#include "audit/insider.h"
#include "audit/insider_collect.h"
#include "audit/insider_own.h"
#include "relations.h"
#include "settings.h"
#include "shared_area.h"

#define SHARED_DATABASES	64	/* sessions of further databases use a private place */

/* A sequence that is behind again after this many moves does not count upwards. */
#define MOST_MOVES	3

/* Under load another process may be faster each time, but not that often. */
#define MOST_DRAWS	100000

/* Sessions draw fewer numbers than this while one transaction runs. */
#define MOST_AT_ONCE	1000000

typedef struct NumberPlace
{
	pg_atomic_uint64 owner;		/* database and sequence; 0: free */
	pg_atomic_uint64 highest;	/* 0: not known */
	pg_atomic_uint64 moved;		/* where the extension's own last move put the sequence */
	pg_atomic_uint64 owed_found;	/* event left by an ended session: the value found */
	pg_atomic_uint64 owed;		/* and the value the sequence moved to; 0: no event is left */
} NumberPlace;

static NumberPlace *shared = NULL;
static NumberPlace own;			/* the private place, if no shared one is available */
static bool setval_ran = false; /* no commit has checked the sequence since */
static bool is_checked = false; /* in this transaction */
static NumberPlace *owing = NULL;	/* its event is not written yet by this session */
static int64 owed_found;
static int64 owed;

static void
number_forget(NumberPlace *place)
{
	pg_atomic_write_u64(&place->highest, 0);
	pg_atomic_write_u64(&place->moved, 0);
	pg_atomic_write_u64(&place->owed, 0);
}

/*
 * Takes a place that is free or belongs to this database.  A new sequence, after DROP EXTENSION,
 * starts with an empty place.
 */
static bool
number_take_place(NumberPlace *place, uint64 owner)
{
	uint64		before = 0;

	if (pg_atomic_compare_exchange_u64(&place->owner, &before, owner) || before == owner)
		return true;
	if (before >> 32 != MyDatabaseId)
		return false;
	number_forget(place);
	pg_atomic_write_u64(&place->owner, owner);
	return true;
}

static Oid
number_database_of(int place)
{
	return pg_atomic_read_u64(&shared[place].owner) >> 32;
}

static int
number_find_place(uint64 owner)
{
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		if (pg_atomic_read_u64(&shared[i].owner) == owner)
			return i;
	}
	return -1;
}

/*
 * The old database is gone, so its sessions no longer draw.  The place is cleared before it is
 * taken: its new owner then reads the highest number from the trail.
 */
static void
number_take_over(int place, uint64 owner)
{
	number_forget(&shared[place]);
	pg_write_barrier();
	pg_atomic_write_u64(&shared[place].owner, owner);
}

static NumberPlace *
number_take_place_of_dropped(uint64 owner)
{
	static const SharedPlaces places = {SHARED_DATABASES, number_database_of, number_find_place, number_take_over};
	int			place = shared_area_take_left(&places, owner);

	return place < 0 ? NULL : &shared[place];
}

static NumberPlace *
number_place(void)
{
	static NumberPlace *here = NULL;
	uint64		owner = (uint64) MyDatabaseId << 32 | admin_relations()->audit_sequence;

	if (here != NULL && pg_atomic_read_u64(&here->owner) == owner)
		return here;
	here = NULL;
	for (int i = 0; i < SHARED_DATABASES && shared != NULL && here == NULL; i++)
	{
		if (number_take_place(&shared[i], owner))
			here = &shared[i];
	}
	if (here == NULL && shared != NULL)
		here = number_take_place_of_dropped(owner);
	if (here == NULL)
	{
		here = &own;
		(void) number_take_place(here, owner);
	}
	return here;
}

/* Returns whether the number is higher than all earlier ones; *before gets the highest of those. */
static bool
number_raise(NumberPlace *place, int64 number, int64 *before)
{
	uint64		highest = pg_atomic_read_u64(&place->highest);

	while (number > (int64) highest)
	{
		if (pg_atomic_compare_exchange_u64(&place->highest, &highest, number))
		{
			*before = highest;
			return true;
		}
	}
	return false;
}

static int64
number_of_query(OwnerQuery *query)
{
	OwnerScope	scope;
	bool		isnull = true;
	int64		number = 0;

	owner_enter(&scope, admin_relations()->audit);
	if (owner_run(query, NULL, NULL, 1) == 1)
		number = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	owner_leave(&scope);
	return isnull ? 0 : number;
}

static int64
number_last_drawn(void)
{
	static OwnerQuery query = {
		.text = "select case when s.is_called then s.last_value else s.last_value - 1 end from admin.audit_audit_id_seq as s",
		.result = SPI_OK_SELECT
	};

	return number_of_query(&query);
}

bool
audit_number_move(OwnerQuery *query, int64 number)
{
	Oid			sequence = admin_relations()->audit_sequence;
	Datum		values[] = {Int64GetDatum(number)};
	OwnerScope	scope;
	bool		is_moved;

	/* This lock does not block sessions that draw numbers. */
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	owner_enter(&scope, admin_relations()->audit);
	is_moved = owner_run(query, values, NULL, 0) > 0;
	owner_leave(&scope);
	if (is_moved)
		pg_atomic_write_u64(&number_place()->moved, number_last_drawn());

	/*
	 * Release the lock now: setval() is not transactional, and the transaction may hold a
	 * partition that others wait for.
	 */
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
	return is_moved;
}

/* Microseconds since 1970. */
static int64
number_of_clock(void)
{
	return GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* Returns whether the sequence was behind. */
static bool
number_move_above(int64 number)
{
	static OwnerQuery query = {
		.text =
		"select setval('admin.audit_audit_id_seq', $1) from admin.audit_audit_id_seq as s "
		"where case when s.is_called then s.last_value else s.last_value - 1 end < $1",
		.nargs = 1,
		.types = {INT8OID},
		.result = SPI_OK_SELECT
	};

	return audit_number_move(&query, number);
}

/* A rollback does not undo the move of a sequence, so its event is a lasting one. */
static void
number_note(const char *command, int64 found, int64 next)
{
	(void) insider_note_lasting(psprintf("{\"command\":\"%s\",\"object\":\"admin.audit_audit_id_seq\",\"found\":" INT64_FORMAT ",\"moved_to\":" INT64_FORMAT "}",
										 command, found, next));
}

/*
 * Finds the highest number in the trail.  If a partition cannot be read, numbers continue at the
 * microseconds since 1970.  No trail can have reached that value, because it would have to draw a
 * million numbers a second.  A gap is better than a check that waits for the partition, or fails.
 */
static void
number_find_out(NumberPlace *place)
{
	static OwnerQuery dropped = {
		.text = "select greatest(max(d.below) - 1, 0) from admin.audit_dropped as d",
		.result = SPI_OK_SELECT
	};
	bool		is_certain;
	int64		highest = Max(audit_highest(&is_certain), number_of_query(&dropped));
	int64		found = number_last_drawn();
	int64		before;

	if (!is_certain)
	{
		highest = Max(highest, number_of_clock());
		if (number_move_above(highest))
			number_note("restart", found, highest);
		insider_log(psprintf("numbers of the audit trail go on above " INT64_FORMAT ": a partition was locked, or has no index of audit_id, "
							 "so its highest number is not known", highest));
	}

	/* The sequence may be ahead of the trail, if rows were rolled back before the restart. */
	pg_atomic_write_u64(&place->moved, found);
	(void) number_raise(place, highest, &before);
}

/*
 * The first draw after a restart reads the trail.  Sessions that load a dump do not, because each
 * of them holds the partitions that it loads.  Their numbers begin above those of the loaded rows
 * (insider_events.c).
 */
static NumberPlace *
number_known_place(void)
{
	NumberPlace *place = number_place();

	if (pg_atomic_read_u64(&place->highest) == 0 && !admin_restoring)
		number_find_out(place);
	return place;
}

/* The session ends before writing the event.  The next one that draws a number writes it. */
static void
number_leave_owed(int code, Datum arg)
{
	if (owing == NULL)
		return;
	pg_atomic_write_u64(&owing->owed_found, owed_found);
	pg_write_barrier();
	pg_atomic_write_u64(&owing->owed, owed);
	owing = NULL;
}

static void
number_owe(NumberPlace *place, int64 found, int64 next)
{
	static bool is_registered = false;

	number_note("setval", found, next);
	/* A private place ends with its session. */
	if (place == &own)
		return;
	if (!is_registered)
		before_shmem_exit(number_leave_owed, (Datum) 0);
	is_registered = true;
	owing = place;
	owed_found = found;
	owed = next;
}

static void
number_take_owed(NumberPlace *place)
{
	uint64		next = pg_atomic_read_u64(&place->owed);
	int64		found;

	if (next == 0)
		return;
	pg_read_barrier();
	found = pg_atomic_read_u64(&place->owed_found);
	if (pg_atomic_compare_exchange_u64(&place->owed, &next, 0))
		number_owe(place, found, next);
}

static void
number_report(NumberPlace *place, int64 found, int64 next)
{
	insider_log(psprintf("sequence \"audit_audit_id_seq\" was at " INT64_FORMAT " and goes on above " INT64_FORMAT, found, next));
	/* A dump sets the sequence to its own value, which is below the events of the load. */
	if (!admin_restoring)
		number_owe(place, found, next);
}

/* Moves a sequence that was moved back above all numbers drawn.  Returns whether it did. */
static bool
number_mend_sequence(NumberPlace *place)
{
	int64		highest = pg_atomic_read_u64(&place->highest);
	int64		found = number_last_drawn();

	if (found >= highest || !number_move_above(highest))
		return false;
	number_report(place, found, highest);
	return true;
}

/*
 * Was the sequence moved forward by a setval() whose transaction was rolled back, or whose session
 * has ended?  A private place cannot tell, because it does not see the numbers that other sessions
 * draw.
 */
static bool
number_is_jump(NumberPlace *place, int64 before, int64 number)
{
	Oid			sequence = admin_relations()->audit_sequence;

	if (place == &own || before == 0 || number - MOST_AT_ONCE <= before)
		return false;
	/* The extension's own move sets `moved` before it releases this lock. */
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
	return number - MOST_AT_ONCE > (int64) pg_atomic_read_u64(&place->moved);
}

int64
audit_number_draw(void)
{
	Oid			sequence = admin_relations()->audit_sequence;
	NumberPlace *place = number_known_place();

	number_take_owed(place);
	for (int moves = 0, draws = 0; moves < MOST_MOVES && draws < MOST_DRAWS; draws++)
	{
		/* No permission check: the caller of a recording function need not own the sequence. */
		int64		number = nextval_internal(sequence, false);
		int64		before;

		if (number_raise(place, number, &before))
		{
			if (number_is_jump(place, before, number))
				number_report(place, number - 1, number - 1);
			return number;
		}

		/* Usually another process was faster.  Reading the sequence costs more than drawing. */
		if (draws > 0 && number_mend_sequence(place))
			moves++;
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("sequence \"audit_audit_id_seq\" returns numbers that the audit trail has already used"),
			 errhint("Its increment, range and cycle have to be those of the script of the extension, admin_ext--1.0.sql.")));
	return 0;
}

void
audit_number_note_setval(void)
{
	setval_ran = setval_ran || !insider_is_own();
}

bool
audit_number_is_to_check(void)
{
	return setval_ran;
}

void
audit_number_check(void)
{
	NumberPlace *place;
	int64		found;
	int64		before;

	if (!setval_ran)
		return;
	is_checked = true;
	place = number_known_place();
	(void) number_mend_sequence(place);
	found = number_last_drawn();
	/* A private place does not see the numbers that other sessions draw. */
	if (place != &own && found - MOST_AT_ONCE > (int64) pg_atomic_read_u64(&place->highest))
		number_report(place, found, found);
	(void) number_raise(place, found, &before);
}

void
audit_number_end(bool is_commit)
{
	setval_ran = setval_ran && !(is_commit && is_checked);
	if (is_commit && !insider_has_lasting())
		owing = NULL;
	is_checked = false;
}

static void
number_attach(void *memory, bool found)
{
	shared = memory;
	for (int i = 0; i < SHARED_DATABASES && !found; i++)
	{
		pg_atomic_init_u64(&shared[i].owner, 0);
		pg_atomic_init_u64(&shared[i].highest, 0);
		pg_atomic_init_u64(&shared[i].moved, 0);
		pg_atomic_init_u64(&shared[i].owed_found, 0);
		pg_atomic_init_u64(&shared[i].owed, 0);
	}
}

void
audit_number_init(void)
{
	static const SharedArea area = {"admin_ext audit numbers", SHARED_DATABASES * sizeof(NumberPlace), 0, number_attach};

	pg_atomic_init_u64(&own.owner, 0);
	pg_atomic_init_u64(&own.highest, 0);
	pg_atomic_init_u64(&own.moved, 0);
	pg_atomic_init_u64(&own.owed_found, 0);
	pg_atomic_init_u64(&own.owed, 0);
	shared_area_add(&area);
}
