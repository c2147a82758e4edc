/*
 * collections.c - calls about collections: making and dropping them, which there are, what one is
 * like; see vecdb_client.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/calls.h"
#include "client/session.h"

static int collections_document(const char *name, const vecdb_schema *schema,
                          const vecdb_client_layout *layout, char **text, vecdb_error *error) {
  static const vecdb_client_layout usual = VECDB_CLIENT_LAYOUT_INIT;
  const vecdb_client_layout *l = layout ? layout : &usual;
  uint32_t replicas = l->replicas ? l->replicas : 1;
  struct doc_coll doc = {.id = 1, /* the cluster gives it another */
                         .window = 1,
                         .slots = 16384,
                         .shards = l->shards ? l->shards : 1,
                         .replicas = replicas,
                         .schema_version = 1,
                         .index_version = 1,
                         .min_isr = l->min_isr ? l->min_isr : (replicas + 1) / 2};
  size_t n;
  if (l->size != sizeof *l || l->ack < 0 || l->ack > VECDB_CLIENT_ACK_ASYNC)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_client_layout is not understood");
  if (strlen(name) >= sizeof doc.name)
    return calls_fail(error, VECDB_ERR_NAME, "", "a cluster's collections have up to 63 bytes");
  if (l->tenant_field) {
    if (strlen(l->tenant_field) >= sizeof doc.field)
      return calls_fail(error, VECDB_ERR_NAME, "", "a tenants' field has up to 63 bytes");
    if (!wire_schema_tenants(wire_schema_field(schema, l->tenant_field)))
      return calls_fail(error, VECDB_ERR_SCHEMA, l->tenant_field,
                        "a tenants' field is a BOOL, an integer or a VARCHAR of the schema");
    doc.policy = DOC_TENANT;
    doc.window = l->tenant_slots ? l->tenant_slots : 1;
    snprintf(doc.field, sizeof doc.field, "%s", l->tenant_field);
  }
  snprintf(doc.name, sizeof doc.name, "%s", name);
  doc.ack = l->ack ? (enum doc_ack)(l->ack - 1) : DOC_ACK_SYNC;
  doc.schema = wire_schema_write(schema);
  *text = doc.schema ? doc_coll_write(&doc, &n) : NULL;
  free(doc.schema);
  return *text ? VECDB_OK
               : calls_fail(error, VECDB_ERR_SCHEMA, "",
                            "shards, replicas or the schema are out of range");
}

int vecdb_client_create(vecdb_client *c, const char *name, const vecdb_schema *schema,
                        const vecdb_client_layout *layout, const vecdb_client_call *call,
                        vecdb_error *error) {
  struct job job = {.prepare = NULL};
  char *text = NULL;
  int code = calls_begin(c, name, call, &job, error);
  if (!code &&
      (!schema || schema->size != sizeof *schema || schema->field_size != sizeof(vecdb_field)))
    code = calls_fail(error, VECDB_ERR_ARGUMENT, "", "a schema must be given");
  if (!code)
    code = collections_document(name, schema, layout, &text, error);
  if (code)
    return code;
  job.message.kind = WIRE_CREATE;
  job.message.has = WIRE_HAS(WIRE_NAME);
  job.message.name = (struct wire_name){name, text};
  code = calls_run(c, &job, error);
  calls_free(&job);
  free(text);
  return code;
}

int vecdb_client_drop(vecdb_client *c, const char *name, const vecdb_client_call *call,
                      vecdb_error *error) {
  struct job job = {.prepare = NULL};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  job.message.kind = WIRE_DROP;
  job.message.has = WIRE_HAS(WIRE_NAME);
  job.message.name = (struct wire_name){name, ""};
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}

/* Every shard has changed when each primary has answered who knows of it. */
int collections_altered(vecdb_client *c, const char *name, const vecdb_client_call *call,
                               vecdb_error *error) {
  static const vecdb_client_call usual = VECDB_CLIENT_CALL_INIT;
  vecdb_client_call strong = call ? *call : usual;
  uint64_t rows;
  strong.level = VECDB_CLIENT_STRONG;
  strong.session = NULL;
  strong.partial = 0;
  return vecdb_client_count(c, name, NULL, &rows, &strong, error);
}

int vecdb_client_fields_add(vecdb_client *c, const char *name, const vecdb_schema *fields,
                            const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = NULL};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!fields || fields->size != sizeof *fields || fields->field_size != sizeof(vecdb_field))
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "fields must be given");
  const vecdb_field *computed = wire_schema_computed(fields);
  if (computed)
    return calls_fail(error, VECDB_ERR_UNSUPPORTED, computed->name,
                      "a field whose default is computed is there from the beginning");
  char *text = wire_schema_write(fields);
  if (!text)
    return calls_fail(error, VECDB_ERR_SCHEMA, "", "the fields cannot be written down");
  job.message.kind = WIRE_ALTER;
  job.message.has = WIRE_HAS(WIRE_NAME);
  job.message.name = (struct wire_name){name, text};
  code = calls_run(c, &job, error);
  calls_free(&job);
  free(text);
  return code ? code : collections_altered(c, name, call, error);
}

