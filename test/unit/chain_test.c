/*
 * chain_test.c
 *	  The delivery chain, against values that the Python reference has computed
 *	  (clients/python/src/admin_client/evidence/chain.py).
 *
 * Links: src/delivery/chain.c src/hashing.c -lcrypto -lpthread
 */
#include <string.h>

#include "delivery/chain.h"
#include "tap.h"

#define STORE	"7d1f2c60-5b1e-4d0a-9a63-0a7b3d1c2e4f"

static bool
is_chain(const unsigned char chain[CHAIN_BYTES], const char *expected)
{
	char		text[CHAIN_TEXT_BYTES];

	chain_write(chain, text);
	return strcmp(text, expected) == 0;
}

static bool
content_of(const char *documents, size_t length, unsigned char content[CHAIN_BYTES])
{
	Hashing    *hashing = hashing_new();
	bool		is_well;

	hashing_begin(hashing);
	hashing_add(hashing, documents, length);
	is_well = hashing_take(hashing, content);
	hashing_free(hashing);
	return is_well;
}

static void
test_start(void)
{
	unsigned char chain[CHAIN_BYTES];

	ok(chain_start(STORE, "kafka", chain) && is_chain(chain, "6519a6a17a70b0957e736451c9db4a29251dacb0d67ab6d4050d9fe33c07d5f2"), "the chain of a store has its beginning for the sink kafka");
	ok(chain_start(STORE, "ndjson", chain) && is_chain(chain, "1a409c598ad3be9906e5d8e18539780f3da62a0cc6b0842c47f1683052fbf803"), "the chain of a store has another beginning for the sink ndjson");
}

static void
test_content(void)
{
	static const char documents[] = "{\"id\":1}\n{\"id\":2}\n";
	unsigned char content[CHAIN_BYTES];

	ok(content_of(documents, sizeof(documents) - 1, content) && is_chain(content, "c63f6dd68b68601e7315ea40d28bc34e55379e4fa65f82b1d32228429aeafcde"), "two documents have the expected content hash");
	ok(content_of("", 0, content) && is_chain(content, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "an empty content has the expected hash");
}

static void
test_extend(void)
{
	unsigned char chain[CHAIN_BYTES];
	unsigned char content[CHAIN_BYTES];
	bool		is_well = chain_start(STORE, "kafka", chain) && content_of("{\"id\":1}\n{\"id\":2}\n", 18, content) &&
		chain_extend(chain, 1, 2, content);

	ok(is_well && is_chain(chain, "079ae5981d3d0b20493f0b0110d64c61a71d11ec52622894b556871cbdf121aa"), "the first batch extends the chain to the expected hash");
	is_well = content_of("{\"id\":3}\n", 9, content) && chain_extend(chain, 3, 1, content);
	ok(is_well && is_chain(chain, "f33e0fc03e6a1792e4184d0fc658f06d705c8db5106e2358ffc206479ab54782"), "the second batch extends the chain to the expected hash");
	ok(chain_extend(chain, INT64_C(9223372036854775806), 2, content) && is_chain(chain, "345f7991eed4e0f1649312ad1292cd6cdaf31fbc60fe9ffd5094efa40ff7bf25"), "a batch with the largest numbers extends the chain to the expected hash");
}

static void
test_text(void)
{
	static const char *const wrong[] = {
		"", "ab", "345f7991eed4e0f1649312ad1292cd6cdaf31fbc60fe9ffd5094efa40ff7bf250", "g000000000000000000000000000000000000000000000000000000000000000",
		"A000000000000000000000000000000000000000000000000000000000000000"
	};
	unsigned char chain[CHAIN_BYTES];

	ok(chain_read("345f7991eed4e0f1649312ad1292cd6cdaf31fbc60fe9ffd5094efa40ff7bf25", chain) && is_chain(chain, "345f7991eed4e0f1649312ad1292cd6cdaf31fbc60fe9ffd5094efa40ff7bf25"), "a chain is read as it was written");
	for (size_t i = 0; i < LENGTH_OF(wrong); i++)
		ok(!chain_read(wrong[i], chain), "not a chain: \"%s\"", wrong[i]);
}

int
main(void)
{
	test_start();
	test_content();
	test_extend();
	test_text();
	return tap_done();
}
