/*
 * sink_context.c
 *	  What a sink is given when it is opened, and what it may ask the worker.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "delivery/claim.h"
#include "delivery/divergence.h"
#include "delivery/sink_context.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "settings.h"
#include "settings_place.h"

/* The sink that is open, or being opened: a worker has one at a time. */
static const AdminSink *opened;

/*
 * A setting that says where a sink delivers may differ per database and store, but the callback
 * gets only its name.
 */
static const char *
setting_of_opened(const char *name)
{
	MemoryContext caller = MemoryContextSwitchTo(opened->context);
	const char *text = settings_place_expand(name, settings_text(name), opened->database, opened->store_id);

	MemoryContextSwitchTo(caller);
	return text;
}

/* Lets the sink name the record in its error; an adopted position is checked once more. */
static const char *
forgery_of(const AdminSink *sink, int64 position_id, const char *record)
{
	const Worker *worker = (const Worker *) ((const char *) sink - offsetof(Worker, sink));
	Position	position = worker->position;
	char		nonce[UUID_TEXT_BYTES];

	position.position_id = position_id;
	return position_read(&worker->key, record, &position, nonce);
}

/*
 * Would the worker adopt this position?  If the worker may continue as another store, it must know
 * all that the sink holds.  So it answers yes, and another worker that delivers is fenced first.
 */
static bool
knows_position(AdminSink *sink, int64 position_id, const char *record)
{
	Worker	   *worker = (Worker *) ((char *) sink - offsetof(Worker, sink));
	Position	position = worker->position;
	char		nonce[UUID_TEXT_BYTES];
	char		problem[PROBLEM_BYTES];
	bool		known;

	if (worker_may_fork(worker))
		return true;
	position.position_id = position_id;
	if (position_read(&worker->key, record, &position, nonce) != NULL)
		return false;
	worker_begin("looking at the sink's position");
	known = position_problem(worker->sink_name, &position, nonce, problem);
	worker_commit();
	return known && problem[0] == '\0';
}

/* The sink calls this outside of any transaction. */
static int
counts_of(AdminSink *sink, int64 first, int64 last, int64 **counts)
{
	MemoryContext caller = CurrentMemoryContext;
	int64	   *found;
	int			count;

	worker_begin("reading links of the delivery chain");
	count = links_counts(sink->name, sink->store_id, first, last, &found);
	*counts = MemoryContextAllocHuge(caller, Max(count, 1) * sizeof(int64));
	memcpy(*counts, found, count * sizeof(int64));
	worker_commit();
	MemoryContextSwitchTo(caller);
	return count;
}

void
worker_prepare_sink(Worker *worker)
{
	AdminSink  *sink = &worker->sink;

	sink->name = worker->sink_name;
	sink->database = worker->database;
	sink->store_id = worker->position.store_id;
	sink->home = worker->position.home;
	sink->setting = setting_of_opened;
	opened = sink;
	sink->forgery = forgery_of;
	sink->knows = knows_position;
	sink->counts = counts_of;
	sink->continued = &worker->position.continued;
	sink->yields = worker_yields;
	worker_make_claim(worker);
	sink->context = AllocSetContextCreate(TopMemoryContext, "admin_ext sink", ALLOCSET_DEFAULT_SIZES);
	sink->error[0] = '\0';
	sink->place[0] = '\0';
	sink->has_lost = sink->cannot_tell = sink->is_outdone = false;
}
