/*
 * milvus_partition.c - partitions: a hidden field says in which one a row is, and a filter on it
 * narrows searches. The field is added with the first partition that is made, so that collections
 * without partitions pay nothing. A partition key needs no partitions here: it is a field that
 * filters name.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/milvus.h"

struct partition_request {
  const char *db, *name, *partition;
  struct pb_list wanted;
};
static const struct pb_field partition_named_table[] = {
    {2, PB_TEXT, offsetof(struct partition_request, db)},
    {3, PB_TEXT, offsetof(struct partition_request, name)},
    {4, PB_TEXT, offsetof(struct partition_request, partition)},
};
static const struct pb_field partition_list_table[] = {
    {2, PB_TEXT, offsetof(struct partition_request, db)},
    {3, PB_TEXT, offsetof(struct partition_request, name)},
    {5, PB_LIST, offsetof(struct partition_request, wanted)},
};

enum { PARTITION_MOST = 1024 };

/* ---- Which there are ------------------------------------------------------------------------- */

static json_t *partition_list(const struct milvus_open *open) {
  return json_object_get(open->record, "partitions");
}

static bool partition_keyed(const struct milvus_open *open) {
  return json_object_get(open->record, "partition_key") != NULL;
}

static size_t partition_find(const struct milvus_open *open, const char *name) {
  json_t *list = partition_list(open);
  for (size_t i = 0; i < json_array_size(list); i++)
    if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
      return i;
  return SIZE_MAX;
}

static bool partition_there(const struct milvus_open *open, const char *name) {
  return strcmp(name, MILVUS_PARTITION_DEFAULT) == 0 || partition_find(open, name) != SIZE_MAX;
}

bool milvus_partition(struct milvus *m, const struct milvus_open *open, const char *name) {
  return !*name || partition_there(open, name) ||
         milvus_fail(m, SRV_MILVUS_NO_PARTITION,
                     "partition not found[partition=%.255s]: it does not exist", name);
}

int64_t milvus_partition_count(const struct milvus_open *open) {
  json_t *buckets = json_object_get(open->record, "num_partitions");
  return partition_keyed(open) ? (int64_t)json_integer_value(buckets)
                               : 1 + (int64_t)json_array_size(partition_list(open));
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* Whether there is the hidden field; one of another type was made by other means. */
static bool partition_kept(const struct milvus_open *open) {
  const vecdb_field *field = srv_schema_field(open->schema, MILVUS_PARTITION);
  return field && field->type == VECDB_VARCHAR;
}

static bool partition_and(struct milvus *m, const vecdb_string *names, size_t n,
                          vecdb_filter *filter) {
  static const char own[] = MILVUS_PARTITION " in {" MILVUS_PARTITION "}";
  struct srv_arena *arena = &m->call->arena;
  size_t room = filter->length + sizeof own + sizeof "() and ";
  char *text = srv_arena_array(arena, room, 1);
  vecdb_param *params = srv_arena_array(arena, filter->n_params + 1, sizeof *params);
  if (!text || !params)
    return milvus_no_memory(m);
  if (filter->text)
    snprintf(text, room, "(%.*s) and %s", (int)filter->length, filter->text, own);
  else
    memcpy(text, own, sizeof own);
  if (filter->n_params)
    memcpy(params, filter->params, filter->n_params * sizeof *params);
  vecdb_value *value = &params[filter->n_params].value;
  params[filter->n_params].name = MILVUS_PARTITION;
  value->type = VECDB_ARRAY;
  value->element_type = VECDB_VARCHAR;
  value->length = (uint32_t)n;
  value->as.data = names;
  *filter = (vecdb_filter){text, strlen(text), params, filter->n_params + 1};
  return true;
}

bool milvus_partitions(struct milvus *m, const struct milvus_open *open,
                       const struct pb_list *names, vecdb_filter *filter) {
  const char **texts = milvus_texts(m, names);
  vecdb_string *strings = srv_arena_array(&m->call->arena, names->n, sizeof *strings);
  if (!texts)
    return false;
  if (!strings)
    return milvus_no_memory(m);
  if (names->n && partition_keyed(open))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT,
                       "a collection with a partition key takes no partition names");
  for (size_t i = 0; i < names->n; i++) {
    if (!milvus_partition(m, open, texts[i]))
      return false;
    const char *name = *texts[i] ? texts[i] : MILVUS_PARTITION_DEFAULT;
    strings[i] = (vecdb_string){name, strlen(name)};
  }
  bool all = names->n == 0 || !partition_kept(open);
  return all || partition_and(m, strings, names->n, filter);
}

bool milvus_partition_column(struct milvus *m, const struct milvus_open *open, const char *name,
                             uint32_t n_rows, vecdb_column *columns, uint32_t *n_columns) {
  if (!milvus_partition(m, open, name))
    return false;
  if (!*name || !partition_kept(open))
    return true;
  const char **texts = srv_arena_array(&m->call->arena, n_rows, sizeof *texts);
  if (!texts)
    return milvus_no_memory(m);
  for (uint32_t i = 0; i < n_rows; i++)
    texts[i] = name;
  columns[(*n_columns)++] = (vecdb_column){.field = MILVUS_PARTITION, .data = texts};
  return true;
}

/* ---- Making and dropping --------------------------------------------------------------------- */

