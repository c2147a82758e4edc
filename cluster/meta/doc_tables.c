/* doc_tables.c - the documents that grow: tables of slots, a split's slots, where ranges begin. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "meta/base64.h"
#include "meta/doc_int.h"

static bool tables_power(uint32_t n) { return n && n <= DOC_SLOTS_MAX && !(n & (n - 1)); }

/* ---- Slots: little-endian numbers of two bytes, as base64; generations of four bytes ---- */

static bool tables_slots_valid(const struct doc_slots *doc) {
  for (uint32_t i = 0; i < doc->n; i++)
    if (doc->shard[i] >= DOC_SHARDS_MAX)
      return false;
  return doc->n_generations <= DOC_SHARDS_MAX &&
         (!doc->n_generations || doc->generation[doc->n_generations - 1]);
}

static uint64_t tables_number(const void *array, size_t i, size_t size) {
  return size == 1   ? ((const uint8_t *)array)[i]
         : size == 2 ? ((const uint16_t *)array)[i]
                     : ((const uint32_t *)array)[i];
}

/* Numbers of `size` bytes in memory, little-endian, as a text; NULL: no memory. */
static json_t *tables_pack(const void *array, size_t n, size_t size) {
  size_t bytes = n * size, length = base64_length(bytes);
  uint8_t *raw = malloc(bytes + 1);
  char *text = malloc(length + 1);
  json_t *value = NULL;
  for (size_t i = 0; raw && i < bytes; i++)
    raw[i] = (uint8_t)(tables_number(array, i / size, size) >> 8 * (i % size));
  if (raw && text) {
    base64_write(raw, bytes, text);
    value = json_stringn(text, length);
  }
  free(raw);
  free(text);
  return value;
}

/* The numbers of a text, up to `most`, into memory for one more; NULL with the status: it is none.
   Of two and four bytes they are put together in place. */
static void *tables_unpack(json_t *value, size_t most, size_t size, uint32_t *n,
                           enum doc_status *status, char *why) {
  size_t length = json_string_length(value), bytes = 0;
  *n = 0;
  if (!json_is_string(value) || length > base64_length(most * size)) {
    *status = fields_fail(DOC_MALFORMED, why, "not a table of slots");
    return NULL;
  }
  uint8_t *raw = malloc(length + size);
  if (!raw) {
    *status = fields_fail(DOC_NO_MEMORY, why, "out of memory");
    return NULL;
  }
  if (!base64_read(json_string_value(value), length, raw, &bytes) || bytes % size) {
    free(raw);
    *status = fields_fail(DOC_MALFORMED, why, "not base64 of numbers of %zu bytes", size);
    return NULL;
  }
  for (size_t i = 0; i < bytes; i += size) {
    uint16_t two;
    uint32_t four;
    if (size == 2) {
      two = (uint16_t)(raw[i] | raw[i + 1] << 8);
      memcpy(raw + i, &two, 2);
    } else if (size == 4) {
      four = raw[i] | (uint32_t)raw[i + 1] << 8 | (uint32_t)raw[i + 2] << 16 |
             (uint32_t)raw[i + 3] << 24;
      memcpy(raw + i, &four, 4);
    }
  }
  *n = (uint32_t)(bytes / size);
  return raw;
}

char *doc_slots_write(const struct doc_slots *doc, size_t *n) {
  *n = 0;
  if (!tables_power(doc->n) || !tables_slots_valid(doc))
    return NULL;
  bool good = true;
  json_t *object = json_object();
  good = object && !json_object_set_new(object, "shard", tables_pack(doc->shard, doc->n, 2));
  if (good && doc->n_generations)
    good = !json_object_set_new(object, "generation",
                                tables_pack(doc->generation, doc->n_generations, 4));
  if (good)
    return fields_finish_as(object, doc->n_generations ? DOC_VERSION_SLOTS : DOC_VERSION, n);
  json_decref(object);
  return NULL;
}

