/*
 * change.c - changes of what the rows of a collection are like: each is tried on a collection in
 * memory, as shards will do it, and then written into the collection's document; see change.h.
 */
#include "ctl/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/shape.h"

struct change {
  struct ctl *ctl;
  vecdb_error *error;
  vecdb *db;
  vecdb_collection *rows; /* in memory */
};

static int change_say(struct change *w, int code, const char *field, const char *words) {
  *w->error = (vecdb_error){.code = code, .row = -1, .position = -1};
  snprintf(w->error->field, sizeof w->error->field, "%s", field);
  snprintf(w->error->message, sizeof w->error->message, "%s", words);
  return code;
}

int change_code(const struct ctl *ctl, enum ctl_status status, vecdb_error *error) {
  static const int codes[] = {[CTL_EXISTS] = VECDB_ERR_EXISTS,
                              [CTL_NO_SUCH] = VECDB_ERR_NOT_FOUND,
                              [CTL_OLDER] = VECDB_ERR_UNSUPPORTED,
                              [CTL_NO_MEMORY] = VECDB_ERR_NO_MEMORY,
                              [CTL_STORE] = WIRE_UNKNOWN};
  struct change w = {.error = error};
  if (!status)
    return VECDB_OK;
  const int code = (size_t)status < sizeof codes / sizeof *codes ? codes[status] : 0;
  return change_say(&w, code ? code : VECDB_ERR_SCHEMA, "",
                    status == CTL_NO_MEMORY ? "out of memory" : ctl->why);
}

/* A collection in memory; change_end in any case. */
static int change_begin(struct change *w, const vecdb_schema *schema) {
  int code = vecdb_open(":memory:", NULL, &w->db, w->error);
  return code ? code : vecdb_collection_create(w->db, "rows", schema, &w->rows, w->error);
}

static void change_end(struct change *w) {
  vecdb_collection_release(w->rows);
  if (w->db)
    vecdb_close(w->db, NULL);
  w->rows = NULL;
  w->db = NULL;
}

int change_try(const char *text, vecdb_error *error) {
  char why[WIRE_WHY] = "";
  vecdb_schema schema;
  struct change w = {.error = error};
  struct wire_mem mem = {0};
  text = text ? text : "{}";
  int code = wire_schema_read(text, strlen(text), &mem, &schema, why);
  if (code)
    change_say(&w, code, "", why);
  code = code ? code : change_begin(&w, &schema);
  change_end(&w);
  wire_mem_free(&mem);
  return code;
}

/* The schema of a collection as the cache of this session has it; its version and the field that
   its rows are placed by, in `mem`. */
struct change_now {
  vecdb_schema schema;
  uint64_t version;
  const char *field;
};

static int change_known(struct change *w, const char *name, struct wire_mem *mem,
                       struct change_now *out) {
  char why[WIRE_WHY] = "";
  const struct cache_view *view = ctl_view(w->ctl);
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  int code = VECDB_ERR_NOT_FOUND;
  for (size_t i = 0; i < n && code == VECDB_ERR_NOT_FOUND; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (!coll || coll->state != DOC_COLL_ACTIVE || strcmp(coll->name, name) != 0)
      continue;
    const char *text = coll->schema ? coll->schema : "{}";
    char *field = wire_mem_get(mem, sizeof coll->field, 1);
    code = wire_schema_read(text, strlen(text), mem, &out->schema, why);
    out->version = coll->schema_version;
    out->field = field ? memcpy(field, coll->field, sizeof coll->field) : "";
  }
  cache_give(view);
  return code ? change_say(w, code, "", *why ? why : "no such collection") : VECDB_OK;
}

int change_add(struct ctl *ctl, const char *name, const char *text, uint64_t *version,
               vecdb_error *error) {
  char why[WIRE_WHY] = "";
  struct wire_mem mem = {0};
  struct change own = {.ctl = ctl, .error = error}, *w = &own;
  struct change_now now;
  vecdb_schema fields;
  int code = wire_schema_read(text, strlen(text), &mem, &fields, why);
  if (code)
    change_say(w, code, "", why);
  if (!code && wire_schema_computed(&fields)) /* who knows it without them would not fill them in */
    code = change_say(w, VECDB_ERR_UNSUPPORTED, wire_schema_computed(&fields)->name,
                     "a field whose default is computed is there from the beginning");
  code = code ? code : change_known(w, name, &mem, &now);
  code = code ? code : change_begin(w, &now.schema);
  code = code ? code : vecdb_fields_add(w->rows, &fields, NULL, error);
  change_end(w);
  if (!code)
    code = change_code(ctl, ctl_fields_add(ctl, name, &fields, version), error);
  wire_mem_free(&mem);
  return code;
}

