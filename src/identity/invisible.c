/*
 * invisible.c
 *	  See invisible.h.
 *
 * The ranges are those of Unicode 15: general categories Cc, Cf, Zs, Zl and Zp, the property
 * Default_Ignorable_Code_Point, noncharacters, the blank of Braille, and the full-width forms of
 * ASCII.  Letters of two scripts that look alike are not in it.
 */
#include <stdint.h>

#include "identity/invisible.h"
#include "utf8_repair.h"

static const struct
{
	uint32_t	first;
	uint32_t	last;
}			ranges[] = {
	{0x0000, 0x001F}, {0x007F, 0x00A0}, {0x00AD, 0x00AD}, {0x034F, 0x034F},
	{0x0600, 0x0605}, {0x061C, 0x061C}, {0x06DD, 0x06DD}, {0x070F, 0x070F},
	{0x0890, 0x0891}, {0x08E2, 0x08E2}, {0x115F, 0x1160}, {0x1680, 0x1680},
	{0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x2000, 0x200F}, {0x2028, 0x202F},
	{0x205F, 0x206F}, {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},
	{0xFDD0, 0xFDEF}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFF01, 0xFF5E},
	{0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0x110BD, 0x110BD},
	{0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
	{0xE0000, 0xE0FFF},
};

static uint32_t
code_point(const unsigned char *at, size_t bytes)
{
	uint32_t	result = bytes == 1 ? at[0] : at[0] & (0x7F >> bytes);

	for (size_t i = 1; i < bytes; i++)
		result = (result << 6) | (at[i] & 0x3F);
	return result;
}

static bool
is_invisible(uint32_t c)
{
	if ((c & 0xFFFE) == 0xFFFE)
		return true;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
	{
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

bool
has_invisible(const char *utf8, size_t length)
{
	for (size_t i = 0; i < length;)
	{
		size_t		bytes = utf8_character_bytes(utf8 + i, length - i);

		if (bytes == 0 || is_invisible(code_point((const unsigned char *) utf8 + i, bytes)))
			return true;
		i += bytes;
	}
	return false;
}
