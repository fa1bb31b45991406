/*
 * response.h
 *	  The answer of contract sensitive.check.2b, as JSON text.
 */
#ifndef ADMIN_EXT_RESPONSE_H
#define ADMIN_EXT_RESPONSE_H

#include "postgres.h"

#include "decision/policy.h"

#define CHECK_EVENT_TYPE	"sensitive.check.2b"

/*
 * approval_id is NULL for SQL's null.  audit_id 0 makes it a preview: no row, and
 * sink_status deferred.
 */
extern text *response_build(const text *approval_id, const PolicyRequest *request,
							const ApprovalFacts *facts, const PolicyDecision *decision,
							int64 audit_id);

#endif							/* ADMIN_EXT_RESPONSE_H */