/* What a cluster cannot change: rows are sent to shards by these fields' names. */
static int change_keeps(struct change *w, const struct change_now *now,
                       const struct wire_reshape *r) {
  const bool renames = r->kind == WIRE_RESHAPE_RENAME;
  if (r->kind == WIRE_RESHAPE_ADD)
    return change_say(w, VECDB_ERR_SCHEMA, "", "fields are added in another way");
  if ((renames || r->kind == WIRE_RESHAPE_DROP) && *now->field && !strcmp(now->field, r->field))
    return change_say(w, VECDB_ERR_UNSUPPORTED, r->field, "the collection's rows are placed by it");
  const vecdb_field *key = renames ? wire_schema_key(&now->schema) : NULL;
  if (key && !strcmp(key->name, r->field))
    return change_say(w, VECDB_ERR_UNSUPPORTED, r->field, "a cluster does not rename keys");
  return VECDB_OK;
}

/* The schema behind the change, by what the library makes of it: fields as the document has them,
   under their new names, and with the indexes of JSON that they have then. */
static char *change_reshaped(const vecdb_schema *now, const vecdb_schema *then,
                            const struct wire_reshape *r, struct wire_mem *mem) {
  vecdb_schema schema = *now;
  vecdb_field *fields = wire_mem_get(mem, then->n_fields, sizeof *fields);
  schema.n_fields = 0;
  for (uint32_t i = 0; fields && i < then->n_fields; i++) {
    const vecdb_field *f = &then->fields[i];
    const vecdb_field *was = wire_schema_field(now, f->name);
    if (r->kind == WIRE_RESHAPE_RENAME && !strcmp(f->name, r->to))
      was = wire_schema_field(now, r->field);
    if (!was)
      continue;
    fields[schema.n_fields] = *was;
    fields[schema.n_fields].name = f->name;
    fields[schema.n_fields].json_indexes = f->json_indexes;
    fields[schema.n_fields++].n_json_indexes = f->n_json_indexes;
  }
  schema.fields = fields;
  return fields ? wire_schema_write(&schema) : NULL;
}

static int change_try_shape(struct change *w, const vecdb_schema *now,
                            const struct wire_reshape *r, struct wire_mem *mem, char **out) {
  int code = change_begin(w, now);
  code = code ? code : shape_rows(w->rows, r, w->error);
  if (!code && !(*out = change_reshaped(now, vecdb_collection_schema(w->rows), r, mem)))
    code = change_say(w, VECDB_ERR_NO_MEMORY, "", "out of memory");
  change_end(w);
  return code;
}

int change_shape(struct ctl *ctl, const char *name, const char *text, uint64_t *version,
                 vecdb_error *error) {
  char why[WIRE_WHY] = "";
  struct change w = {.ctl = ctl, .error = error};
  struct wire_mem mem = {0};
  struct wire_reshape reshape;
  bool held = false;
  int code = wire_reshape_read(text, strlen(text), &mem, &reshape, why);
  if (code)
    change_say(&w, code, "", why);
  while (!code && !held) { /* another one changed the schema: look again */
    struct change_now now;
    char *schema = NULL;
    code = change_known(&w, name, &mem, &now);
    code = code ? code : change_keeps(&w, &now, &reshape);
    code = code ? code : change_try_shape(&w, &now.schema, &reshape, &mem, &schema);
    if (!code)
      code = change_code(
          ctl, ctl_reshape(ctl, name, now.version, text, schema, version, &held), error);
    free(schema);
  }
  wire_mem_free(&mem);
  return code;
}

/* Whether the field can say when rows go, and a filter can find them by its name. */
static int change_try_expiry(struct change *w, const vecdb_schema *now,
                             const struct wire_expiry *e) {
  char text[WIRE_EXPIRY_TEXT];
  uint64_t n;
  int code = change_begin(w, now);
  code = code ? code : vecdb_expire(w->rows, e->field, e->ttl_ms, NULL, w->error);
  if (!code && e->field) {
    wire_expiry_filter(e, 0, text);
    code = vecdb_count(w->rows, &(vecdb_filter){text, 0, NULL, 0}, &n, w->error);
  }
  change_end(w);
  return code;
}

int change_expiry(struct ctl *ctl, const char *name, const char *text, uint64_t *revision,
                  vecdb_error *error) {
  struct change w = {.ctl = ctl, .error = error};
  struct wire_mem mem = {0};
  struct wire_expiry expiry;
  bool held = false;
  int64_t mod = 0;
  int code = wire_expiry_read(text, &mem, &expiry)
                 ? VECDB_OK
                 : change_say(&w, VECDB_ERR_ARGUMENT, "", "when rows go is not understood");
  while (!code && !held) { /* another one changed the collection: look again */
    struct change_now now;
    code = change_known(&w, name, &mem, &now);
    code = code ? code : change_try_expiry(&w, &now.schema, &expiry);
    if (!code)
      code = change_code(ctl, ctl_expire(ctl, name, now.version, &expiry, &mod, &held), error);
  }
  *revision = (uint64_t)mod;
  wire_mem_free(&mem);
  return code;
}
