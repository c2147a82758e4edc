/* api_db.c - versions, opening, closing and the work on whole databases; contracts in vecdb.h. */
#include "api/api.h"

VECDB_API const char *vecdb_version(void) { return VECDB_VERSION_STRING; }

VECDB_API uint32_t vecdb_version_number(void) {
  return VECDB_VERSION_MAJOR * 10000 + VECDB_VERSION_MINOR * 100 + VECDB_VERSION_PATCH;
}

VECDB_API int vecdb_open(const char *path, const vecdb_options *options, vecdb **out,
                         vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(out, "out", err));
  *out = NULL;
  VDB_TRY(vdb_api_need(path, "path", err));
  return vdb_db_open(path, options, out, err);
}

VECDB_API int vecdb_close(vecdb *db, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  return db ? vdb_db_close(db, err) : VECDB_OK;
}

VECDB_API int vecdb_refresh(vecdb *db, uint32_t max_age_ms, vecdb_refresh_info *info,
                            vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  vecdb_refresh_info now = VECDB_REFRESH_INFO_INIT;
  VDB_TRY(vdb_api_need(db, "db", err));
  if (info && info->size != sizeof *info)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_refresh_info has size %zu here, not %u",
                    sizeof *info, info->size);
  if (!(db->flags & VECDB_READ_ONLY))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the database is open for writing");
  VDB_TRY(vdb_follow(db, max_age_ms, &now, err));
  if (info)
    *info = now;
  return VECDB_OK;
}

/* Does pieces of work until the limits are reached; step_mu held. */
static int api_step_work(vecdb *db, uint32_t ms, uint64_t bytes, vecdb_error *err) {
  uint64_t end = ms ? vdb_now_ns(&db->env) + (uint64_t)ms * 1000000 : UINT64_MAX;
  uint64_t worked = 0;
  struct vdb_control control;
  vdb_control_init(&control, &db->env, NULL);
  for (bool did = true; did;) {
    vdb_jobs_sync(db);
    VDB_TRY(vdb_jobs_run_one(db, NULL, &did, &worked, &control, err));
    if ((bytes && worked >= bytes) || vdb_now_ns(&db->env) >= end)
      break;
  }
  return VECDB_OK;
}

VECDB_API int vecdb_step(vecdb *db, uint32_t ms, uint64_t bytes, bool *more, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  if (more)
    *more = false;
  if (!db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  if (!vdb_mutex_try(&db->step_mu)) {
    if (more)
      *more = true;
    return VECDB_OK;
  }
  int rc = api_step_work(db, ms, bytes, err);
  vdb_mutex_unlock(&db->step_mu);
  if (more)
    *more = vdb_jobs_pending(db, NULL) > 0;
  return rc;
}

VECDB_API int vecdb_flush_all(vecdb *db, const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&db->env, control, &inner, err));
  struct vecdb_collection *coll;
  for (uint64_t id = 0; (coll = vdb_collection_from(db, id)) != NULL;) {
    id = coll->id + UINT64_C(1);
    int rc = vdb_flush(coll, &inner, err);
    vdb_collection_unref(coll);
    if (rc && rc != VECDB_ERR_CLOSED)
      return rc;
  }
  return VECDB_OK;
}

VECDB_API int vecdb_check(vecdb *db, void (*report)(void *user, const char *line), void *user,
                          const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&db->env, control, &inner, err));
  return vdb_check_all(db, report, user, &inner, err);
}

VECDB_API int vecdb_backup(vecdb *db, const char *path, const vecdb_control *control,
                           vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(path, "path", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&db->env, control, &inner, err));
  return vdb_backup(db, path, &inner, err);
}

VECDB_API int vecdb_restore(const char *from, const char *to, const vecdb_options *options,
                            vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(from, "from", err));
  VDB_TRY(vdb_api_need(to, "to", err));
  return vdb_restore(from, to, options, err);
}

VECDB_API int vecdb_rekey(vecdb *db, const char *key_id, uint32_t flags, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  if (flags & ~(uint32_t)VECDB_REKEY_NEW_DATA_KEY)
    return vdb_fail(err, VECDB_ERR_OPTION, "flags 0x%x are not all known", flags);
  if (!db->keys)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the database is not encrypted");
  if (!db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  return vdb_rekey(db, key_id, (flags & VECDB_REKEY_NEW_DATA_KEY) != 0, err);
}
