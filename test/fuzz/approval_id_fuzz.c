/*
 * approval_id_fuzz.c
 *	  Any bytes: the check of an approval id and the contract's regular
 *	  expression say the same.
 *
 * libFuzzer's buffer ends where the input ends, so a byte read too far is noticed.
 *
 * Links: src/decision/approval_id.c test/unit/approval_id_oracle.c
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "approval_id_oracle.h"
#include "decision/approval_id.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *id = (const char *) data;
	bool		valid = approval_id_is_valid(id, size);

	if (valid != approval_id_oracle(id, size))
	{
		fprintf(stderr, "approval_id_is_valid() says %s, the grammar does not\n",
				valid ? "yes" : "no");
		abort();
	}
	return 0;
}
