/*
 * memory.h
 *	  palloc() for fuzzers, in place of libpgcommon's: what an input has allocated is freed
 *	  after it, as the end of a memory context does in the server.
 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

extern void memory_reset(void);

#endif							/* FUZZ_MEMORY_H */
