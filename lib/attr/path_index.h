/*
 * path_index.h - building the index of a place in JSON: what stands there in each row becomes a
 * column of the index's type, and that gets an index as any other (attr_index.h). Rows where
 * nothing stands, or a value of another type, are its nulls. Numbers of 2^53 and beyond may not be
 * what their double is, so their rows are kept apart (vdb_attr_index_apart), to be looked at in
 * their texts. Rows with a value of another type are listed too, so that the index knows where
 * nothing stands (vdb_attr_index_nothing).
 */
#ifndef VDB_PATH_INDEX_H
#define VDB_PATH_INDEX_H

#include "attr/attr_index.h"

struct vdb_path_index_build {
  struct vdb_mem *mem;
  const struct vdb_json_path *path;
  const struct vdb_column *texts;
  size_t n;
  struct vdb_sect_writer *out;
  bool (*stop)(void *arg); /* asked now and then; true cancels. NULL: never */
  void *stop_arg;
};

/* Writes the sections of the index of `path` over n texts. Errors: as of vdb_attr_index_build;
   CANCELLED when stopped. */
VDB_INTERNAL int vdb_path_index_build(const struct vdb_path_index_build *build, vecdb_error *err);

#endif
