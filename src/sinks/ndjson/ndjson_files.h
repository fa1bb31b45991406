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
 * Opens the directory of that path, and creates it if it is missing.  An outage if its owner is
 * neither the server's user nor root, or if its group or others can write to it.
 */
extern AdminSinkResult ndjson_directory_open(AdminSink *sink, NdjsonDirectory *directory);

/* An outage if its path leads to another directory by now. */
extern AdminSinkResult ndjson_directory_look(AdminSink *sink, const NdjsonDirectory *directory);

/* Is it in the data directory, and so copied with it to standbys and backups? */
extern bool ndjson_directory_travels(const NdjsonDirectory *directory);

/* Flushes its entries. */
extern AdminSinkResult ndjson_directory_fsync(AdminSink *sink, const NdjsonDirectory *directory);
extern void ndjson_directory_close(NdjsonDirectory *directory);

/*
 * The names that a file may have, by attempt from 0 on.  Each attempt adds a leading zero to the
 * number; after twenty zeros, a second number counts the attempts.
 */
extern void ndjson_file_name(const char *database, int64 first_audit_id, int attempt, char name[MAXPGPATH]);

/* Is it <database>-<number>.ndjson, or <database>-<number>.<number>.ndjson?  Such a name cannot leave the directory. */
extern bool ndjson_is_file_name(const char *name);

/*
 * Opens a file for reading and writing, as openat() does with the flags.  *fd is -1 if the file
 * does not exist or, with O_EXCL, exists.  An outage if it is not a regular file, has a second
 * link, or belongs to another user: others could write to it.
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
