/*
 * ndjson_files.c
 *	  Opens the directory and the files of the NDJSON sink.
 *
 * The directory is opened once, and its files are opened relative to it, so redirecting its path
 * meanwhile has no effect.  A user who can add files to the directory could use a link to make the
 * server write to any of its files.  So links are not followed, and a directory that others can
 * write to is refused.
 *
 * The functions use openat() instead of fd.c, which cannot open files relative to a directory.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "path_component.h"
#include "sinks/ndjson/ndjson_files.h"
#include "sinks/ndjson/ndjson_settings.h"

#define ENDING ".ndjson"

AdminSinkResult
ndjson_outage(AdminSink *sink, const char *what, const char *path)
{
	snprintf(sink->error, sizeof(sink->error), "could not %s \"%s\": %s", what, path,
			 strerror(errno));
	return ADMIN_SINK_RETRY;
}

/* A cluster whose group may read the data directory, for backups, lets it read these files, too. */
mode_t
ndjson_mode_of_files(void)
{
	return ndjson_file_mode | pg_file_create_mode;
}

/* A user who may read the files may also list them. */
static mode_t
mode_of_directory(void)
{
	mode_t		mode = ndjson_mode_of_files();

	return mode | S_IRWXU | ((mode & (S_IRGRP | S_IROTH)) >> 2);
}

static AdminSinkResult
refuse_directory(AdminSink *sink, const NdjsonDirectory *directory, const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		snprintf(sink->error, sizeof(sink->error),
				 "directory \"%s\" belongs to user %u, not to the user of the server; change its owner",
				 directory->path, (unsigned) st->st_uid);
	else
		snprintf(sink->error, sizeof(sink->error),
				 "directory \"%s\" can be written by its group or by others, who could redirect the files; "
				 "run chmod go-w on it", directory->path);
	return ADMIN_SINK_RETRY;
}

static AdminSinkResult
make_directory(AdminSink *sink, const char *path, bool *is_new)
{
	char		parent[MAXPGPATH];
	int			fd;

	*is_new = mkdir(path, S_IRWXU) == 0;
	if (!*is_new)
		return errno == EEXIST ? ADMIN_SINK_OK : ndjson_outage(sink, "create directory", path);
	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	fd = open(parent[0] ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || pg_fsync(fd) < 0)
	{
		(void) ndjson_outage(sink, "fsync directory", parent);
		if (fd >= 0)
			close(fd);
		return ADMIN_SINK_RETRY;
	}
	close(fd);
	return ADMIN_SINK_OK;
}

AdminSinkResult
ndjson_directory_open(AdminSink *sink, NdjsonDirectory *directory)
{
	struct stat st;
	bool		is_new;
	AdminSinkResult result = make_directory(sink, directory->path, &is_new);

	if (result != ADMIN_SINK_OK)
		return result;
	directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory->fd < 0 || fstat(directory->fd, &st) < 0)
		return ndjson_outage(sink, "open directory", directory->path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return refuse_directory(sink, directory, &st);
	/* The server's umask would remove permissions. */
	if (is_new && fchmod(directory->fd, mode_of_directory()) < 0)
		return ndjson_outage(sink, "set the mode of directory", directory->path);
	return ADMIN_SINK_OK;
}

bool
ndjson_directory_travels(const NdjsonDirectory *directory)
{
	char		real[PATH_MAX];
	char		data[PATH_MAX];
	Size		length;

	if (realpath(directory->path, real) == NULL || realpath(DataDir, data) == NULL)
		return false;
	length = strlen(data);
	return strncmp(real, data, length) == 0 && (real[length] == '/' || real[length] == '\0');
}

AdminSinkResult
ndjson_directory_look(AdminSink *sink, const NdjsonDirectory *directory)
{
	struct stat by_path;
	struct stat open;

	if (stat(directory->path, &by_path) == 0 && fstat(directory->fd, &open) == 0 &&
		by_path.st_dev == open.st_dev && by_path.st_ino == open.st_ino)
		return ADMIN_SINK_OK;
	snprintf(sink->error, sizeof(sink->error), "directory \"%s\" was moved away or replaced", directory->path);
	return ADMIN_SINK_RETRY;
}

AdminSinkResult
ndjson_directory_fsync(AdminSink *sink, const NdjsonDirectory *directory)
{
	return pg_fsync(directory->fd) == 0 ? ADMIN_SINK_OK : ndjson_outage(sink, "fsync directory", directory->path);
}

