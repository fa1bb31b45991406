/*
 * chain.c
 *	  See chain.h.
 */
#include "delivery/chain.h"

#include <openssl/evp.h>
#include <string.h>

#define DOMAIN	"admin_ext delivery chain 1"

typedef struct Piece
{
	const void *data;
	size_t		length;
} Piece;

/* The context is allocated once and reused: allocation costs more than hashing a short message. */
static bool
chain_sha256(const Piece *pieces, int count, unsigned char digest[CHAIN_BYTES])
{
	static EVP_MD_CTX *context = NULL;
	static bool is_made = false;
	bool		is_well;

	if (context == NULL)
		context = EVP_MD_CTX_new();
	is_well = context != NULL && EVP_DigestInit_ex(context, is_made ? NULL : EVP_sha256(), NULL) == 1;
	for (int i = 0; i < count && is_well; i++)
		is_well = EVP_DigestUpdate(context, pieces[i].data, pieces[i].length) == 1;
	is_made = is_well && EVP_DigestFinal_ex(context, digest, NULL) == 1;
	return is_made;
}

static void
put_number(unsigned char *at, int64_t number)
{
	for (int i = 0; i < 8; i++)
		at[i] = (unsigned char) ((uint64_t) number >> (56 - 8 * i));
}

bool
chain_start(const char *store_id, const char *sink, unsigned char chain[CHAIN_BYTES])
{
	Piece		pieces[] = {{DOMAIN, strlen(DOMAIN)}, {store_id, strlen(store_id)}, {sink, strlen(sink)}};

	return chain_sha256(pieces, 3, chain);
}

bool
chain_extend(unsigned char chain[CHAIN_BYTES], int64_t first, int64_t count,
			 const unsigned char content[CHAIN_BYTES])
{
	unsigned char link[2 * CHAIN_BYTES + 16];
	Piece		piece = {link, sizeof(link)};

	memcpy(link, chain, CHAIN_BYTES);
	put_number(link + CHAIN_BYTES, first);
	put_number(link + CHAIN_BYTES + 8, count);
	memcpy(link + CHAIN_BYTES + 16, content, CHAIN_BYTES);
	return chain_sha256(&piece, 1, chain);
}

void
chain_write(const unsigned char chain[CHAIN_BYTES], char text[CHAIN_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < CHAIN_BYTES; i++)
	{
		text[2 * i] = digits[chain[i] >> 4];
		text[2 * i + 1] = digits[chain[i] & 15];
	}
	text[2 * CHAIN_BYTES] = '\0';
}

static int
digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
chain_read(const char *text, unsigned char chain[CHAIN_BYTES])
{
	for (int i = 0; i < CHAIN_BYTES; i++)
	{
		int			high = digit_of(text[2 * i]);
		int			low = high < 0 ? -1 : digit_of(text[2 * i + 1]);

		if (low < 0)
			return false;
		chain[i] = (unsigned char) (high << 4 | low);
	}
	return text[2 * CHAIN_BYTES] == '\0';
}
