/*
 * ndjson_lines.h
 *	  Writes the line of a finished file to <database>.seals.ndjson.
 */
#ifndef ADMIN_EXT_NDJSON_LINES_H
#define ADMIN_EXT_NDJSON_LINES_H

#include "sinks/ndjson/ndjson_seals.h"

/* Writes the line of the finished file, which the recorded position names. */
extern AdminSinkResult ndjson_seals_settle(AdminSink *sink, NdjsonSeals *seals, const NdjsonDirectory *directory);

#endif							/* ADMIN_EXT_NDJSON_LINES_H */
