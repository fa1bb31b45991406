/*
 * ingest_source.h
 *	  Which sources of CloudEvents are the extension's own, or could be taken for them.
 */
#ifndef ADMIN_EXT_INGEST_SOURCE_H
#define ADMIN_EXT_INGEST_SOURCE_H

#include "postgres.h"

/*
 * Is the source "admin_ext" or one below "/admin_ext", once percent-encoding, letter case, empty
 * and "." segments are set aside (RFC 3986, section 6.2.2)?
 */
extern bool ingest_source_is_own(const char *source, int length);

#endif							/* ADMIN_EXT_INGEST_SOURCE_H */
