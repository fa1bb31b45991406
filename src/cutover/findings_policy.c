/*
 * findings_policy.c
 *	  See findings_policy.h.
 *
 * A policy is read once per action and process: a million approvals share a few actions.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "cutover/findings_policy.h"
#include "json_text.h"
#include "store/action_policy.h"
#include "text_limits.h"

typedef struct BookEntry
{
	char		action[ACTION_MAX_BYTES + 1];	/* the key */
	ActionPolicy policy;
} BookEntry;

struct PolicyBook
{
	MemoryContext context;
	HTAB	   *entries;
};

PolicyBook *
policy_book_begin(void)
{
	PolicyBook *book = palloc(sizeof(PolicyBook));
	HASHCTL		control = {
		.keysize = ACTION_MAX_BYTES + 1,
		.entrysize = sizeof(BookEntry),
		.hcxt = CurrentMemoryContext
	};

	book->context = CurrentMemoryContext;
	book->entries = hash_create("action policies", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	return book;
}

static const ActionPolicy *
policy_book_find(PolicyBook *book, PolicyText action, char name[ACTION_MAX_BYTES + 1])
{
	BookEntry  *entry;
	bool		found;

	strlcpy(name, pnstrdup(action.data, Min(action.length, ACTION_MAX_BYTES)), ACTION_MAX_BYTES + 1);
	entry = hash_search(book->entries, name, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext old = MemoryContextSwitchTo(book->context);

		memset(&entry->policy, 0, sizeof(entry->policy));
		action_policy_read(action, GetActiveSnapshot(), &entry->policy);
		MemoryContextSwitchTo(old);
	}
	return &entry->policy;
}

bool
policy_book_look(PolicyBook *book, const ApprovalRow *row, TimestampTz created_at, UnruledActions *unruled)
{
	char		name[ACTION_MAX_BYTES + 1];
	const ActionPolicy *policy = policy_book_find(book, row->action, name);

	if (!policy->exists)
	{
		unruled_add(unruled, name);
		return false;
	}
	return policy->added_at <= created_at && action_policy_lacks(policy, row, created_at) != NULL;
}

void
unruled_add(UnruledActions *into, const char *name)
{
	char		cut[UNRULED_BYTES + 1];
	int			place = 0;

	strlcpy(cut, name, pg_mbcliplen(name, strlen(name), UNRULED_BYTES) + 1);
	while (place < into->count && strcmp(into->names[place], cut) < 0)
		place++;
	if (place < into->count && strcmp(into->names[place], cut) == 0)
		return;
	if (into->count == UNRULED_SHOWN)
		into->are_more = true;
	if (place == UNRULED_SHOWN)
		return;
	into->count = Min(into->count + 1, UNRULED_SHOWN);
	memmove(into->names[place + 1], into->names[place], (into->count - place - 1) * sizeof(into->names[0]));
	strlcpy(into->names[place], cut, sizeof(into->names[0]));
}

void
unruled_join(UnruledActions *into, const UnruledActions *from)
{
	for (int i = 0; i < from->count; i++)
		unruled_add(into, from->names[i]);
	into->are_more = into->are_more || from->are_more;
}

void
append_unruled(StringInfo out, const UnruledActions *unruled)
{
	appendStringInfoString(out, ",\"without_policy\":{\"actions\":[");
	for (int i = 0; i < unruled->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_json_cstring(out, unruled->names[i]);
	}
	appendStringInfo(out, "],\"more\":%s}", unruled->are_more ? "true" : "false");
}
