/*
 * approval_id.h
 *	  The grammar of an approval id: ^APP-[0-9]{6}-[a-z0-9]+$, at most 64 bytes.
 */
#ifndef ADMIN_EXT_APPROVAL_ID_H
#define ADMIN_EXT_APPROVAL_ID_H

#include <stdbool.h>
#include <stddef.h>

#define APPROVAL_ID_MAX_BYTES	64

extern bool approval_id_is_valid(const char *id, size_t length);

#endif							/* ADMIN_EXT_APPROVAL_ID_H */
