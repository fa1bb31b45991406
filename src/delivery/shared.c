/*
 * shared.c
 *	  Reserves and initialises the shared memory of delivery.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "delivery/shared.h"
#include "shared_area.h"

#define SHARED_NAME "admin_ext"

DeliveryShared *delivery_shared = NULL;

static void
delivery_attach(void *memory, bool found)
{
	delivery_shared = memory;
	if (found)
		return;
	memset(delivery_shared, 0, sizeof(DeliveryShared));
	delivery_shared->lock = &GetNamedLWLockTranche(SHARED_NAME)->lock;
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		SpinLockInit(&delivery_shared->slots[i].mutex);
		pg_atomic_init_u32(&delivery_shared->slots[i].database_oid, 0);
		pg_atomic_init_u32(&delivery_shared->slots[i].wake, 0);
		pg_atomic_init_u64(&delivery_shared->slots[i].committed_rows, 0);
	}
}

void
delivery_shared_init(void)
{
	static const SharedArea area = {SHARED_NAME, sizeof(DeliveryShared), 1, delivery_attach};

	shared_area_add(&area);
}

const char *
delivery_state_name(DeliveryState state)
{
	static const char *const names[] = {
		"starting", "idle", "delivering", "backing_off", "fenced", "stopped"
	};

	return names[state];
}

DeliveryStatus
delivery_status_of(DeliverySlot *slot)
{
	DeliveryStatus status;

	SpinLockAcquire(&slot->mutex);
	status = slot->status;
	SpinLockRelease(&slot->mutex);
	return status;
}

bool
delivery_set_state(DeliverySlot *slot, DeliveryState state, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		changed;

	SpinLockAcquire(&slot->mutex);
	/* An outage is logged once, even if its error text changes. */
	changed = slot->status.state != state ||
		(state == DELIVERY_STOPPED && error != NULL && strcmp(error, slot->status.last_error) != 0);
	slot->status.state = state;
	if (error != NULL)
	{
		strlcpy(slot->status.last_error, error, sizeof(slot->status.last_error));
		slot->status.last_error_at = now;
	}
	else if (state == DELIVERY_IDLE || state == DELIVERY_DELIVERING)
		slot->status.last_error[0] = '\0';
	SpinLockRelease(&slot->mutex);
	return changed;
}
