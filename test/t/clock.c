/*
 * clock.c
 *	  Preloaded into a server under test: its wall clock runs as many seconds ahead as the
 *	  file CLOCK_FILE says in its first eight bytes, at each moment.  Time that only passes
 *	  is left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead = NULL;

__attribute__((constructor))
static void
open_file(void)
{
	const char *path = getenv("CLOCK_FILE");
	int			file = path ? open(path, O_RDONLY) : -1;
	void	   *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);

	if (file >= 0)
		close(file);
	if (map == MAP_FAILED)
		abort();
	ahead = map;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *ahead;
	return result;
}

int
gettimeofday(struct timeval *now, void *zone)
{
	struct timespec time;
	int			result = clock_gettime(CLOCK_REALTIME, &time);

	(void) zone;
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *now)
{
	struct timespec time;

	(void) clock_gettime(CLOCK_REALTIME, &time);
	if (now)
		*now = time.tv_sec;
	return time.tv_sec;
}
