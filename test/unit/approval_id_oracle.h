/*
 * approval_id_oracle.h
 *	  The grammar of an approval id as the contract prints it, read by the C
 *	  library's regular expressions; shares nothing with src/decision.
 */
#ifndef ADMIN_EXT_TEST_APPROVAL_ID_ORACLE_H
#define ADMIN_EXT_TEST_APPROVAL_ID_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

/* The id may hold any bytes, also zero ones; NULL is SQL's null. */
extern bool approval_id_oracle(const char *id, size_t length);

#endif							/* ADMIN_EXT_TEST_APPROVAL_ID_ORACLE_H */
