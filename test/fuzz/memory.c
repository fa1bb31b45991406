/*
 * memory.c
 *	  See memory.h.  Each piece is malloc'd by itself, so that the sanitizer sees its ends.
 */
#include "postgres_fe.h"

#include "memory.h"

typedef struct Piece
{
	struct Piece *before;
	struct Piece *after;
} Piece;

static Piece all = {&all, &all};

static void *
link_piece(Piece *piece)
{
	if (piece == NULL)
		abort();
	piece->before = &all;
	piece->after = all.after;
	all.after->before = piece;
	all.after = piece;
	return piece + 1;
}

static Piece *
unlink_piece(void *pointer)
{
	Piece	   *piece = (Piece *) pointer - 1;

	piece->before->after = piece->after;
	piece->after->before = piece->before;
	return piece;
}

void *
palloc(Size size)
{
	return link_piece(malloc(sizeof(Piece) + size));
}

void *
palloc0(Size size)
{
	return link_piece(calloc(1, sizeof(Piece) + size));
}

void *
repalloc(void *pointer, Size size)
{
	return link_piece(realloc(unlink_piece(pointer), sizeof(Piece) + size));
}

void
pfree(void *pointer)
{
	free(unlink_piece(pointer));
}

char *
pstrdup(const char *in)
{
	Size		size = strlen(in) + 1;

	return memcpy(palloc(size), in, size);
}

void
memory_reset(void)
{
	while (all.after != &all)
		pfree(all.after + 1);
}
