/*
 * claim.c
 *	  Decides which of two servers with the same store identity continues to deliver.
 *
 * A sink that keeps the position fences the server that delivered before.  Two servers may do that
 * to each other.  The server that has delivered rows unknown to the other one has won: the other
 * server's rows would get the same numbers.  As long as neither has delivered, the sink cannot tell
 * which one should continue.  So a promoted server leaves a claim in the sink: its home, and the
 * home that it replaces.  The server of that home finds the claim, and does not deliver.
 *
 * Copies of one home (of its file system, for example) have equal claims.  The first copy that has
 * a row to deliver continues.
 *
 * A fenced worker returns by itself if the sink holds nothing that contradicts it.  The pause
 * before each return grows, because both servers could deliver, in turns, rows that both know from
 * before the copy.
 */
#include "postgres.h"

#include "delivery/claim.h"
#include "delivery/worker_types.h"
#include "monotonic.h"

#define FIRST_RETURN_MS	5000
#define MOST_RETURN_MS	(5 * 60 * 1000)
/* A worker whose sink was open for this long starts again with the shortest pause. */
#define CALM_MS			(10 * 60 * 1000)
/* A claim is sealed like a position with this number, which no real position has. */
#define CLAIM_POSITION_ID	(-1)
#define CLAIM_FORM "%39s %39s%n"

StaticAssertDecl(2 * HOME_TEXT_BYTES + POSITION_SEAL_BYTES <= ADMIN_SINK_CLAIM_BYTES, "a claim has room");

void
worker_make_claim(Worker *worker)
{
	const Position *position = &worker->position;
	char	   *claim = worker->sink.claim;
	int			length;

	claim[0] = '\0';
	if (position->recorded_home[0] == '\0' || strcmp(position->recorded_home, position->home) == 0)
		return;
	length = snprintf(claim, ADMIN_SINK_CLAIM_BYTES, "%s %s", position->home, position->recorded_home);
	claim[length++] = ' ';
	position_seal(&worker->key, position->store_id, CLAIM_POSITION_ID, claim, length - 1, claim + length);
}

/* Do the two homes show the same system, and a later timeline for the first? */
static bool
is_later_timeline(const char *home, const char *than)
{
	unsigned long long system;
	unsigned long long than_system;
	unsigned int timeline;
	unsigned int than_timeline;

	return sscanf(home, "%llu/%u", &system, &timeline) == 2 && sscanf(than, "%llu/%u", &than_system, &than_timeline) == 2 &&
		system == than_system && timeline > than_timeline;
}

bool
worker_yields(const AdminSink *sink, const char *claim)
{
	const Worker *worker = (const Worker *) ((const char *) sink - offsetof(Worker, sink));
	char		home[HOME_TEXT_BYTES];
	char		before[HOME_TEXT_BYTES];
	int			length = 0;

	if (sscanf(claim, CLAIM_FORM, home, before, &length) != 2 || claim[length] != ' ' ||
		!position_seal_holds(&worker->key, worker->position.store_id, CLAIM_POSITION_ID, claim, length, claim + length + 1))
		return false;
	return strcmp(before, sink->home) == 0 || is_later_timeline(home, sink->home);
}

void
worker_plan_return(Worker *worker)
{
	int64		now = monotonic_ms();

	if (worker->is_open && now - worker->opened_at >= CALM_MS)
		worker->fencing.pause = 0;
	worker->fencing.pause = worker->fencing.pause == 0 ? FIRST_RETURN_MS : Min(worker->fencing.pause * 2, MOST_RETURN_MS);
	worker->fencing.returns_at = worker->sink.is_outdone ? 0 : now + worker->fencing.pause;
}

bool
worker_returns(Worker *worker)
{
	if (worker->fencing.returns_at == 0 || monotonic_ms() < worker->fencing.returns_at)
		return false;
	worker->fencing.returns_at = 0;
	worker->sink.was_fenced = true;
	return true;
}
