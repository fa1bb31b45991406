/*
 * trust.c
 *	  See trust.h.  Direct index scans with the newest snapshot, as a check reads approvals.
 *	  Locks: AccessShareLock on the tables and indexes, kept to the end of the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "identity/trust.h"
#include "layout.h"
#include "relations.h"

#define KEPT_KEYS		64
#define JWK_MAX_BYTES	16384

enum IssuerColumn
{
	ISSUER_NAME = 1,
	ISSUER_AUDIENCE,
	ISSUER_ROLES_CLAIM,
	ISSUER_SUBJECT_CLAIM,
	ISSUER_MAX_TOKEN_LIFE
};

enum KeyColumn
{
	KEY_ISSUER = 1,
	KEY_ID,
	KEY_ALGORITHM,
	KEY_JWK,
	KEY_ADDED_AT,
	KEY_REVOKED_AT
};

/* A table whose primary key is its first columns, which are texts. */
typedef struct TrustTable
{
	const Oid  *table;			/* members of what admin_relations() returns */
	const Oid  *primary_key;
	const Oid  *types;
	int			columns;
} TrustTable;

static const Oid issuer_types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INTERVALOID};
static const Oid one_use_types[] = {TEXTOID};
static const Oid key_types[] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
static const AttrNumber trust_keys[] = {1, 2};

/* A parsed key, and the row's values that it was made of. */
typedef struct KeptKey
{
	Jsonb	   *jwk;			/* NULL: the place is free */
	char	   *algorithm;
	JwsVerifier verifier;
} KeptKey;

static KeptKey kept_keys[KEPT_KEYS];
static int	next_place = 0;

typedef void (*RowReader) (TupleTableSlot *row, void *arg);

/* Opens the primary key of a table that is as the extension made it. */
static Relation
open_primary_key(const TrustTable *table, Relation heap, int count)
{
	TableLayout layout = {table->types, table->columns, trust_keys, count, count};

	return layout_open_index(&layout, heap, *table->primary_key);
}