void
ndjson_directory_close(NdjsonDirectory *directory)
{
	if (directory->fd >= 0)
		close(directory->fd);
	directory->fd = -1;
}

void
ndjson_file_name(const char *database, int64 first_audit_id, int attempt, char name[MAXPGPATH])
{
	static const char zeros[] = "00000000000000000000";
	char		component[MAXPGPATH];

	path_component(database, component, sizeof(component));
	if (attempt < sizeof(zeros))
		snprintf(name, MAXPGPATH, "%s-%.*s" INT64_FORMAT "%s", component, attempt, zeros, first_audit_id, ENDING);
	else
		snprintf(name, MAXPGPATH, "%s-" INT64_FORMAT ".%d%s", component, first_audit_id, attempt, ENDING);
}

/* Where the digits before this begin. */
static const char *
digits_before(const char *name, const char *end)
{
	while (end > name && end[-1] >= '0' && end[-1] <= '9')
		end--;
	return end;
}

bool
ndjson_is_file_name(const char *name)
{
	Size		length = strlen(name);
	Size		ending = strlen(ENDING);
	const char *end = name + length - ending;
	const char *at;

	if (length <= ending || strcmp(end, ENDING) != 0 || strspn(name, PATH_PLAIN_CHARACTERS "%") != length)
		return false;
	at = digits_before(name, end);
	if (at < end && at > name && at[-1] == '.')
	{
		end = at - 1;
		at = digits_before(name, end);
	}
	return at < end && at > name + 1 && at[-1] == '-';
}

static AdminSinkResult
refuse_file(AdminSink *sink, const NdjsonDirectory *directory, const char *name, const char *what)
{
	snprintf(sink->error, sizeof(sink->error), "\"%s/%s\" %s; move it away", directory->path, name, what);
	return ADMIN_SINK_RETRY;
}

static AdminSinkResult
check_file(AdminSink *sink, const NdjsonDirectory *directory, const char *name, int fd)
{
	struct stat st;
	char		path[2 * MAXPGPATH];

	if (fstat(fd, &st) < 0)
	{
		snprintf(path, sizeof(path), "%s/%s", directory->path, name);
		return ndjson_outage(sink, "look at file", path);
	}
	if (!S_ISREG(st.st_mode))
		return refuse_file(sink, directory, name, "is not a regular file");
	if (st.st_nlink > 1)
		return refuse_file(sink, directory, name, "has more than one link");
	if (st.st_uid != geteuid())
		return refuse_file(sink, directory, name, "belongs to another user");
	return ADMIN_SINK_OK;
}

AdminSinkResult
ndjson_file_open(AdminSink *sink, const NdjsonDirectory *directory, const char *name, int flags, mode_t mode, int *fd)
{
	char		path[2 * MAXPGPATH];
	AdminSinkResult result;

	*fd = openat(directory->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | flags, mode);
	if (*fd < 0 && ((errno == ENOENT && (flags & O_CREAT) == 0) || (errno == EEXIST && (flags & O_EXCL) != 0)))
		return ADMIN_SINK_OK;
	if (*fd < 0 && errno == ELOOP)
		return refuse_file(sink, directory, name, "is a symbolic link");
	snprintf(path, sizeof(path), "%s/%s", directory->path, name);
	if (*fd < 0)
		return ndjson_outage(sink, (flags & O_CREAT) != 0 ? "create file" : "open file", path);
	result = check_file(sink, directory, name, *fd);
	if (result == ADMIN_SINK_OK && fchmod(*fd, mode) < 0)
		result = ndjson_outage(sink, "set the mode of file", path);
	if (result != ADMIN_SINK_OK)
	{
		close(*fd);
		*fd = -1;
	}
	return result;
}

int
ndjson_file_look(const NdjsonDirectory *directory, const char *name)
{
	struct stat st;
	int			fd = openat(directory->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
	{
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
ndjson_file_reserve(int fd, off_t offset, off_t length)
{
#ifdef FALLOC_FL_KEEP_SIZE
	int			result;

	do
		result = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
	while (result < 0 && errno == EINTR);
	/* Not every file system can reserve room; then the write itself finds out. */
	return result == 0 || (errno != ENOSPC && errno != EDQUOT);
#else
	return true;
#endif
}
