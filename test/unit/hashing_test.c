/*
 * hashing_test.c
 *	  Digests of the hashing thread against those that OpenSSL computes in one go.
 *
 * Threads: what the caller and the other one share is shown by the thread sanitizer.
 * Links: src/hashing.c -lcrypto -lpthread
 */
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "hashing.h"
#include "tap.h"

#define LARGE_BYTES		(1024 * 1024)
#define ROUNDS			200

static unsigned char *large;

/* The digest of these data, added in pieces of a size. */
static bool
is_right(Hashing *hashing, size_t length, size_t piece)
{
	unsigned char expected[HASHING_BYTES];
	unsigned char found[HASHING_BYTES];

	hashing_begin(hashing);
	for (size_t at = 0; at < length; at += piece)
		hashing_add(hashing, large + at, length - at < piece ? length - at : piece);
	return EVP_Digest(large, length, expected, NULL, EVP_sha256(), NULL) == 1 &&
		hashing_take(hashing, found) && memcmp(expected, found, HASHING_BYTES) == 0;
}

static void
test_sizes(void)
{
	static const size_t sizes[] = {0, 1, 64 * 1024 - 1, 64 * 1024, LARGE_BYTES};
	Hashing    *hashing = hashing_new();

	for (size_t i = 0; i < LENGTH_OF(sizes); i++)
		ok(is_right(hashing, sizes[i], LARGE_BYTES), "the digest of %zu bytes that are added at once is right", sizes[i]);
	ok(is_right(hashing, LARGE_BYTES, 100 * 1024), "the digest of pieces that the thread hashes is right");
	ok(is_right(hashing, LARGE_BYTES, 1000), "the digest of pieces that are too small for the thread is right");
	hashing_free(hashing);
}

/* One that goes on for long, and one for each round, as files and batches have them. */
static void
test_two_at_once(void)
{
	Hashing    *file = hashing_new();
	Hashing    *batch = hashing_new();
	EVP_MD_CTX *whole = EVP_MD_CTX_new();
	unsigned char *data = malloc(LARGE_BYTES);
	unsigned char expected[HASHING_BYTES];
	unsigned char found[HASHING_BYTES];
	int			wrong = 0;

	hashing_begin(file);
	EVP_DigestInit_ex(whole, EVP_sha256(), NULL);
	for (int i = 0; i < ROUNDS; i++)
	{
		size_t		length = LARGE_BYTES / 4 + i;

		memset(data, i, length);
		EVP_DigestUpdate(whole, data, length);
		EVP_Digest(data, length, expected, NULL, EVP_sha256(), NULL);
		hashing_begin(batch);
		hashing_add(file, data, length);
		hashing_add(batch, data, length);
		if (i % 3 == 0)
			usleep(i);
		wrong += !hashing_take(batch, found) || memcmp(expected, found, HASHING_BYTES) != 0;
		/* Now the data may change. */
		hashing_settle(file);
	}
	EVP_DigestFinal_ex(whole, expected, NULL);
	ok(wrong == 0, "the digest of every batch is right while a file's is computed");
	ok(hashing_take(file, found) && memcmp(expected, found, HASHING_BYTES) == 0, "the digest of a file is right while those of batches are computed");
	EVP_MD_CTX_free(whole);
	free(data);
	hashing_free(file);
	hashing_free(batch);
}

/* As a batch grows: a piece behind the other, each given as soon as it is there. */
static void
test_growing(void)
{
	Hashing    *hashing = hashing_new();
	unsigned char *data = malloc(LARGE_BYTES);
	unsigned char expected[HASHING_BYTES];
	unsigned char found[HASHING_BYTES];
	int			wrong = 0;

	for (int i = 0; i < ROUNDS; i++)
	{
		hashing_begin(hashing);
		for (size_t at = 0; at < LARGE_BYTES; at += LARGE_BYTES / 8)
		{
			memset(data + at, i + (int) (at >> 17), LARGE_BYTES / 8);
			hashing_add(hashing, data + at, LARGE_BYTES / 8 - 7);
			hashing_add(hashing, data + at + LARGE_BYTES / 8 - 7, 7);
			if (i % 5 == 0)
				usleep(i);
		}
		EVP_Digest(data, LARGE_BYTES, expected, NULL, EVP_sha256(), NULL);
		wrong += !hashing_take(hashing, found) || memcmp(expected, found, HASHING_BYTES) != 0;
	}
	ok(wrong == 0, "the digest of data that grow while they are hashed is right");
	free(data);
	hashing_free(hashing);
}

static void
test_forgotten(void)
{
	Hashing    *hashing = hashing_new();
	unsigned char found[HASHING_BYTES];

	for (int i = 0; i < ROUNDS; i++)
	{
		unsigned char *data = calloc(1, LARGE_BYTES);

		hashing_begin(hashing);
		hashing_add(hashing, data, LARGE_BYTES);
		hashing_settle(hashing);
		free(data);
	}
	ok(is_right(hashing, LARGE_BYTES, LARGE_BYTES), "what was added before hashing_begin() is forgotten");
	ok(!hashing_take(hashing, found), "a digest is taken once");
	hashing_begin(hashing);
	hashing_add(hashing, large, LARGE_BYTES);
	hashing_free(hashing);
	hashing_free(NULL);
	hashing_settle(NULL);
	ok(true, "a hashing that the thread works on may be freed");
}

/* A signal that the caller does not want now is not for the thread to take. */
static void
test_signals(void)
{
	sigset_t	set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	sigpending(&set);
	ok(sigismember(&set, SIGUSR1) == 1, "a signal waits for the caller");
}

static void
test_end(void)
{
	Hashing    *hashing = hashing_new();

	hashing_end();
	hashing_end();
	ok(is_right(hashing, LARGE_BYTES, LARGE_BYTES), "the thread begins again after hashing_end()");
	hashing_begin(hashing);
	hashing_add(hashing, large, LARGE_BYTES);
	hashing_end();
	hashing_free(hashing);
	ok(true, "the thread ends while it has data to hash");
}

int
main(void)
{
	large = malloc(LARGE_BYTES);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		large[i] = (unsigned char) (i * 7 + i / 1000);
	test_sizes();
	test_two_at_once();
	test_growing();
	test_forgotten();
	test_signals();
	test_end();
	free(large);
	return tap_done();
}
