/*
 * apivfs.h - a file system in memory, written as a host would write one: from vecdb.h alone. It
 * counts calls and can be told to fail.
 */
#ifndef APIVFS_H
#define APIVFS_H

#include "vecdb.h"

struct av_disk;

/* A new empty disk; av_vfs is what vecdb_options takes. Free it after the databases are closed. */
struct av_disk *av_new(void);
void av_free(struct av_disk *disk);
const vecdb_vfs *av_vfs(struct av_disk *disk);
/* Calls of the table so far. */
unsigned long av_calls(const struct av_disk *disk);
/* From now on writes and syncs answer this errno value; 0: none. Reading goes on. */
void av_fail_writes(struct av_disk *disk, int os);
/* From now on reads answer this errno value; 0: none. What is mapped can be read. */
void av_fail_reads(struct av_disk *disk, int os);
/* Files that are open now; mappings that are in force. */
unsigned long av_open_files(const struct av_disk *disk);
unsigned long av_mappings(const struct av_disk *disk);

#endif
