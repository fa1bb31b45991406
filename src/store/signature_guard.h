/*
 * signature_guard.h
 *	  Who may sign what.
 */
#ifndef ADMIN_EXT_SIGNATURE_GUARD_H
#define ADMIN_EXT_SIGNATURE_GUARD_H

#include "store/approval.h"

/*
 * Raises 22023 unless the approval requires the role, 42501 when the signer requested it; role
 * and signer are texts.
 */
extern void signature_check_signer(const ApprovalRow *approval, Datum role, Datum signer);

/* The person whose signature is moving an approval forward right now, or NULL. */
extern const char *approval_guard_signer(void);

#endif							/* ADMIN_EXT_SIGNATURE_GUARD_H */
