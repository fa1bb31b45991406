/*
 * digest.h
 *	  What a signer signs, as SHA-256.
 */
#ifndef ADMIN_EXT_DIGEST_H
#define ADMIN_EXT_DIGEST_H

#include "store/approval.h"

#define APPROVAL_DIGEST_BYTES	32

/* SHA-256 of what a signer signs. */
extern void approval_digest(const ApprovalRow *row, uint8 digest[APPROVAL_DIGEST_BYTES]);

#endif							/* ADMIN_EXT_DIGEST_H */