/* ---- Which there are ---- */

struct vecdb_client_list {
  size_t n;
  char **names;
};

void vecdb_client_list_free(vecdb_client_list *list) {
  for (size_t i = 0; list && i < list->n; i++)
    free(list->names[i]);
  if (list)
    free(list->names);
  free(list);
}

size_t vecdb_client_list_count(const vecdb_client_list *list) { return list->n; }

const char *vecdb_client_list_name(const vecdb_client_list *list, size_t i) {
  return i < list->n ? list->names[i] : NULL;
}

/* Of bytes without an end. */
static char *collections_name(const char *text, size_t n) {
  char *copy = malloc(n + 1);
  if (!copy)
    return NULL;
  memcpy(copy, text, n);
  copy[n] = 0;
  return copy;
}

static int collections_order(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collections_listed(struct job *job, const struct wire_message *m, vecdb_error *error) {
  vecdb_client_list *list = calloc(1, sizeof *list);
  if (list)
    list->names = calloc(m->n_documents + 1, sizeof *list->names);
  bool good = list && list->names;
  for (uint32_t i = 0; i < m->n_documents && good; i++) {
    if (m->documents[i].kind != WIRE_COLLECTION)
      continue;
    list->names[list->n] = collections_name(m->documents[i].text, m->documents[i].n);
    good = list->names[list->n] != NULL;
    list->n += good;
  }
  if (!good) {
    vecdb_client_list_free(list);
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  }
  qsort(list->names, list->n, sizeof *list->names, collections_order);
  *(vecdb_client_list **)job->out = list;
  return VECDB_OK;
}

int vecdb_client_list_collections(vecdb_client *c, const vecdb_client_call *call,
                                  vecdb_client_list **out, vecdb_error *error) {
  struct job job = {.taken = collections_listed, .reads = true, .out = out};
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = calls_begin(c, "*", call, &job, error); /* no collection's name */
  if (code)
    return code;
  job.message = (struct wire_message){.kind = WIRE_LIST};
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}

/* ---- What one is like ---- */

void vecdb_client_about_free(vecdb_client_about *about) {
  if (about)
    router_map_drop(about->map);
  free(about);
}

const vecdb_schema *vecdb_client_about_schema(const vecdb_client_about *about) {
  return &about->map->schema;
}

uint64_t vecdb_client_about_version(const vecdb_client_about *about) {
  return about->map->coll.schema_version;
}

uint32_t vecdb_client_about_id(const vecdb_client_about *about) { return about->map->coll.id; }

const char *vecdb_client_about_expiry(const vecdb_client_about *about, uint64_t *ttl_ms) {
  if (ttl_ms)
    *ttl_ms = about->map->expiry.ttl_ms;
  return about->map->expiry.field;
}

int vecdb_client_about_layout(const vecdb_client_about *about, vecdb_client_layout *out) {
  const struct doc_coll *coll = &about->map->coll;
  if (out->size != sizeof *out)
    return VECDB_ERR_OPTION;
  const bool tenant = coll->policy == DOC_TENANT;
  *out = (vecdb_client_layout){sizeof *out, coll->shards, coll->replicas, coll->min_isr,
                               (int32_t)coll->ack + 1, tenant ? coll->field : NULL,
                               tenant ? coll->window : 0};
  return VECDB_OK;
}

static int collections_described(struct job *job, const struct wire_message *m,
                                 vecdb_error *error) {
  char why[DOC_TEXT_MAX] = "out of memory";
  vecdb_client_about *about = calloc(1, sizeof *about);
  if (about)
    about->map = router_map_make(m->documents, m->n_documents, why);
  if (about && about->map) {
    *(vecdb_client_about **)job->out = about;
    return VECDB_OK;
  }
  int code = about ? VECDB_CLIENT_PROTOCOL : VECDB_ERR_NO_MEMORY;
  free(about);
  return calls_fail(error, code, "", why);
}

int vecdb_client_describe(vecdb_client *c, const char *name, const vecdb_client_call *call,
                          vecdb_client_about **out, vecdb_error *error) {
  struct job job = {.taken = collections_described, .reads = true, .out = out};
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  job.message = (struct wire_message){.kind = WIRE_MAP, .has = WIRE_HAS(WIRE_NAME)};
  job.message.name = (struct wire_name){name, ""};
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}
