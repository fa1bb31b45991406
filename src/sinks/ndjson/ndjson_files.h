/*
 * ndjson_files.h
 *	  The directory of the NDJSON sink, and the files in it: opened so that no other user
 *	  decides what is written to.
 */
#ifndef ADMIN_EXT_NDJSON_FILES_H
#define ADMIN_EXT_NDJSON_FILES_H

#include <sys/stat.h>

#include "admin_ext_sink.h"

typedef struct NdjsonDirectory
{
	char		path[MAXPGPATH];	/* as errors name it */
	int			fd;				/* -1: not open */
} NdjsonDirectory;

/* An outage, by errno. */
extern AdminSinkResult ndjson_outage(AdminSink *sink, const char *what, const char *path);

/*
 * Opens the directory of that path, and makes it where it is missing.  An outage where
 * somebody but the server's user or root owns it, or where its group or others can write it.
 */
extern AdminSinkResult ndjson_directory_open(AdminSink *sink, NdjsonDirectory *directory);

/* An outage where its path leads elsewhere by now. */
extern AdminSinkResult ndjson_directory_look(AdminSink *sink, const NdjsonDirectory *directory);

/* Is it in the data directory, and so copied with it to standbys and backups? */
extern bool ndjson_directory_travels(const NdjsonDirectory *directory);

/* Flushes its entries. */
extern AdminSinkResult ndjson_directory_fsync(AdminSink *sink, const NdjsonDirectory *directory);
extern void ndjson_directory_close(NdjsonDirectory *directory);

/*
 * The names that a file may have, by attempt from 0 on.  Leading zeros make the number another
 * name; where twenty of them are used up, a second number counts on.
 */
extern void ndjson_file_name(const char *database, int64 first_audit_id, int attempt, char name[MAXPGPATH]);

/* Is it <database>-<number>.ndjson, or <database>-<number>.<number>.ndjson?  Such a name cannot leave the directory. */
extern bool ndjson_is_file_name(const char *name);

/*
 * Opens a file for reading and writing, as openat() does with the flags: *fd is -1 where it
 * is not there, or with O_EXCL is there.  An outage where it is no regular file, has a
 * second link, or belongs to another user: what is in it would not be ours alone.
 */
extern AdminSinkResult ndjson_file_open(AdminSink *sink, const NdjsonDirectory *directory, const char *name,
										int flags, mode_t mode, int *fd);

/* Opens one for reading, to look at it once; -1: it does not exist, or is not one of ours. */
extern int	ndjson_file_look(const NdjsonDirectory *directory, const char *name);

/* Reserves room on the disk without changing the file's size.  False: errno says why not. */
extern bool ndjson_file_reserve(int fd, off_t offset, off_t length);

/* The mode of files that are meant for readers, and of the directory they are in. */
extern mode_t ndjson_mode_of_files(void);

#endif							/* ADMIN_EXT_NDJSON_FILES_H */
