/*
 * layout.c
 *	  See layout.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "layout.h"
#include "relations.h"

/*
 * Remembers what was found to fit, until any relation changes.  A check of an approval opens the
 * same few tables and indexes each time.
 */
typedef enum Fit
{
	FIT_READ,
	FIT_EXACT,
	FIT_PARTITION,
	FIT_INDEX
} Fit;

#define FIT_KINDS	4

#define KNOWN_FITS	64

static struct
{
	Oid			relation;
	Fit			fit;
	uint64		generation;
}			known[KNOWN_FITS];

static bool
layout_is_known(Oid relation, Fit fit)
{
	int			slot = (relation * FIT_KINDS + fit) % KNOWN_FITS;

	return known[slot].relation == relation && known[slot].fit == fit && known[slot].generation == relations_generation();
}

static void
layout_note(Oid relation, Fit fit)
{
	int			slot = (relation * FIT_KINDS + fit) % KNOWN_FITS;

	known[slot].relation = relation;
	known[slot].fit = fit;
	known[slot].generation = relations_generation();
}

/* What is wrong with the first columns, or NULL. */
static char *
layout_fault(TupleDesc desc, const Oid *types, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (i >= desc->natts || TupleDescAttr(desc, i)->attisdropped)
			return psprintf("Column %d is missing.", i + 1);
		if (TupleDescAttr(desc, i)->atttypid != types[i])
			return psprintf("Column \"%s\" is of type %s, not %s.", NameStr(TupleDescAttr(desc, i)->attname),
							format_type_be(TupleDescAttr(desc, i)->atttypid), format_type_be(types[i]));
	}
	return NULL;
}

static void
layout_refuse(const char *table, const char *fault)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" does not have the columns that admin_ext created", table),
			 errdetail_internal("%s", fault),
			 errhint("Restore its columns and their types. Keep further columns in a table of your own.")));
}

void
layout_check_row(TupleDesc desc, const char *table, const Oid *types, int count)
{
	char	   *fault = layout_fault(desc, types, count);

	if (fault != NULL)
		layout_refuse(table, fault);
}

static void
layout_check_read(Relation table, const Oid *types, int count)
{
	if (layout_is_known(RelationGetRelid(table), FIT_READ))
		return;
	if (table->rd_rel->relkind != RELKIND_RELATION && table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		layout_refuse(RelationGetRelationName(table), "It is not an ordinary table.");
	layout_check_row(RelationGetDescr(table), RelationGetRelationName(table), types, count);
	layout_note(RelationGetRelid(table), FIT_READ);
}

void
layout_check_exact(Relation table, const Oid *types, int count)
{
	int			had = RelationGetDescr(table)->natts;

	if (layout_is_known(RelationGetRelid(table), FIT_EXACT))
		return;
	if (had != count)
		layout_refuse(RelationGetRelationName(table), psprintf("It has had %d columns, not %d.", had, count));
	layout_check_read(table, types, count);
	layout_note(RelationGetRelid(table), FIT_EXACT);
}

bool
layout_fits_partition(Relation parent, Relation partition, const Oid *types, int count)
{
	TupleDesc	a = RelationGetDescr(parent);
	TupleDesc	b = RelationGetDescr(partition);
	bool		fits = a->natts == count && b->natts == count && partition->rd_rel->relkind == RELKIND_RELATION;

	/* Many rows go to the same partition. */
	if (layout_is_known(RelationGetRelid(partition), FIT_PARTITION))
		return true;
	for (int i = 0; i < count && fits; i++)
		fits = TupleDescAttr(b, i)->atttypid == types[i] &&
			namestrcmp(&TupleDescAttr(a, i)->attname, NameStr(TupleDescAttr(b, i)->attname)) == 0;
	if (fits)
		layout_note(RelationGetRelid(partition), FIT_PARTITION);
	return fits;
}

/* Does the key column use the default btree operators of its type? */
static bool
layout_key_fits(Relation index, Relation table, int key)
{
	Oid			type = TupleDescAttr(RelationGetDescr(table), index->rd_index->indkey.values[key] - 1)->atttypid;

	return index->rd_opcintype[key] == type &&
		index->rd_opfamily[key] == lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

bool
layout_index_fits(Relation index, Relation table, const AttrNumber *columns, int count, int keys)
{
	Form_pg_index form = index->rd_index;

	if (form->indrelid != RelationGetRelid(table) || index->rd_rel->relkind != RELKIND_INDEX ||
		index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || form->indnatts < count || form->indnkeyatts < keys)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (form->indkey.values[i] != columns[i] || (i < keys && !layout_key_fits(index, table, i)))
			return false;
	}
	return true;
}

/*
 * The first key must sort in the order of bytes.  In all keys, texts must be equal only if their
 * bytes are.
 */
static bool
layout_collations_fit(Relation index, int keys)
{
	for (int i = 0; i < keys; i++)
	{
		Oid			collation = index->rd_indcollation[i];

		if (OidIsValid(collation) && collation != C_COLLATION_OID && (i == 0 || collation != DEFAULT_COLLATION_OID))
			return false;
	}
	return true;
}

Relation
layout_open_index(const TableLayout *layout, Relation table, Oid oid)
{
	Relation	index;

	layout_check_read(table, layout->types, layout->count);
	index = index_open(oid, AccessShareLock);
	if (layout_is_known(oid, FIT_INDEX))
		return index;
	if (!layout_index_fits(index, table, layout->key, layout->key_count, layout->looked_up) ||
		!layout_collations_fit(index, layout->looked_up) ||
		RelationGetIndexPredicate(index) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" of table \"%s\" is not the one that admin_ext created",
						RelationGetRelationName(index), RelationGetRelationName(table)),
				 errdetail("Its table, columns, predicate, operators or collation differ."),
				 errhint("Drop it and create the original index again. The script of the extension, admin_ext--1.0.sql, has its definition.")));
	layout_note(oid, FIT_INDEX);
	return index;
}

void
layout_check_column(TupleDesc desc, int column, Oid type)
{
	if (column > desc->natts || TupleDescAttr(desc, column - 1)->atttypid != type)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a table of admin_ext does not have the columns that admin_ext created"),
				 column <= desc->natts ?
				 errdetail("Column \"%s\" is of type %s, not %s.", NameStr(TupleDescAttr(desc, column - 1)->attname),
						   format_type_be(TupleDescAttr(desc, column - 1)->atttypid), format_type_be(type)) : 0,
				 errhint("Compare the tables of schema \"admin\" with the script of the extension, admin_ext--1.0.sql.")));
}

Datum
layout_value(HeapTuple row, TupleDesc desc, int column, Oid type, bool *isnull)
{
	layout_check_column(desc, column, type);
	return heap_getattr(row, column, desc, isnull);
}

static void
layout_refuse_null(TupleDesc desc, int column)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("null value in column \"%s\" of a table of admin_ext, which was created NOT NULL",
					NameStr(TupleDescAttr(desc, column - 1)->attname)),
			 errhint("Compare the tables of schema \"admin\" with the script of the extension, admin_ext--1.0.sql.")));
}

Datum
layout_set_value(HeapTuple row, TupleDesc desc, int column, Oid type)
{
	bool		isnull;
	Datum		value = layout_value(row, desc, column, type, &isnull);

	if (isnull)
		layout_refuse_null(desc, column);
	return value;
}

Datum
layout_set_column(TupleTableSlot *row, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(row, column, &isnull);

	if (isnull)
		layout_refuse_null(row->tts_tupleDescriptor, column);
	return value;
}
