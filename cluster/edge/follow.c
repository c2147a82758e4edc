/* follow.c - one collection that is followed; see follow.h. */
#include "edge/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/schema.h"

static const int64_t follow_describe_us = 2000000, follow_save_us = 2000000;
enum { FOLLOW_CHUNK = 512, FOLLOW_BYTES = 4 << 20, FOLLOW_ROW = 1024 };

int64_t follow_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t follow_wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int follow_no_memory(vecdb_error *error) {
  return follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

/* ---- Whose rows ---- */

bool follow_filter(const struct follow *f, const char *extra, char *text, size_t n,
                   vecdb_param *params, size_t *n_params) {
  const struct follow_of *of = f->of;
  const vecdb_field *field =
      wire_schema_field(vecdb_collection_schema(f->rows), of->tenant_field);
  if (!wire_schema_tenants(field) || field->type == VECDB_BOOL)
    return false;
  const bool text_field = field->type == VECDB_VARCHAR;
  snprintf(text, n, "%s%s%s in {tenants}", extra ? extra : "", extra ? " and " : "", field->name);
  params[0] = (vecdb_param){
      "tenants",
      {.type = VECDB_ARRAY,
       .length = of->n_tenants,
       .element_type = text_field ? VECDB_VARCHAR : VECDB_INT64,
       .as = {.data = text_field ? (const void *)of->tenants : f->numbers}}};
  *n_params = 1;
  return true;
}

/* Tenants as numbers; NAME: one is none. */
static int follow_numbers(struct follow *f, vecdb_error *error) {
  const struct follow_of *of = f->of;
  const vecdb_field *field =
      of->n_tenants ? wire_schema_field(vecdb_client_about_schema(f->about), of->tenant_field)
                    : NULL;
  if (of->n_tenants && (!wire_schema_tenants(field) || field->type == VECDB_BOOL))
    return follow_fail(error, VECDB_ERR_UNKNOWN_FIELD,
                       "the collection has no field that says whose a row is");
  if (!field || field->type == VECDB_VARCHAR || f->numbers)
    return VECDB_OK;
  f->numbers = calloc(of->n_tenants, sizeof *f->numbers);
  if (!f->numbers)
    return follow_no_memory(error);
  for (uint32_t i = 0; i < of->n_tenants; i++) {
    char digits[32], *end;
    snprintf(digits, sizeof digits, "%.*s", (int)of->tenants[i].length, of->tenants[i].data);
    f->numbers[i] = strtoll(digits, &end, 10);
    if (*end || of->tenants[i].length >= sizeof digits)
      return follow_fail(error, VECDB_ERR_NAME, "a tenant is no number, but its field is one");
  }
  return VECDB_OK;
}

/* ---- What is here ---- */

/* The age is not known better than by the time of day: whoever sets that back makes it unknown. */
static void follow_restored(struct follow *f) {
  const int64_t age_ms = follow_wall_ms() - f->saved.fresh_ms;
  f->fresh_us = INT64_MIN;
  if (f->saved.whole && f->saved.fresh_ms && age_ms >= 0)
    f->fresh_us = follow_now_us() - age_ms * 1000;
}

static void follow_take_rows(struct follow *f, vecdb_collection *rows) {
  const vecdb_schema *schema = vecdb_collection_schema(rows);
  uint64_t bytes = FOLLOW_ROW;
  f->rows = rows;
  f->key = wire_schema_key(schema);
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (wire_type_dense(schema->fields[i].type))
      bytes += wire_type_bytes(schema->fields[i].type, schema->fields[i].dim);
  f->chunk = bytes * FOLLOW_CHUNK <= FOLLOW_BYTES ? FOLLOW_CHUNK
             : bytes <= FOLLOW_BYTES              ? (uint32_t)(FOLLOW_BYTES / bytes)
                                                  : 1;
}

uint32_t follow_fields(const struct follow *f, const char **names) {
  const vecdb_schema *schema = vecdb_collection_schema(f->rows);
  uint32_t n = 0;
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (!(schema->fields[i].flags & VECDB_PRIMARY_KEY))
      names[n++] = schema->fields[i].name;
  return n;
}

static void follow_set_whole(struct follow *f, bool whole) {
  pthread_mutex_lock(f->of->mutex);
  f->info.whole = whole;
  pthread_mutex_unlock(f->of->mutex);
}

static void follow_set_gone(struct follow *f, bool gone) {
  pthread_mutex_lock(f->of->mutex);
  f->info.gone = gone;
  pthread_mutex_unlock(f->of->mutex);
}

/* Nothing is here of it any more. What is known goes first, and durably: a position without the
   rows that it is of would hide that they are missing. */
static int follow_clear(struct follow *f, vecdb_error *error) {
  follow_set_whole(f, false);
  int code = edge_state_remove(f->of->state, f->info.name, error);
  if (!code)
    code = vecdb_flush_all(f->of->db, NULL, error);
  if (code)
    return code;
  follow_copy_forget(f);
  vecdb_collection_release(f->rows);
  f->rows = NULL;
  f->key = NULL;
  free(f->saved.at);
  f->saved = (struct edge_saved){0};
  f->changed = false;
  free(f->numbers);
  f->numbers = NULL;
  code = vecdb_collection_drop(f->of->db, f->info.name, error);
  return code == VECDB_ERR_NOT_FOUND ? VECDB_OK : code;
}

struct follow *follow_open(const struct follow_of *of, const char *name, vecdb_error *error) {
  struct follow *f = calloc(1, sizeof *f);
  vecdb_collection *rows = NULL;
  if (!f) {
    follow_no_memory(error);
    return NULL;
  }
  f->of = of;
  f->fresh_us = INT64_MIN;
  f->call = (vecdb_client_call)VECDB_CLIENT_CALL_INIT;
  f->call.level = VECDB_CLIENT_STRONG;
  snprintf(f->info.name, sizeof f->info.name, "%s", name);
  int known = edge_state_load(of->state, name, &f->saved, error);
  int here = known && known != VECDB_ERR_NOT_FOUND
                 ? known
                 : vecdb_collection_get(of->db, name, &rows, error);
  if (!here)
    follow_take_rows(f, rows);
  int code = here == VECDB_ERR_NOT_FOUND ? VECDB_OK : here;
  if (!code && (known || here || f->saved.filter != of->filter))
    code = follow_clear(f, error);
  if (code) {
    follow_close(f);
    return NULL;
  }
  f->call.collection = f->saved.id;
  f->info.whole = f->saved.whole;
  follow_restored(f);
  return f;
}

void follow_close(struct follow *f) {
  if (!f)
    return;
  follow_copy_forget(f);
  vecdb_client_about_free(f->about);
  vecdb_collection_release(f->rows);
  free(f->saved.at);
  free(f->numbers);
  free(f);
}

/* ---- As the cluster has it ---- */

/* Rows come with their numbers. */
static int follow_create(struct follow *f, vecdb_error *error) {
  vecdb_field fields[VECDB_MAX_FIELDS];
  vecdb_schema schema = *vecdb_client_about_schema(f->about);
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  vecdb_collection *rows = NULL;
  int code = vecdb_client_about_layout(f->about, &layout);
  if (code || schema.n_fields > VECDB_MAX_FIELDS || !layout.shards)
    return follow_fail(error, VECDB_CLIENT_PROTOCOL, "the collection is not understood");
  memcpy(fields, schema.fields, schema.n_fields * sizeof *fields);
  for (uint32_t i = 0; i < schema.n_fields; i++)
    fields[i].flags &= ~(uint32_t)VECDB_AUTO_ID;
  schema.fields = fields;
  code = follow_numbers(f, error);
  free(f->saved.at);
  f->saved.at = NULL;
  if (!code && !(f->saved.at = calloc(layout.shards, sizeof *f->saved.at)))
    code = follow_no_memory(error);
  if (!code)
    code = vecdb_collection_create(f->of->db, f->info.name, &schema, &rows, error);
  if (code)
    return code;
  follow_take_rows(f, rows);
  f->saved.id = f->call.collection = vecdb_client_about_id(f->about);
  f->saved.n = layout.shards;
  f->saved.filter = f->of->filter;
  return edge_state_save(f->of->state, f->info.name, &f->saved, error);
}

/* Whether fields of one form have one default; JSON may be written in other ways. */
static bool follow_same_default(const vecdb_field *a, const vecdb_field *b) {
  const vecdb_value *x = &a->default_value, *y = &b->default_value;
  switch (a->flags & VECDB_HAS_DEFAULT ? a->type : 0) {
    case VECDB_BOOL: return x->as.boolean == y->as.boolean;
    case VECDB_INT8:
    case VECDB_INT16:
    case VECDB_INT32:
    case VECDB_INT64: return x->as.integer == y->as.integer;
    case VECDB_FLOAT: return (float)x->as.number == (float)y->as.number;
    case VECDB_DOUBLE: return x->as.number == y->as.number;
    case VECDB_VARCHAR:
      return x->length == y->length && memcmp(x->as.data, y->as.data, x->length) == 0;
    default: return true;
  }
}

/* Whether a field here has the form of one there, where JSON may be without a limit of its own. */
static bool follow_same(const vecdb_field *here, const vecdb_field *there) {
  const bool flags = !((here->flags ^ there->flags) & ~(uint32_t)VECDB_AUTO_ID);
  const bool unlimited = here->type == VECDB_JSON && !there->max_length;
  return flags && here->type == there->type && here->dim == there->dim &&
         here->element_type == there->element_type && here->metric == there->metric &&
         (unlimited || here->max_length == there->max_length) &&
         here->max_capacity == there->max_capacity && follow_same_default(here, there);
}

/* Fields that are new. *other: a field has another form, or is gone. */
static int follow_fields_add(struct follow *f, bool *other, vecdb_error *error) {
  const vecdb_schema *there = vecdb_client_about_schema(f->about);
  const vecdb_schema *here = vecdb_collection_schema(f->rows);
  vecdb_schema add = VECDB_SCHEMA_INIT;
  vecdb_field fields[VECDB_MAX_FIELDS];
  uint32_t same = 0;
  for (uint32_t i = 0; i < there->n_fields && i < VECDB_MAX_FIELDS; i++) {
    const vecdb_field *known = wire_schema_field(here, there->fields[i].name);
    if (!known)
      fields[add.n_fields++] = there->fields[i];
    else
      same += follow_same(known, &there->fields[i]);
  }
  *other = same != here->n_fields;
  add.fields = fields;
  if (*other || !add.n_fields)
    return VECDB_OK;
  return vecdb_fields_add(f->rows, &add, NULL, error);
}

/* A shard was split: of the new one no position is known, so everything is copied, and what is here
   is read meanwhile. */
static int follow_grow(struct follow *f, uint32_t shards, vecdb_error *error) {
  vecdb_client_position *at = shards ? calloc(shards, sizeof *at) : NULL;
  if (!at)
    return follow_no_memory(error);
  follow_copy_forget(f);
  for (uint32_t i = 0; i < shards && i < f->saved.n; i++)
    at[i] = f->saved.at[i];
  free(f->saved.at);
  f->saved.at = at;
  f->saved.n = shards;
  f->changed = true;
  return VECDB_OK;
}

/* Asks what the collection is like, and makes what is here so. */
static int follow_describe(struct follow *f, vecdb_error *error) {
  vecdb_client_about *about = NULL;
  vecdb_client_call call = f->call;
  bool other = false;
  call.collection = 0;
  int code = vecdb_client_describe(f->of->client, f->info.name, &call, &about, error);
  if (code && code != VECDB_ERR_NOT_FOUND)
    return code;
  f->described_us = follow_now_us();
  follow_set_gone(f, code != VECDB_OK);
  if (code)
    return f->rows ? follow_clear(f, error) : VECDB_OK;
  vecdb_client_about_free(f->about);
  f->about = about;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  (void)vecdb_client_about_layout(about, &layout);
  if (f->rows && f->saved.id != vecdb_client_about_id(about))
    code = follow_clear(f, error);
  else if (f->rows && f->saved.n != layout.shards)
    code = follow_grow(f, layout.shards, error);
  if (!code && f->rows)
    code = follow_fields_add(f, &other, error);
  if (!code && other)
    code = follow_clear(f, error);
  if (!code && !f->rows)
    code = follow_create(f, error);
  return code ? code : follow_numbers(f, error);
}

/* ---- What has changed ---- */

static bool follow_blank(const vecdb_filter *filter) {
  size_t n = filter->length ? filter->length : filter->text ? strlen(filter->text) : 0;
  while (n && strchr(" \t\r\n", filter->text[n - 1]))
    n--;
  return !n;
}

/* Whether a filter that is not understood here is why it failed. */
static bool follow_strange(int code) {
  return code == VECDB_ERR_FILTER || code == VECDB_ERR_FILTER_PARAM || code == VECDB_ERR_TYPE ||
         code == VECDB_ERR_UNKNOWN_FIELD;
}

/* Writes what a shard has told; *all: everything must be copied. */
static int follow_apply(struct follow *f, const vecdb_client_changes *changes, bool *all,
                        vecdb_error *error) {
  int code = VECDB_OK;
  *all = vecdb_client_changes_all(changes);
  if (*all)
    return VECDB_OK;
  if (vecdb_client_changes_schema(changes) > vecdb_client_about_version(f->about)) {
    const uint32_t id = f->saved.id;
    code = follow_describe(f, error);
    if (!code && (!f->rows || f->saved.id != id || !f->saved.whole))
      code = follow_fail(error, VECDB_ERR_CLOSED, "the collection is another one now");
  }
  for (size_t i = 0; !code && vecdb_client_changes_filter(changes, i); i++) {
    const vecdb_filter *filter = vecdb_client_changes_filter(changes, i);
    code = follow_blank(filter) ? VECDB_OK : follow_fetch_where(f, filter, error);
    if (follow_strange(code)) {
      *all = true;
      return VECDB_OK;
    }
  }
  const vecdb_keys keys = vecdb_client_changes_keys(changes);
  return code ? code : follow_fetch(f, &keys, error);
}

/* One shard, up to what it had when this began, or further. */
static int follow_shard(struct follow *f, uint32_t shard, bool *all, vecdb_error *error) {
  bool more = true;
  int code = VECDB_OK;
  while (more && !code && !*all) {
    vecdb_client_changes *changes = NULL;
    code = vecdb_client_changes_after(f->of->client, f->info.name, shard, &f->saved.at[shard],
                                      &f->call, &changes, error);
    if (!code)
      code = follow_apply(f, changes, all, error);
    more = !code && vecdb_client_changes_more(changes);
    if (!code && !*all) {
      const vecdb_client_position p = vecdb_client_changes_position(changes);
      f->changed |= p.seq != f->saved.at[shard].seq;
      f->saved.at[shard] = p;
    }
    vecdb_client_changes_free(changes);
  }
  return code;
}

/* Which shards there are the client knows from the first answer on that one of them gives after it
   was split; what the new one has written is not among what has been told. */
int follow_all_told(struct follow *f, vecdb_error *error) {
  vecdb_client_changes *changes = NULL;
  int code = vecdb_client_changes_after(f->of->client, f->info.name, f->saved.n, NULL, &f->call,
                                        &changes, error);
  vecdb_client_changes_free(changes);
  if (code == VECDB_ERR_NOT_FOUND)
    return VECDB_OK;
  return code ? code : follow_fail(error, VECDB_ERR_CLOSED, "the collection has one more shard");
}

static int follow_changes(struct follow *f, vecdb_error *error) {
  const int64_t began_us = follow_now_us();
  bool all = false;
  int code = VECDB_OK;
  for (uint32_t i = 0; i < f->saved.n && !code && !all; i++)
    code = follow_shard(f, i, &all, error);
  if (!code && all)
    code = follow_describe(f, error); /* a shard may have been split: there is one more */
  else if (!code)
    code = follow_all_told(f, error);
  if (code || all)
    return code || f->info.gone ? code : follow_copy(f, error);
  pthread_mutex_lock(f->of->mutex);
  f->fresh_us = began_us;
  pthread_mutex_unlock(f->of->mutex);
  return VECDB_OK;
}

/* Positions at once, the time alone now and then: an older one says no more than is true. */
static int follow_save(struct follow *f, vecdb_error *error) {
  const int64_t now_us = follow_now_us();
  if (!f->changed && now_us - f->saved_us < follow_save_us)
    return VECDB_OK;
  f->saved.fresh_ms = follow_wall_ms() - (now_us - f->fresh_us) / 1000;
  int code = edge_state_save(f->of->state, f->info.name, &f->saved, error);
  f->changed = f->changed && code;
  f->saved_us = now_us;
  return code;
}

/* Whether the collection may be another one by now. */
static bool follow_doubts(int code) {
  return code == VECDB_ERR_CLOSED || code == VECDB_ERR_NOT_FOUND || code == VECDB_CLIENT_SCHEMA;
}

static int follow_look(struct follow *f, vecdb_error *error) {
  if (f->info.gone)
    return VECDB_OK;
  const bool resumed = f->part != NULL; /* of rows as they were before this look */
  int code = f->saved.whole ? follow_changes(f, error) : follow_copy(f, error);
  if (!code && resumed && !f->info.gone)
    code = follow_changes(f, error);
  if (!code && f->info.gone)
    return VECDB_OK;
  if (!code)
    code = follow_save(f, error);
  if (!code)
    follow_set_whole(f, true);
  return code;
}

int follow_step(struct follow *f, vecdb_error *error) {
  const bool due = (!f->about && !f->info.gone) || f->info.code ||
                   follow_now_us() - f->described_us > follow_describe_us;
  int code = due ? follow_describe(f, error) : VECDB_OK;
  if (!code)
    code = follow_look(f, error);
  if (!follow_doubts(code))
    return code;
  code = follow_describe(f, error);
  return code ? code : follow_look(f, error);
}
