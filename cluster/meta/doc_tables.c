/* doc_tables.c - the documents that grow: the table of slots, the points that split ranges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "meta/base64.h"
#include "meta/fields.h"

static bool tables_power(uint32_t n) { return n && n <= DOC_SLOTS_MAX && !(n & (n - 1)); }

/* ---- Slots: little-endian numbers of two bytes, as base64 ---- */

static bool tables_slots_valid(const struct doc_slots *doc) {
  for (uint32_t i = 0; i < doc->n; i++)
    if (doc->shard[i] >= DOC_SHARDS_MAX)
      return false;
  return true;
}

char *doc_slots_write(const struct doc_slots *doc, size_t *n) {
  *n = 0;
  if (!tables_power(doc->n) || !tables_slots_valid(doc))
    return NULL;
  size_t bytes = 2 * (size_t)doc->n, length = base64_length(bytes);
  uint8_t *raw = malloc(bytes);
  char *text = malloc(length);
  json_t *object = raw && text ? json_object() : NULL;
  if (object) {
    for (uint32_t i = 0; i < doc->n; i++) {
      raw[2 * i] = (uint8_t)doc->shard[i];
      raw[2 * i + 1] = (uint8_t)(doc->shard[i] >> 8);
    }
    base64_write(raw, bytes, text);
    if (json_object_set_new(object, "shard", json_stringn(text, length))) {
      json_decref(object);
      object = NULL;
    }
  }
  free(raw);
  free(text);
  return fields_finish(object, n);
}

static enum doc_status tables_slots(json_t *object, struct doc_slots *out, char *why) {
  json_t *value = json_object_get(object, "shard");
  size_t length = json_string_length(value), bytes;
  if (!json_is_string(value) || json_object_size(object) != 1 ||
      length > base64_length(2 * (size_t)DOC_SLOTS_MAX))
    return fields_fail(DOC_MALFORMED, why, "not a table of slots");
  uint8_t *raw = malloc(length + 1);
  out->shard = raw ? malloc(length + 2) : NULL;
  if (!out->shard) {
    free(raw);
    return fields_fail(DOC_NO_MEMORY, why, "out of memory");
  }
  enum doc_status status = DOC_OK;
  if (!base64_read(json_string_value(value), length, raw, &bytes) || bytes % 2)
    status = fields_fail(DOC_MALFORMED, why, "shard is not base64 of pairs of bytes");
  for (size_t i = 0; !status && i < bytes / 2; i++)
    out->shard[i] = (uint16_t)(raw[2 * i] | raw[2 * i + 1] << 8);
  free(raw);
  out->n = status ? 0 : (uint32_t)(bytes / 2);
  if (!status && (!tables_power(out->n) || !tables_slots_valid(out)))
    status = fields_fail(DOC_RULE, why, "not a power of two of slots, or a shard over the limit");
  return status;
}

enum doc_status doc_slots_read(struct meta_bytes text, struct doc_slots *out, char *why) {
  json_t *object;
  *out = (struct doc_slots){0};
  enum doc_status status = fields_begin(text, &object, why);
  if (status)
    return status;
  status = tables_slots(object, out, why);
  if (status)
    doc_slots_free(out);
  json_decref(object);
  return status;
}

void doc_slots_free(struct doc_slots *doc) {
  free(doc->shard);
  *doc = (struct doc_slots){0};
}

/* ---- Splits ---- */

int doc_key_compare(const struct doc_key *a, const struct doc_key *b) {
  if (a->kind == DOC_KEY_INT)
    return (a->number > b->number) - (a->number < b->number);
  if (a->kind == DOC_KEY_FLOAT)
    return (a->real > b->real) - (a->real < b->real);
  int c = strcmp(a->text, b->text);
  return (c > 0) - (c < 0);
}

