/* alter.c - changes of a collection's schema in its document; see create.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/create.h"
#include "wire/reshape.h"

static enum ctl_status alter_say(struct ctl *ctl, enum ctl_status status, const char *text) {
  snprintf(ctl->why, sizeof ctl->why, "%s", text);
  return status;
}

/* The schema with more fields, as text for the document. */
static enum ctl_status alter_text(struct ctl *ctl, const struct doc_coll *coll,
                                  const vecdb_schema *more, char **out) {
  char why[WIRE_WHY] = "";
  struct wire_mem mem = {0};
  vecdb_schema schema;
  const char *text = coll->schema ? coll->schema : "{}";
  enum ctl_status status = CTL_OK;
  if (wire_schema_read(text, strlen(text), &mem, &schema, why))
    status = alter_say(ctl, CTL_NOT_ALLOWED, why);
  for (uint32_t i = 0; !status && i < more->n_fields; i++)
    if (wire_schema_field(&schema, more->fields[i].name))
      status = alter_say(ctl, CTL_EXISTS, "there is a field of that name");
  const size_t old = status ? 0 : schema.n_fields;
  vecdb_field *fields = wire_mem_get(&mem, old + more->n_fields, sizeof *fields);
  if (!status && fields) {
    memcpy(fields, schema.fields, old * sizeof *fields);
    memcpy(fields + old, more->fields, more->n_fields * sizeof *fields);
    schema.fields = fields;
    schema.n_fields += more->n_fields;
    *out = wire_schema_write(&schema);
  }
  if (!status && !*out)
    status = alter_say(ctl, CTL_NO_MEMORY, "out of memory");
  wire_mem_free(&mem);
  return status;
}

static const struct cache_entry *alter_find(const struct cache_view *view, const char *name) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (coll && coll->state == DOC_COLL_ACTIVE && !strcmp(coll->name, name))
      return all[i];
  }
  return NULL;
}

/* The collection's history with another change. */
static enum ctl_status alter_history(struct ctl *ctl, const struct doc_coll *coll,
                                     const char *change, char **out) {
  char why[WIRE_WHY] = "";
  int code = wire_history_add(coll->history, coll->schema_version,
                              coll->schema ? coll->schema : "{}", change, out, why);
  if (!code)
    return CTL_OK;
  return alter_say(ctl, code == VECDB_ERR_NO_MEMORY ? CTL_NO_MEMORY : CTL_NOT_ALLOWED, why);
}

/* Likewise with new fields, which once there is a history have their place in it. */
static enum ctl_status alter_history_fields(struct ctl *ctl, const struct doc_coll *coll,
                                            const vecdb_schema *fields, char **out) {
  const struct wire_reshape add = {.kind = WIRE_RESHAPE_ADD, .fields = *fields};
  char *change = wire_reshape_write(&add);
  enum ctl_status status = change ? alter_history(ctl, coll, change, out)
                                  : alter_say(ctl, CTL_NO_MEMORY, "out of memory");
  free(change);
  return status;
}

/* What a change of fields makes of when the rows go: the field keeps its meaning under its new
   name, and is not dropped. `out` is NULL where nothing changes. */
static enum ctl_status alter_expiry(struct ctl *ctl, const struct doc_coll *coll,
                                    const char *change, char **out) {
  char why[WIRE_WHY] = "";
  struct wire_mem mem = {0};
  struct wire_reshape r;
  struct wire_expiry e = {NULL, 0};
  enum ctl_status status = CTL_OK;
  *out = NULL;
  if (coll->expiry && !wire_expiry_read(coll->expiry, &mem, &e))
    status = alter_say(ctl, CTL_NOT_ALLOWED, "the document does not say when rows go");
  else if (wire_reshape_read(change, strlen(change), &mem, &r, why))
    status = alter_say(ctl, CTL_NOT_ALLOWED, why);
  else if (e.field && r.kind == WIRE_RESHAPE_DROP && !strcmp(r.field, e.field))
    status = alter_say(ctl, CTL_NOT_ALLOWED, "rows expire by the field");
  else if (e.field && r.kind == WIRE_RESHAPE_RENAME && !strcmp(r.field, e.field)) {
    *out = wire_expiry_write(&(struct wire_expiry){r.to, e.ttl_ms});
    status = *out ? CTL_OK : alter_say(ctl, CTL_NO_MEMORY, "out of memory");
  }
  wire_mem_free(&mem);
  return status;
}

