/*
 * window.h
 *	  Which rows of the trail a window holds: what became visible between two ticks.
 *
 * Keys are collected first, from the indexes of all partitions and nothing else.  Rows are read
 * afterwards, by their place in the heap, in order of audit_id.
 */
#ifndef ADMIN_EXT_WINDOW_H
#define ADMIN_EXT_WINDOW_H

#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "delivery/tick.h"

/* Keys kept at a time: bounds the worker's memory, 16 bytes each and up to twice as many. */
#define WINDOW_KEYS	(1024 * 1024)

typedef struct Window
{
	const TickSnapshot *from;	/* what this one sees has been delivered */
	const TickSnapshot *to;
	int64		above;			/* only rows with a greater audit_id */
} Window;

typedef struct AuditKey
{
	int64		audit_id;
	ItemPointerData tid;
	uint16		partition;		/* place in WindowKeys.partitions */
} AuditKey;

typedef struct AuditPartition
{
	Oid			oid;
	Oid			filenode;		/* if it changes, the rows have moved */
} AuditPartition;

typedef struct WindowKeys
{
	MemoryContext context;		/* what keys and partitions live in */
	AuditKey   *keys;			/* the lowest of the window, ascending */
	int			count;
	int			capacity;
	bool		complete;		/* there are no others */
	int64		total;			/* all there are, kept or not */
	int64		lowest;			/* lowest audit_id; 0 when there is none */
	AuditPartition *partitions;
	int			partition_count;
} WindowKeys;

/* These functions need a transaction, and include rows of rolled back transactions. */
extern bool window_has_rows(const Window *window);
extern void window_count(const Window *window, WindowKeys *keys);
extern void window_collect(const Window *window, WindowKeys *keys);

/* Rows from one audit_id to another, of any transaction. */
extern void window_collect_backfill(int64 first, int64 last, WindowKeys *keys);
extern void window_count_backfill(int64 first, int64 last, WindowKeys *keys);

/* Rows by their keys. */
typedef struct AuditReader AuditReader;

extern AuditReader *audit_reader_open(const WindowKeys *keys);

/* False: the row was rolled back.  The slot is good until the next call. */
extern bool audit_reader_fetch(AuditReader *reader, const AuditKey *key, TupleTableSlot **slot);
extern void audit_reader_close(AuditReader *reader);

#endif							/* ADMIN_EXT_WINDOW_H */
