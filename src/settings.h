/*
 * settings.h
 *	  The settings of admin_ext, as variables.
 */
#ifndef ADMIN_EXT_SETTINGS_H
#define ADMIN_EXT_SETTINGS_H

#include "nodes/pg_list.h"

#define MAX_SINKS	8

/* What a worker does when its sink holds rows that the database has lost. */
typedef enum OnDivergence
{
	ON_DIVERGENCE_STOP,
	ON_DIVERGENCE_FORK
} OnDivergence;

/* A logical dump is being loaded: guard and row-change trigger stand aside. */
extern bool admin_restoring;

/* Actions without a policy cannot be approved. */
extern bool admin_require_action_policy;

extern bool admin_require_verified_jwt; /* issue, sign and withdraw take no plain argument for who
										 * acts */
extern int	admin_jwt_leeway_s; /* on nbf and iat */
extern char *admin_databases;	/* list of identifiers */
extern char *admin_sinks;		/* list of names, as check_sinks() takes them */
extern char *admin_retention;	/* an interval, as check_retention() takes it */
extern bool admin_archive_required; /* months that the archive has not confirmed stay */
extern int	admin_ingest_window_s;	/* how far back an event is looked for in the trail */
extern int	admin_sweep_interval_ms;	/* of the worker's own sweep; 0: none */
extern int	admin_on_divergence;	/* an OnDivergence */
extern int	admin_batch_rows;
extern int	admin_batch_kb;
extern int	admin_linger_ms;
extern int	admin_retry_backoff_max_ms;

extern void settings_init(void);

/* A setting as text, also a secret, which the server shows only to a superuser in a transaction. */
extern const char *settings_text(const char *name);

/* The list of a setting as strings, in the current memory context. */
extern List *settings_list(const char *value);

#endif							/* ADMIN_EXT_SETTINGS_H */
