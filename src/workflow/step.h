/*
 * step.h
 *	  A step of an approval's life: who takes it, how that was proved, and its frame.
 */
#ifndef ADMIN_EXT_STEP_H
#define ADMIN_EXT_STEP_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

#include "audit/evidence.h"
#include "identity/identity.h"
#include "store/approval.h"
#include "text_limits.h"

typedef struct Step
{
	text	   *person;			/* who takes it */
	TimestampTz now;			/* the clock; read again once what the step waits for is locked */
	Identity	identity;		/* meaningful when evidence.is_verified */
	AuditEvidence evidence;
} Step;

/*
 * Finds who takes the step: the subject of the token where there is one, else the plain argument.
 * Raises 28000 without a good token while admin_ext.require_verified_jwt is on, 22023 if the two
 * differ or both are missing, 25006 if the transaction cannot write.
 */
extern void step_begin(Step *step, FunctionCallInfo fcinfo, const char *command, int person_argument,
					   const char *person_name, int token_argument);

/*
 * Runs the body as the owner of the tables, with the step's evidence for the trail, and
 * returns the JSON it has written as a datum of type jsonb.
 */
extern Datum step_run(Step *step, void (*body) (Step *step, StringInfo answer));

/* Marks a one-use token as used, before the step writes.  Raises 28000 if it was used already. */
extern void step_use_token(const Step *step);

/*
 * Appends the members that end every answer, and the brace.  `was_verified`: was the person
 * verified when the step was taken?
 */
extern void step_end_answer(StringInfo answer, bool was_verified, bool is_repeated);

/* Was the person of an earlier step verified?  Read from the step's event in the trail. */
extern bool step_was_verified(Datum approval_id, const char *event_type);

/* ,"state":... to "valid_until":..., by what holds now. */
extern void step_append_state(const Step *step, StringInfo answer, Datum approval_id);

/* An argument that has to be there; raises 22023 when it is null, empty or too long. */
extern text *required_argument(FunctionCallInfo fcinfo, int n, const char *name, int max_bytes);

/* One that need not; raises 22023 when it is too long, or empty. */
extern text *optional_argument(FunctionCallInfo fcinfo, int n, const char *name, int max_bytes);

/*
 * Locks the approval and returns its newest version.  Waiting may have taken a while: the
 * clock is read again, and a token that has not outlasted it is refused.
 */
extern void step_lock(Step *step, Datum approval_id, ApprovalRow *approval);

/* After any other wait: the clock and the token once more. */
extern void step_look_again(Step *step);

/* Raises 55000 when it is withdrawn. */
extern void step_refuse_withdrawn(const ApprovalRow *approval);

#endif							/* ADMIN_EXT_STEP_H */
