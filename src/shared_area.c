/*
 * shared_area.c
 *	  See shared_area.h.
 *
 * 15 and newer take requests in a hook of their own; before, _PG_init makes them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "compat.h"
#include "shared_area.h"

#define MOST_AREAS	8

static const SharedArea *areas[MOST_AREAS];
static int	area_count = 0;

static shmem_startup_hook_type previous_startup = NULL;
static shmem_request_hook_type previous_request = NULL;

static void
shared_area_request(const SharedArea *area)
{
	RequestAddinShmemSpace(MAXALIGN(area->bytes));
	if (area->locks > 0)
		RequestNamedLWLockTranche(area->name, area->locks);
}

static void
shared_area_request_all(void)
{
	if (previous_request)
		previous_request();
	for (int i = 0; i < area_count; i++)
		shared_area_request(areas[i]);
}

static void
shared_area_attach_all(void)
{
	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < area_count; i++)
	{
		bool		found;
		void	   *memory = ShmemInitStruct(areas[i]->name, areas[i]->bytes, &found);

		areas[i]->attach(memory, found);
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
shared_area_hook_in(void)
{
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = shared_area_attach_all;
	compat_set_request_hook(previous_request, shared_area_request_all);
}

void
shared_area_add(const SharedArea *area)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	if (area_count == MOST_AREAS)
		elog(ERROR, "no room for shared memory \"%s\"", area->name);
	if (area_count == 0)
		shared_area_hook_in();
	areas[area_count++] = area;
	if (compat_requests_at_once)
		shared_area_request(area);
}

static bool
is_dropped(Oid database)
{
	Assert(IsTransactionState());
	/* It may have been created only just. */
	AcceptInvalidationMessages();
	return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
}

/*
 * Takes a place under AddinShmemInitLock: sessions of other databases may want the same place, and
 * two sessions of this database must not take one each.
 */
int
shared_area_take_left(const SharedPlaces *places, uint64 owner)
{
	int			place = -1;

	for (int i = 0; i < places->count && place < 0; i++)
	{
		Oid			database = places->database_of(i);

		if (!is_dropped(database))
			continue;
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		place = places->find(owner);
		if (place < 0 && places->database_of(i) == database)
		{
			place = i;
			places->take(place, owner);
		}
		LWLockRelease(AddinShmemInitLock);
	}
	return place;
}
