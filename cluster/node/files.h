/*
 * files.h - the system's files behind the table of vecdb.h, for what a node keeps beside its
 * databases: what lies in files goes through it, so that tests can put a simulated disk there.
 */
#ifndef CLUSTER_NODE_FILES_H
#define CLUSTER_NODE_FILES_H

#include "vecdb.h"

/* map, unmap, lock and queue are not there. */
const vecdb_vfs *files_system(void);

/* A path of parts: "a/b". False: it does not fit. */
bool files_join(char *out, size_t room, const char *folder, const char *name);
/* Makes a folder unless it is there, and its name durable in its parent. 0, or an errno value. */
int files_make_dir(const vecdb_vfs *vfs, const char *path);
/* Writes a small file as a whole, so that after a crash the old or the new one is there. 0, or an
   errno value. */
int files_replace(const vecdb_vfs *vfs, const char *folder, const char *name, const void *data,
                  size_t n);
/* Removes a folder of plain files, as far as that is possible. */
void files_clear(const vecdb_vfs *vfs, const char *path);
/* Removes a folder and what is in it, folders in it too, of the system's files. */
void files_remove_tree(const char *path);

#endif
