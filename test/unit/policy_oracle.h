/*
 * policy_oracle.h
 *	  A second opinion on every decision, written from the contract alone.
 *
 * It shares the structs of policy.h (its input) and nothing else: words instead
 * of enums in the answer, its own grammar, its own clock arithmetic.  The unit
 * test's grid and the fuzzer both ask it.
 */
#ifndef ADMIN_EXT_TEST_POLICY_ORACLE_H
#define ADMIN_EXT_TEST_POLICY_ORACLE_H

#include <stdbool.h>
#include <stdio.h>

#include "decision/policy.h"

typedef struct OracleAnswer
{
	int			precedence;
	const char *decision;		/* "deny" or "valid" */
	const char *reason;			/* NULL when valid */
	const char *ttl_state;		/* NULL when there is no such approval */
	bool		operator_alert;
	bool		requestable;
} OracleAnswer;

extern OracleAnswer policy_oracle(const PolicyRequest *request, const ApprovalFacts *facts);

/* Is the condition in this row of the contract's table met, whatever stands above it? */
extern bool policy_oracle_rule_holds(int precedence, const PolicyRequest *request,
									 const ApprovalFacts *facts);

/* NULL when policy.c and the oracle agree in everything, else what they differ in. */
extern const char *policy_oracle_difference(const PolicyRequest *request,
											const ApprovalFacts *facts);

/* The case and both answers, each line beginning with "# ". */
extern void policy_oracle_describe(FILE *out, const PolicyRequest *request,
								   const ApprovalFacts *facts);

#endif							/* ADMIN_EXT_TEST_POLICY_ORACLE_H */
