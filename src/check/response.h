/*
 * response.h
 *	  The answer of contract sensitive.check.2b, as JSON text.
 */
#ifndef ADMIN_EXT_RESPONSE_H
#define ADMIN_EXT_RESPONSE_H

#include "postgres.h"

#include "audit/audit_append.h"
#include "audit/evidence.h"
#include "decision/policy.h"

/*
 * approval_id is NULL for SQL's null.  audit_id 0 makes it a preview: no row, and
 * sink_status deferred.
 */
extern text *response_build(const text *approval_id, const PolicyRequest *request,
							const ApprovalFacts *facts, const PolicyDecision *decision,
							int64 audit_id);

/*
 * What the trail keeps of a check: the answer with one more member at its end, "request": the
 * action and resource that the caller named, null where it named none, and the token that
 * verified the caller, null without one (evidence.md, section 3).
 */
extern text *response_record(const text *response, const PolicyRequest *request,
							 const AuditEvidence *evidence);

/* The answer within what response_record() made; the whole text when it has no "request". */
extern text *response_of_record(text *record);

#endif							/* ADMIN_EXT_RESPONSE_H */
