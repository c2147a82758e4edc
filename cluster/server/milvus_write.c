/* milvus_write.c - Insert, Upsert and Delete. */
#include <stddef.h>
#include <string.h>

#include "server/guard.h"
#include "server/milvus.h"

struct write_request {
  const char *db, *name, *partition, *expr;
  struct pb_list data, values;
  int64_t n_rows, partial;
};
static const struct pb_field write_rows_table[] = {
    {2, PB_TEXT, offsetof(struct write_request, db)},
    {3, PB_TEXT, offsetof(struct write_request, name)},
    {4, PB_TEXT, offsetof(struct write_request, partition)},
    {5, PB_LIST, offsetof(struct write_request, data)},
    {7, PB_NUMBER, offsetof(struct write_request, n_rows)},
    {9, PB_NUMBER, offsetof(struct write_request, partial)}, /* of upserts; a text in inserts */
};
enum { WRITE_INSERT = 5, WRITE_UPSERT = 6 }; /* how many of the fields a request has */

static const struct pb_field write_delete_table[] = {
    {2, PB_TEXT, offsetof(struct write_request, db)},
    {3, PB_TEXT, offsetof(struct write_request, name)},
    {4, PB_TEXT, offsetof(struct write_request, partition)},
    {5, PB_TEXT, offsetof(struct write_request, expr)},
    {8, PB_LIST, offsetof(struct write_request, values)},
};

/* Which rows were written, as MutationResult counts them. */
static void write_answer(struct milvus *m, const struct milvus_open *open, const vecdb_batch *batch,
                         uint32_t count_field) {
  milvus_keys_write(m, 2, open, batch);
  size_t mark = srv_pb_open(&m->out, 3);
  for (uint32_t i = 0; i < batch->n_rows; i++)
    srv_pb_varint(&m->out, i);
  srv_pb_close(&m->out, mark);
  srv_pb_number(&m->out, count_field, batch->n_rows);
  srv_pb_number(&m->out, 9, srv_milvus_ids(m->call->server->milvus, 1));
}

/* Milvus's inserts take a key that is there already: both write over it. A partial upsert leaves
   the fields that it does not name as they are. */
static void write_rows(struct milvus *m, size_t n_fields, uint32_t count_field) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct pb_bytes in = {(const uint8_t *)m->call->body, m->call->body_bytes};
  struct write_request r;
  struct milvus_open open;
  vecdb_batch batch;
  vecdb_error error;
  if (!milvus_take(m, in, write_rows_table, n_fields, &r, sizeof r))
    return;
  pthread_rwlock_rdlock(&state->writes);
  if (milvus_open(m, r.db, r.name, &open)) {
    uint32_t n_rows = r.n_rows < 0 || r.n_rows > UINT32_MAX ? 0 : (uint32_t)r.n_rows;
    if (milvus_rows_read(m, &open, r.partition, &r.data, n_rows, &batch)) {
      int rc = r.partial ? srv_guard_update(m->call, open.collection, &batch, VECDB_UPDATE_INSERT,
                                            NULL, &error)
                         : srv_guard_upsert(m->call, open.collection, &batch, NULL, &error);
      if (rc == VECDB_OK)
        write_answer(m, &open, &batch, count_field);
      else
        milvus_error(m, &error);
    }
    milvus_close(&open);
  }
  pthread_rwlock_unlock(&state->writes);
}

void milvus_insert(struct milvus *m) {
  write_rows(m, WRITE_INSERT, 6);
}

void milvus_upsert(struct milvus *m) {
  write_rows(m, WRITE_UPSERT, 8);
}

static bool write_delete(struct milvus *m, const struct milvus_open *open,
                         const struct write_request *r) {
  struct pb_bytes name = {(const uint8_t *)r->partition, strlen(r->partition)};
  struct pb_list names = {&name, name.n ? 1 : 0};
  vecdb_filter filter;
  vecdb_error error;
  uint64_t deleted = 0;
  if (!milvus_filter_read(m, open, r->expr, &r->values, &filter))
    return false;
  if (!filter.text)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a delete needs an expression");
  if (!milvus_partitions(m, open, &names, &filter))
    return false;
  if (srv_guard_delete_where(m->call, open->collection, &filter, &deleted, &error) != VECDB_OK)
    return milvus_error(m, &error);
  srv_pb_number(&m->out, 7, (int64_t)deleted);
  srv_pb_number(&m->out, 9, srv_milvus_ids(m->call->server->milvus, 1));
  return true;
}

void milvus_delete(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct write_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, write_delete_table, &r))
    return;
  pthread_rwlock_rdlock(&state->writes);
  if (milvus_open_loaded(m, r.db, r.name, &open)) {
    write_delete(m, &open, &r);
    milvus_close(&open);
  }
  pthread_rwlock_unlock(&state->writes);
}