enum ctl_status ctl_fields_add(struct ctl *ctl, const char *name, const vecdb_schema *fields,
                               uint64_t *version) {
  enum ctl_status status = CTL_OK;
  for (bool held = false; !status && !held;) { /* another one changed it: look again */
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *entry = alter_find(view, name);
    char *schema = NULL, *history = NULL, *text = NULL;
    size_t n = 0;
    if (!entry) {
      status = alter_say(ctl, CTL_NO_SUCH, "no such collection");
    } else {
      struct doc_coll coll = *(const struct doc_coll *)entry->doc;
      status = alter_text(ctl, &coll, fields, &schema);
      if (!status && coll.history)
        status = alter_history_fields(ctl, &coll, fields, &history);
      coll.schema = schema;
      coll.history = history;
      *version = ++coll.schema_version;
      status = status ? status : ctl_speaks(ctl, coll.id, DOC_SPEAKS_FIELDS);
      text = status ? NULL : doc_coll_write(&coll, &n);
      if (!status)
        status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_COLL, coll.id, 0), text, n,
                         entry->mod, &held);
    }
    cache_give(view);
    free(schema);
    free(history);
    free(text);
  }
  return status;
}

enum ctl_status ctl_reshape(struct ctl *ctl, const char *name, uint64_t version,
                            const char *change, const char *schema, uint64_t *out, bool *held) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *entry = alter_find(view, name);
  const struct doc_coll *now = entry ? entry->doc : NULL;
  char *history = NULL, *text = NULL, *expiry = NULL;
  char *copy = strdup(schema);
  size_t n = 0;
  enum ctl_status status = CTL_OK;
  *held = false;
  if (!now)
    status = alter_say(ctl, CTL_NO_SUCH, "no such collection");
  else if (!copy)
    status = alter_say(ctl, CTL_NO_MEMORY, "out of memory");
  if (!status && now->schema_version == version) {
    struct doc_coll coll = *now;
    status = alter_history(ctl, &coll, change, &history);
    status = status ? status : alter_expiry(ctl, &coll, change, &expiry);
    /* All nodes: one that cannot read the document tells nobody of the collection. */
    status = status ? status : ctl_speaks(ctl, 0, DOC_SPEAKS_RESHAPES);
    coll.schema = copy;
    coll.history = history;
    coll.expiry = expiry ? expiry : coll.expiry;
    *out = ++coll.schema_version;
    text = status ? NULL : doc_coll_write(&coll, &n);
    if (!status && !text)
      status = alter_say(ctl, CTL_NOT_ALLOWED, "the schema and its changes are too long");
    if (!status)
      status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_COLL, coll.id, 0), text, n, entry->mod,
                       held);
  }
  cache_give(view);
  free(copy);
  free(history);
  free(expiry);
  free(text);
  return status;
}

/* The document's revision, which the cache has by now. */
static int64_t alter_mod(struct ctl *ctl, const char *name) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *entry = alter_find(view, name);
  int64_t mod = entry ? entry->mod : 0;
  cache_give(view);
  return mod;
}

enum ctl_status ctl_expire(struct ctl *ctl, const char *name, uint64_t version,
                           const struct wire_expiry *expiry, int64_t *mod, bool *held) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *entry = alter_find(view, name);
  const struct doc_coll *now = entry ? entry->doc : NULL;
  char *text = NULL, *when = expiry->field ? wire_expiry_write(expiry) : NULL;
  size_t n = 0;
  enum ctl_status status = CTL_OK;
  *held = false;
  if (!now)
    status = alter_say(ctl, CTL_NO_SUCH, "no such collection");
  else if (expiry->field && !when)
    status = alter_say(ctl, CTL_NO_MEMORY, "out of memory");
  if (!status && now->schema_version == version) {
    struct doc_coll coll = *now;
    coll.expiry = when;
    /* As for changes of the schema. */
    status = ctl_speaks(ctl, 0, DOC_SPEAKS_EXPIRY);
    text = status ? NULL : doc_coll_write(&coll, &n);
    if (!status)
      status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_COLL, coll.id, 0), text, n, entry->mod,
                       held);
  }
  cache_give(view);
  free(when);
  free(text);
  *mod = !status && *held ? alter_mod(ctl, name) : 0;
  return status;
}