/* Reads the row of a primary key of one or two texts.  False: there is no such row. */
static bool
read_trust_row(const TrustTable *table, const char *const *values, int count, RowReader reader, void *arg)
{
	Relation	heap = admin_relation_open(table->table, AccessShareLock);
	Relation	index = open_primary_key(table, heap, count);
	TupleTableSlot *row = table_slot_create(heap, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(heap, index, snapshot, count);
	ScanKeyData keys[2];
	bool		found;

	for (int i = 0; i < count; i++)
		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber, TEXTOID,
							   index->rd_indcollation[i], F_TEXTEQ, CStringGetTextDatum(values[i]));
	index_rescan(scan, keys, count, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, row);
	if (found)
	{
		slot_getallattrs(row);
		reader(row, arg);
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(row);
	index_close(index, NoLock);
	table_close(heap, NoLock);
	return found;
}

/*
 * In microseconds, a month as 30 days.  The table's constraint keeps it within 100 years; without it
 * a longer one counts as 100 years.
 */
static int64
life_of(const Interval *life)
{
	const int64 most_days = 100 * MONTHS_PER_YEAR * DAYS_PER_MONTH;
	int64		days = (int64) life->month * DAYS_PER_MONTH + life->day + life->time / USECS_PER_DAY;

	if (days >= most_days)
		return most_days * USECS_PER_DAY;
	return days < 0 ? 0 : days * USECS_PER_DAY + life->time % USECS_PER_DAY;
}

static void
read_issuer(TupleTableSlot *row, void *arg)
{
	TrustedIssuer *found = (TrustedIssuer *) arg;

	found->audience = TextDatumGetCString(layout_set_column(row, ISSUER_AUDIENCE));
	found->roles_claim = TextDatumGetCString(layout_set_column(row, ISSUER_ROLES_CLAIM));
	found->subject_claim = TextDatumGetCString(layout_set_column(row, ISSUER_SUBJECT_CLAIM));
	found->max_token_life = life_of(DatumGetIntervalP(layout_set_column(row, ISSUER_MAX_TOKEN_LIFE)));
}

bool
trust_find_issuer(const char *issuer, TrustedIssuer *found)
{
	const AdminRelations *relations = admin_relations();
	TrustTable	table = {&relations->jwt_issuer, &relations->jwt_issuer_by_name, issuer_types, lengthof(issuer_types)};

	return read_trust_row(&table, &issuer, 1, read_issuer, found);
}

static void
ignore_row(TupleTableSlot *row, void *arg)
{
}

bool
trust_is_for_one_use(const char *issuer)
{
	const AdminRelations *relations = admin_relations();
	TrustTable	table = {&relations->jwt_one_use, &relations->jwt_one_use_by_issuer, one_use_types, lengthof(one_use_types)};

	return read_trust_row(&table, &issuer, 1, ignore_row, NULL);
}

typedef struct FoundKey
{
	const char *fault;
	const JwsVerifier *verifier;
} FoundKey;

static const JwsVerifier *
find_kept(const Jsonb *jwk, const char *algorithm)
{
	for (int i = 0; i < KEPT_KEYS; i++)
	{
		const KeptKey *kept = &kept_keys[i];

		if (kept->jwk != NULL && VARSIZE(kept->jwk) == VARSIZE(jwk) &&
			memcmp(kept->jwk, jwk, VARSIZE(jwk)) == 0 && strcmp(kept->algorithm, algorithm) == 0)
			return &kept->verifier;
	}
	return NULL;
}

static const JwsVerifier *
keep_verifier(const Jsonb *jwk, const char *algorithm, const JwsVerifier *verifier)
{
	KeptKey    *place = &kept_keys[next_place];
	KeptKey		fresh = {
		.jwk = MemoryContextAlloc(TopMemoryContext, VARSIZE(jwk)),
		.algorithm = MemoryContextStrdup(TopMemoryContext, algorithm),
		.verifier = *verifier
	};

	memcpy(fresh.jwk, jwk, VARSIZE(jwk));
	if (place->jwk != NULL)
	{
		jws_verifier_free(&place->verifier);
		pfree(place->jwk);
		pfree(place->algorithm);
	}
	*place = fresh;
	next_place = (next_place + 1) % KEPT_KEYS;
	return &place->verifier;
}

const char *
trust_read_jwk(Jsonb *jwk, Jwk *key)
{
	char	   *json;
	JsonMembers members;
	const char *fault;

	/* No smaller as text. */
	if (VARSIZE(jwk) > 4 * JWK_MAX_BYTES)
		return "it is longer than 16384 bytes";
	json = JsonbToCString(NULL, &jwk->root, VARSIZE(jwk));
	json = pg_server_to_any(json, strlen(json), PG_UTF8);
	if (strlen(json) > JWK_MAX_BYTES)
		return "it is longer than 16384 bytes";
	fault = json_members_parse(json, strlen(json), &members);
	return fault != NULL ? fault : jwk_read(&members, key);
}

/* Parses a key that the table holds; it was looked at when it was imported. */
static const char *
parse_trusted_key(Jsonb *jwk, const char *algorithm_name, JwsVerifier *verifier)
{
	const JwsAlgorithm *algorithm = jws_algorithm(algorithm_name);
	Jwk			key;
	const char *fault = trust_read_jwk(jwk, &key);

	if (fault != NULL)
		return fault;
	if (algorithm == NULL || !jwk_takes(&key, algorithm))
	{
		EVP_PKEY_free(key.key);
		return "its key is for another algorithm";
	}
	return jws_verifier_make(verifier, algorithm, key.key) ? NULL : "OpenSSL refuses its key";
}

static void
read_trusted_key(TupleTableSlot *row, void *arg)
{
	FoundKey   *found = (FoundKey *) arg;
	char	   *algorithm = TextDatumGetCString(layout_set_column(row, KEY_ALGORITHM));
	Jsonb	   *jwk = DatumGetJsonbP(layout_set_column(row, KEY_JWK));
	JwsVerifier verifier;

	if (!row->tts_isnull[KEY_REVOKED_AT - 1])
	{
		found->fault = "its key has been revoked";
		return;
	}
	found->verifier = find_kept(jwk, algorithm);
	if (found->verifier != NULL)
		return;
	found->fault = parse_trusted_key(jwk, algorithm, &verifier);
	if (found->fault == NULL)
		found->verifier = keep_verifier(jwk, algorithm, &verifier);
}

const char *
trust_find_key(const char *issuer, const char *key_id, const JwsVerifier **verifier)
{
	const AdminRelations *relations = admin_relations();
	TrustTable	table = {&relations->jwt_key, &relations->jwt_key_by_id, key_types, lengthof(key_types)};
	const char *names[] = {issuer, key_id};
	FoundKey	found = {NULL, NULL};

	if (!read_trust_row(&table, names, 2, read_trusted_key, &found))
		return "its key is unknown";
	*verifier = found.verifier;
	return found.fault;
}