/* The ranges ascend, are of one kind, and no slot is in two of them. */
static bool tables_splits_valid(const struct doc_splits *doc, char *why) {
  uint8_t *taken = doc->n && doc->n <= DOC_SPLITS_MAX ? calloc(DOC_SLOTS_MAX, 1) : NULL;
  bool ok = taken != NULL;
  for (uint32_t i = 0; ok && i < doc->n; i++) {
    const struct doc_range *r = &doc->ranges[i];
    ok = r->n_slots && r->n_slots <= DOC_SLOTS_MAX && r->first_slot <= DOC_SLOTS_MAX - r->n_slots &&
         (r->from.kind != DOC_KEY_FLOAT || isfinite(r->from.real));
    if (ok && i)
      ok = r->from.kind == r[-1].from.kind && doc_key_compare(&r[-1].from, &r->from) < 0;
    for (uint32_t s = 0; ok && s < r->n_slots; s++) {
      ok = !taken[r->first_slot + s];
      taken[r->first_slot + s] = 1;
    }
  }
  free(taken);
  if (!ok)
    fields_fail(DOC_RULE, why, "ranges that do not ascend, mix kinds or share slots");
  return ok;
}

static json_t *tables_key_write(const struct doc_key *key) {
  if (key->kind == DOC_KEY_INT)
    return json_integer(key->number);
  if (key->kind == DOC_KEY_FLOAT)
    return json_real(key->real);
  return json_stringn(key->text, strnlen(key->text, sizeof key->text - 1));
}

char *doc_splits_write(const struct doc_splits *doc, size_t *n) {
  char why[DOC_TEXT_MAX];
  *n = 0;
  json_t *array = tables_splits_valid(doc, why) ? json_array() : NULL;
  for (uint32_t i = 0; array && i < doc->n; i++) {
    const struct doc_range *r = &doc->ranges[i];
    json_t *item = json_pack("{s:o,s:I,s:I}", "from", tables_key_write(&r->from), "first_slot",
                             (json_int_t)r->first_slot, "n_slots", (json_int_t)r->n_slots);
    if (json_array_append_new(array, item)) {
      json_decref(array);
      array = NULL;
    }
  }
  return array ? fields_finish(json_pack("{s:o}", "ranges", array), n) : NULL;
}

static bool tables_key_read(json_t *value, struct doc_key *out) {
  *out = (struct doc_key){0};
  if (json_is_integer(value)) {
    out->kind = DOC_KEY_INT;
    out->number = json_integer_value(value);
    return true;
  }
  if (json_is_real(value)) {
    out->kind = DOC_KEY_FLOAT;
    out->real = json_real_value(value);
    return true;
  }
  size_t n = json_string_length(value);
  if (!json_is_string(value) || n >= sizeof out->text)
    return false;
  out->kind = DOC_KEY_TEXT;
  memcpy(out->text, json_string_value(value), n);
  return strlen(out->text) == n;
}

static bool tables_range_read(json_t *item, struct doc_range *out) {
  json_t *first = json_object_get(item, "first_slot"), *n = json_object_get(item, "n_slots");
  json_int_t a = json_integer_value(first), b = json_integer_value(n);
  if (!json_is_integer(first) || !json_is_integer(n) || json_object_size(item) != 3 || a < 0 ||
      a > DOC_SLOTS_MAX || b < 0 || b > DOC_SLOTS_MAX)
    return false;
  out->first_slot = (uint32_t)a;
  out->n_slots = (uint32_t)b;
  return tables_key_read(json_object_get(item, "from"), &out->from);
}

static enum doc_status tables_splits(json_t *object, struct doc_splits *out, char *why) {
  json_t *array = json_object_get(object, "ranges");
  size_t n = json_array_size(array);
  if (json_object_size(object) != 1 || !n || n > DOC_SPLITS_MAX)
    return fields_fail(DOC_MALFORMED, why, "not a list of up to %d ranges", DOC_SPLITS_MAX);
  out->ranges = calloc(n, sizeof *out->ranges);
  if (!out->ranges)
    return fields_fail(DOC_NO_MEMORY, why, "out of memory");
  out->n = (uint32_t)n;
  for (size_t i = 0; i < n; i++)
    if (!tables_range_read(json_array_get(array, i), &out->ranges[i]))
      return fields_fail(DOC_MALFORMED, why, "range %zu is none", i);
  return tables_splits_valid(out, why) ? DOC_OK : DOC_RULE;
}

enum doc_status doc_splits_read(struct meta_bytes text, struct doc_splits *out, char *why) {
  json_t *object;
  *out = (struct doc_splits){0};
  enum doc_status status = fields_begin(text, &object, why);
  if (status)
    return status;
  status = tables_splits(object, out, why);
  if (status)
    doc_splits_free(out);
  json_decref(object);
  return status;
}

void doc_splits_free(struct doc_splits *doc) {
  free(doc->ranges);
  *doc = (struct doc_splits){0};
}
