/*
 * hashing.c
 *	  See hashing.h.
 *
 * Memory that was handed to the thread waits in a queue until the thread has hashed it, slice by
 * slice, and may grow meanwhile.  A caller that needs the result takes the memory back and hashes
 * the rest itself.  It waits for one slice at most, and never for the thread to wake up.
 */
#include "hashing.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Hashing less than this takes no longer than waking up the thread. */
#define WORTH_BYTES		(64 * 1024)
#define SLICE_BYTES		(128 * 1024)

typedef enum HashingState
{
	AT_REST,
	QUEUED,
	IN_HAND						/* the thread is hashing a slice of it */
} HashingState;

struct Hashing
{
	EVP_MD_CTX *context;		/* with is_well: the caller's; the thread's while IN_HAND */
	bool		is_well;		/* no step has failed since it was begun */
	bool		was_given;		/* the caller's; may be true while the state is AT_REST */

	HashingState state;			/* this and all that follow are guarded by the mutex */
	bool		is_wanted;		/* the caller waits for it */
	Hashing    *next;
	const char *at;				/* what is left to be hashed, the slice in hand included */
	size_t		left;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t was_queued = PTHREAD_COND_INITIALIZER;
static pthread_cond_t came_to_rest = PTHREAD_COND_INITIALIZER;
static Hashing *queue = NULL;	/* guarded by the mutex, as is is_ending */
static bool is_ending = false;
static bool is_running = false; /* the caller's own, as is thread */
static pthread_t thread;

static void
compute_hash(Hashing *hashing, const void *data, size_t length)
{
#ifdef WITHOUT_HASHING
	/* For the benchmark that says what hashing costs. */
#else
	hashing->is_well = hashing->is_well && EVP_DigestUpdate(hashing->context, data, length) == 1;
#endif
}

static void
append_to_queue(Hashing *hashing)
{
	Hashing   **last = &queue;

	while (*last != NULL)
		last = &(*last)->next;
	*last = hashing;
	hashing->next = NULL;
	hashing->state = QUEUED;
	pthread_cond_signal(&was_queued);
}

static void
take_from_queue(Hashing *hashing, HashingState state)
{
	Hashing   **at = &queue;

	while (*at != hashing)
		at = &(*at)->next;
	*at = hashing->next;
	hashing->state = state;
}

/* Leaves the mutex while it computes. */
static void
hash_slice(Hashing *hashing)
{
	const char *at = hashing->at;
	size_t		length = hashing->left < SLICE_BYTES ? hashing->left : SLICE_BYTES;

	take_from_queue(hashing, IN_HAND);
	pthread_mutex_unlock(&mutex);
	compute_hash(hashing, at, length);
	pthread_mutex_lock(&mutex);
	hashing->at += length;
	hashing->left -= length;
	hashing->state = AT_REST;
	if (hashing->is_wanted)
		pthread_cond_signal(&came_to_rest);
	else if (hashing->left > 0)
	{
		/* Goes back to the front of the queue: the caller needs first what it gave first. */
		hashing->next = queue;
		queue = hashing;
		hashing->state = QUEUED;
	}
}

static void *
hashing_thread(void *unused)
{
	pthread_mutex_lock(&mutex);
	while (!is_ending)
	{
		if (queue == NULL)
			pthread_cond_wait(&was_queued, &mutex);
		else
			hash_slice(queue);
	}
	pthread_mutex_unlock(&mutex);
	return unused;
}

/* Signals are for the caller's thread: the new thread inherits that they are blocked. */
static bool
is_running_now(void)
{
	sigset_t	all;
	sigset_t	before;

	if (is_running)
		return true;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return false;
	is_running = pthread_create(&thread, NULL, hashing_thread, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return is_running;
}

Hashing *
hashing_new(void)
{
	Hashing    *hashing = calloc(1, sizeof(Hashing));

	if (hashing == NULL)
		return NULL;
	hashing->context = EVP_MD_CTX_new();
	if (hashing->context == NULL)
	{
		free(hashing);
		return NULL;
	}
	return hashing;
}

void
hashing_begin(Hashing *hashing)
{
	hashing_settle(hashing);
	hashing->is_well = EVP_DigestInit_ex(hashing->context, EVP_sha256(), NULL) == 1;
}

/* Adds data that directly follow those of the thread in memory.  Returns whether it did. */
static bool
extend_running(Hashing *hashing, const char *data, size_t length)
{
	bool		follows;

	if (!hashing->was_given)
		return false;
	pthread_mutex_lock(&mutex);
	follows = data == hashing->at + hashing->left && (hashing->state != AT_REST || length >= WORTH_BYTES);
	if (follows)
	{
		hashing->left += length;
		if (hashing->state == AT_REST)
			append_to_queue(hashing);
	}
	pthread_mutex_unlock(&mutex);
	return follows;
}

void
hashing_add(Hashing *hashing, const void *data, size_t length)
{
	if (extend_running(hashing, data, length))
		return;
	hashing_settle(hashing);
	if (length < WORTH_BYTES || !is_running_now())
	{
		compute_hash(hashing, data, length);
		return;
	}
	hashing->was_given = true;
	pthread_mutex_lock(&mutex);
	hashing->at = data;
	hashing->left = length;
	append_to_queue(hashing);
	pthread_mutex_unlock(&mutex);
}

void
hashing_settle(Hashing *hashing)
{
	if (hashing == NULL || !hashing->was_given)
		return;
	pthread_mutex_lock(&mutex);
	if (hashing->state == QUEUED)
		take_from_queue(hashing, AT_REST);
	hashing->is_wanted = true;
	while (hashing->state == IN_HAND)
		pthread_cond_wait(&came_to_rest, &mutex);
	hashing->is_wanted = false;
	pthread_mutex_unlock(&mutex);
	hashing->was_given = false;
	if (hashing->left > 0)
		compute_hash(hashing, hashing->at, hashing->left);
	hashing->left = 0;
}

bool
hashing_take(Hashing *hashing, unsigned char digest[HASHING_BYTES])
{
	hashing_settle(hashing);
	hashing->is_well = hashing->is_well && EVP_DigestFinal_ex(hashing->context, digest, NULL) == 1;
	if (!hashing->is_well)
		return false;
	hashing->is_well = false;	/* until it is begun again */
	return true;
}

void
hashing_free(Hashing *hashing)
{
	if (hashing == NULL)
		return;
	hashing_settle(hashing);
	EVP_MD_CTX_free(hashing->context);
	free(hashing);
}

void
hashing_end(void)
{
	if (!is_running)
		return;
	pthread_mutex_lock(&mutex);
	is_ending = true;
	pthread_cond_signal(&was_queued);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	is_running = is_ending = false;
}
