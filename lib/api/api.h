/* api.h - what the files of lib/api share: checking of handles, controls and error records. */
#ifndef VDB_API_H
#define VDB_API_H

#include "db/db.h"
#include "query/query.h"

/* The caller's error record, or `own` when there is none. */
VDB_INLINE vecdb_error *vdb_api_error(vecdb_error *error, vecdb_error *own) {
  return error ? error : own;
}

/* ARGUMENT naming `what` when `pointer` is NULL. */
VDB_INLINE int vdb_api_need(const void *pointer, const char *what, vecdb_error *err) {
  return pointer ? VECDB_OK : vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL", what);
}

/* Checks a caller's control and makes the inner one. */
VDB_INLINE int vdb_api_control(const struct vdb_env *env, const vecdb_control *from,
                               struct vdb_control *out, vecdb_error *err) {
  if (from && from->size != sizeof *from)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_control has size %zu here, not %u", sizeof *from,
                    from->size);
  vdb_control_init(out, env, from);
  return VECDB_OK;
}

#endif
