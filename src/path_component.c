/*
 * path_component.c
 *	  See path_component.h.
 */
#include "postgres.h"

#include "path_component.h"

void
path_component(const char *name, char *out, Size size)
{
	Size		used = 0;

	for (const unsigned char *c = (const unsigned char *) name; *c && used + 4 < size; c++)
	{
		if (strchr(PATH_PLAIN_CHARACTERS, *c))
			out[used++] = *c;
		else
			used += snprintf(out + used, size - used, "%%%02X", *c);
	}
	out[used] = '\0';
}