/* Rows that are written without it, and those from before, are in the default partition. */
static const vecdb_field partition_field = {
    .name = MILVUS_PARTITION,
    .type = VECDB_VARCHAR,
    .max_length = VECDB_MAX_NAME,
    .flags = VECDB_HAS_DEFAULT,
    .default_value = {.type = VECDB_VARCHAR,
                      .length = sizeof MILVUS_PARTITION_DEFAULT - 1,
                      .as.data = MILVUS_PARTITION_DEFAULT}};

static bool partition_make(struct milvus *m, struct milvus_open *open, const char *name) {
  if (!milvus_name(m, "partition", name))
    return false;
  if (partition_keyed(open))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT,
                       "a collection with a partition key has no partitions of its own");
  if (partition_there(open, name))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "partition already exists[partition=%.255s]", name);
  if (json_array_size(partition_list(open)) + 1 >= PARTITION_MOST)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a collection has up to %d partitions",
                       PARTITION_MOST);
  if (!partition_kept(open) && !milvus_field_add(m, open, &partition_field))
    return false;
  json_t *record = milvus_record(open);
  if (!json_object_get(record, "partitions"))
    json_object_set_new(record, "partitions", json_array());
  return (json_array_append_new(json_object_get(record, "partitions"), json_string(name)) == 0 ||
          milvus_no_memory(m)) &&
         milvus_record_keep(m, open);
}

/* Its rows go first: a crash in between leaves an empty partition. */
static bool partition_remove(struct milvus *m, struct milvus_open *open, const char *name) {
  if (strcmp(name, MILVUS_PARTITION_DEFAULT) == 0 || !*name)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "default partition cannot be deleted");
  size_t at = partition_find(open, name);
  if (at == SIZE_MAX) /* dropping what is not there is no error, as in Milvus */
    return true;
  vecdb_string text = {name, strlen(name)};
  vecdb_filter filter = {0};
  vecdb_error error;
  if (!partition_and(m, &text, 1, &filter))
    return false;
  if (srv_guard_delete_where(m->call, open->collection, &filter, NULL, &error) != VECDB_OK)
    return milvus_error(m, &error);
  json_array_remove(partition_list(open), at);
  return milvus_record_keep(m, open);
}

static void partition_change(struct milvus *m, bool make) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct partition_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, partition_named_table, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    if (make) {
      partition_make(m, &open, r.partition);
    } else {
      pthread_rwlock_wrlock(&state->writes);
      partition_remove(m, &open, r.partition);
      pthread_rwlock_unlock(&state->writes);
    }
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}

void milvus_partition_create(struct milvus *m) {
  partition_change(m, true);
}

void milvus_partition_drop(struct milvus *m) {
  partition_change(m, false);
}

/* ---- Questions ------------------------------------------------------------------------------- */

void milvus_partition_has(struct milvus *m) {
  struct partition_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, partition_named_table, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  srv_pb_number(&m->out, 2, partition_there(&open, r.partition));
  milvus_close(&open);
}

struct partition_out {
  struct milvus *m;
  const struct milvus_open *open;
  const char **wanted;
  size_t n_wanted;
};

static void partition_write(const struct partition_out *p, const char *name) {
  struct pb_out *out = &p->m->out;
  bool wanted = p->n_wanted == 0;
  for (size_t i = 0; i < p->n_wanted; i++)
    wanted = wanted || strcmp(p->wanted[i], name) == 0;
  if (!wanted)
    return;
  srv_pb_text(out, 2, name);
  srv_pb_number(out, 3, milvus_id(name));
  srv_pb_number(out, 6, p->open->loaded ? 100 : 0);
}

void milvus_partition_list(struct milvus *m) {
  struct partition_request r;
  struct milvus_open open;
  char name[64];
  if (!MILVUS_REQUEST(m, partition_list_table, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  struct partition_out p = {m, &open, milvus_texts(m, &r.wanted), r.wanted.n};
  if (p.wanted && partition_keyed(&open)) {
    for (int64_t i = 0; i < milvus_partition_count(&open); i++) {
      snprintf(name, sizeof name, MILVUS_PARTITION_DEFAULT "_%lld", (long long)i);
      partition_write(&p, name);
    }
  } else if (p.wanted) {
    partition_write(&p, MILVUS_PARTITION_DEFAULT);
    for (size_t i = 0; i < json_array_size(partition_list(&open)); i++)
      partition_write(&p, json_string_value(json_array_get(partition_list(&open), i)));
  }
  milvus_close(&open);
}

void milvus_partition_stats(struct milvus *m) {
  struct partition_request r;
  struct milvus_open open;
  vecdb_filter filter = {0};
  vecdb_error error;
  uint64_t rows;
  char text[32];
  if (!MILVUS_REQUEST(m, partition_named_table, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  struct pb_bytes name = {(const uint8_t *)r.partition, strlen(r.partition)};
  struct pb_list names = {&name, 1};
  if (milvus_partitions(m, &open, &names, &filter)) {
    if (srv_guard_count(m->call, open.collection, filter.text ? &filter : NULL, &rows,
                        &error) == VECDB_OK) {
      snprintf(text, sizeof text, "%llu", (unsigned long long)rows);
      milvus_pair_put(&m->out, 2, "row_count", text);
    } else {
      milvus_error(m, &error);
    }
  }
  milvus_close(&open);
}
