/* fields.c - structs to JSON objects and back by a table; see fields.h. */
#include "meta/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meta/key.h"

enum doc_status fields_fail(enum doc_status status, char *why, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why, DOC_TEXT_MAX, format, args);
  va_end(args);
  return status;
}

/* The object of `items` at the struct's list. */
static size_t fields_list_at(const struct field *f, size_t i) { return f->offset + i * f->size; }

static bool fields_text_fits(const char *text, size_t n, size_t max) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)text[i] < ' ')
      return false;
  return n < max;
}

static json_t *fields_write_list(const struct field *f, const char *at) {
  uint32_t n = *(const uint32_t *)(const void *)(at + f->count);
  json_t *array = n <= f->max ? json_array() : NULL;
  for (uint32_t i = 0; array && i < n; i++) {
    json_t *item;
    if (f->kind == FIELD_NUMBERS)
      item = json_integer(((const uint32_t *)(const void *)(at + f->offset))[i]);
    else
      item = fields_write(f->items, at + fields_list_at(f, i));
    if (json_array_append_new(array, item)) {
      json_decref(array);
      return NULL;
    }
  }
  return array;
}

static json_t *fields_write_choice(const struct field *f, uint32_t value) {
  for (uint32_t i = 0; f->names[i]; i++)
    if (i == value)
      return json_string(f->names[i]);
  return NULL;
}

static json_t *fields_write_one(const struct field *f, const char *at) {
  const void *value = at + f->offset;
  char uuid[33] = "";
  switch (f->kind) {
    case FIELD_U32:
      return *(const uint32_t *)value <= f->max ? json_integer(*(const uint32_t *)value) : NULL;
    case FIELD_U64: {
      uint64_t number = *(const uint64_t *)value;
      return number <= INT64_MAX ? json_integer((json_int_t)number) : NULL;
    }
    case FIELD_BOOL:
      return json_boolean(*(const bool *)value);
    case FIELD_CHOICE:
      return fields_write_choice(f, *(const uint32_t *)value);
    case FIELD_TEXT: {
      size_t n = strnlen(value, f->max);
      return fields_text_fits(value, n, f->max) ? json_stringn(value, n) : NULL;
    }
    case FIELD_UUID:
      if (!doc_uuid_none(*(const struct doc_uuid *)value))
        doc_uuid_text(*(const struct doc_uuid *)value, uuid);
      return json_string(uuid);
    case FIELD_NUMBERS:
    case FIELD_LIST:
      return fields_write_list(f, at);
  }
  return NULL;
}

json_t *fields_write(const struct field *table, const void *in) {
  json_t *object = json_object();
  for (const struct field *f = table; object && f->name; f++)
    if (json_object_set_new(object, f->name, fields_write_one(f, in))) {
      json_decref(object);
      return NULL;
    }
  return object;
}

static bool fields_number(json_t *value, uint64_t max, uint64_t *out) {
  if (!json_is_integer(value) || json_integer_value(value) < 0)
    return false;
  *out = (uint64_t)json_integer_value(value);
  return *out <= max;
}

static bool fields_read_choice(const struct field *f, json_t *value, uint32_t *out) {
  for (uint32_t i = 0; json_is_string(value) && f->names[i]; i++)
    if (strcmp(f->names[i], json_string_value(value)) == 0) {
      *out = i;
      return true;
    }
  return false;
}

static bool fields_read_text(const struct field *f, json_t *value, char *out) {
  size_t n = json_string_length(value);
  if (!json_is_string(value) || !fields_text_fits(json_string_value(value), n, f->max))
    return false;
  memcpy(out, json_string_value(value), n);
  return true;
}

