/*
 * either.h
 *	  PostgreSQL's types and palloc() for code that is compiled into the server and, with
 *	  FRONTEND defined, into a fuzzer (libpgcommon has the same functions for programs).
 */
#ifndef ADMIN_EXT_EITHER_H
#define ADMIN_EXT_EITHER_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#endif							/* ADMIN_EXT_EITHER_H */