static enum doc_status tables_slots(json_t *object, struct doc_slots *out, char *why) {
  json_t *generations = json_object_get(object, "generation");
  enum doc_status status = DOC_OK;
  if (json_object_size(object) != (generations ? 2 : 1))
    return fields_fail(DOC_MALFORMED, why, "not a table of slots");
  out->shard = tables_unpack(json_object_get(object, "shard"), DOC_SLOTS_MAX, 2, &out->n, &status,
                             why);
  if (!status && generations)
    out->generation =
        tables_unpack(generations, DOC_SHARDS_MAX, 4, &out->n_generations, &status, why);
  if (!status && (!tables_power(out->n) || !tables_slots_valid(out)))
    status = fields_fail(DOC_RULE, why, "not a power of two of slots, or a shard over the limit");
  return status;
}

uint32_t doc_slots_generation(const struct doc_slots *doc, uint32_t shard) {
  return shard < doc->n_generations ? doc->generation[shard] : 0;
}

bool doc_slots_set_generation(struct doc_slots *doc, uint32_t shard, uint32_t generation) {
  if (shard >= doc->n_generations) {
    uint32_t *grown = realloc(doc->generation, (shard + 1) * sizeof *grown);
    if (!grown)
      return false;
    memset(grown + doc->n_generations, 0, (shard + 1 - doc->n_generations) * sizeof *grown);
    doc->generation = grown;
    doc->n_generations = shard + 1;
  }
  doc->generation[shard] = generation;
  while (doc->n_generations && !doc->generation[doc->n_generations - 1])
    doc->n_generations--;
  return true;
}

enum doc_status doc_slots_read(struct meta_bytes text, struct doc_slots *out, char *why) {
  json_t *object;
  *out = (struct doc_slots){0};
  enum doc_status status = fields_begin_as(text, DOC_VERSION_SLOTS, &object, why);
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
  free(doc->generation);
  *doc = (struct doc_slots){0};
}

/* ---- A split: its slots as bits ---- */

char *doc_split_write(const struct doc_split *doc, size_t *n) {
  char why[DOC_TEXT_MAX];
  *n = 0;
  uint8_t *bits = doc_split_valid(doc, why) ? calloc(doc->n / 8 + 1, 1) : NULL;
  json_t *object = bits ? fields_write(doc_split_fields, doc) : NULL;
  for (uint32_t i = 0; bits && i < doc->n; i++)
    bits[i / 8] |= (uint8_t)((doc->moved[i] != 0) << i % 8);
  if (json_object_set_new(object, "slots", json_integer(doc->n)) ||
      json_object_set_new(object, "moved",
                          bits ? tables_pack(bits, (doc->n + 7) / 8, 1) : NULL)) {
    json_decref(object);
    object = NULL;
  }
  free(bits);
  return fields_finish(object, n);
}

static enum doc_status tables_split(json_t *object, struct doc_split *out, char *why) {
  json_t *slots = json_object_get(object, "slots");
  json_int_t n = json_integer_value(slots);
  uint32_t bytes;
  enum doc_status status = fields_read(doc_split_fields, object, 2, sizeof *out, out, why);
  if (status)
    return status;
  if (!json_is_integer(slots) || n < 1 || n > DOC_SLOTS_MAX)
    return fields_fail(DOC_MALFORMED, why, "slots has a value that does not fit");
  uint8_t *bits = tables_unpack(json_object_get(object, "moved"), DOC_SLOTS_MAX / 8, 1, &bytes,
                                &status, why);
  if (!status && bytes != (uint32_t)(n + 7) / 8)
    status = fields_fail(DOC_MALFORMED, why, "moved is not a bit for each slot");
  out->moved = status ? NULL : calloc((size_t)n, 1);
  if (!status && !out->moved)
    status = fields_fail(DOC_NO_MEMORY, why, "out of memory");
  out->n = status ? 0 : (uint32_t)n;
  for (uint32_t i = 0; i < out->n; i++)
    out->moved[i] = bits[i / 8] >> i % 8 & 1;
  free(bits);
  return status ? status : doc_split_valid(out, why) ? DOC_OK : DOC_RULE;
}

enum doc_status doc_split_read(struct meta_bytes text, struct doc_split *out, char *why) {
  json_t *object;
  *out = (struct doc_split){0};
  enum doc_status status = fields_begin(text, &object, why);
  if (status)
    return status;
  status = tables_split(object, out, why);
  if (status)
    doc_split_free(out);
  json_decref(object);
  return status;
}

void doc_split_free(struct doc_split *doc) {
  free(doc->moved);
  *doc = (struct doc_split){0};
}

/* ---- Ranges ---- */

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