static enum doc_status fields_read_list(const struct field *f, json_t *value, char *at, char *why) {
  size_t n = json_array_size(value);
  if (!json_is_array(value) || n > f->max)
    return fields_fail(DOC_MALFORMED, why, "%s is not a list of up to %u", f->name, f->max);
  for (size_t i = 0; i < n; i++) {
    json_t *item = json_array_get(value, i);
    if (f->kind == FIELD_LIST) {
      void *to = at + fields_list_at(f, i);
      enum doc_status status = fields_read(f->items, item, 0, f->size, to, why);
      if (status)
        return status;
      continue;
    }
    uint64_t number;
    if (!fields_number(item, UINT32_MAX, &number))
      return fields_fail(DOC_MALFORMED, why, "%s[%zu] is not a number that fits", f->name, i);
    ((uint32_t *)(void *)(at + f->offset))[i] = (uint32_t)number;
  }
  *(uint32_t *)(void *)(at + f->count) = (uint32_t)n;
  return DOC_OK;
}

static bool fields_read_one(const struct field *f, json_t *value, void *out) {
  uint64_t number = 0;
  bool ok = false;
  switch (f->kind) {
    case FIELD_U32:
      ok = fields_number(value, f->max, &number);
      *(uint32_t *)out = (uint32_t)number;
      return ok;
    case FIELD_U64:
      return fields_number(value, INT64_MAX, out);
    case FIELD_BOOL:
      *(bool *)out = json_is_true(value);
      return json_is_boolean(value);
    case FIELD_CHOICE:
      return fields_read_choice(f, value, out);
    case FIELD_TEXT:
      return fields_read_text(f, value, out);
    case FIELD_UUID:
      return json_is_string(value) &&
             (json_string_length(value) == 0 ||
              (json_string_length(value) == 32 && doc_uuid_parse(json_string_value(value), out)));
    case FIELD_NUMBERS:
    case FIELD_LIST:
      break;
  }
  return false;
}

enum doc_status fields_read(const struct field *table, json_t *object, size_t extra, size_t size,
                            void *out, char *why) {
  size_t known = extra;
  memset(out, 0, size);
  if (!json_is_object(object))
    return fields_fail(DOC_MALFORMED, why, "not an object");
  for (const struct field *f = table; f->name; f++) {
    json_t *value = json_object_get(object, f->name);
    if (!value)
      return fields_fail(DOC_MALFORMED, why, "%s is missing", f->name);
    known++;
    if (f->kind == FIELD_NUMBERS || f->kind == FIELD_LIST) {
      enum doc_status status = fields_read_list(f, value, out, why);
      if (status)
        return status;
    } else if (!fields_read_one(f, value, (char *)out + f->offset)) {
      return fields_fail(DOC_MALFORMED, why, "%s has a value that does not fit", f->name);
    }
  }
  if (json_object_size(object) != known)
    return fields_fail(DOC_MALFORMED, why, "a name that this version does not know");
  return DOC_OK;
}

char *fields_finish_as(json_t *object, int version, size_t *n) {
  char *text = NULL;
  if (object && json_object_set_new(object, "v", json_integer(version)) == 0)
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
  json_decref(object);
  *n = text ? strlen(text) : 0;
  return text;
}

char *fields_finish(json_t *object, size_t *n) {
  return fields_finish_as(object, DOC_VERSION, n);
}

enum doc_status fields_begin(struct meta_bytes text, json_t **object, char *why) {
  return fields_begin_as(text, DOC_VERSION, object, why);
}

enum doc_status fields_begin_as(struct meta_bytes text, int newest, json_t **object, char *why) {
  json_error_t fault;
  *object = json_loadb(text.data, text.n, JSON_REJECT_DUPLICATES, &fault);
  if (!*object)
    return fields_fail(DOC_MALFORMED, why, "not JSON: %.200s", fault.text);
  uint64_t version = 0;
  json_t *value = json_object_get(*object, "v");
  enum doc_status status = DOC_OK;
  if (!fields_number(value, INT64_MAX, &version) || !version)
    status = fields_fail(DOC_MALFORMED, why, "it has no version");
  else if (version > (uint64_t)newest)
    status = fields_fail(DOC_NEWER, why, "written by a later version (%llu, this knows %d)",
                         (unsigned long long)version, newest);
  else if (json_object_del(*object, "v"))
    status = fields_fail(DOC_NO_MEMORY, why, "out of memory");
  if (status) {
    json_decref(*object);
    *object = NULL;
  }
  return status;
}
