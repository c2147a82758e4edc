/*
 * json.h - the texts of JSON fields: checked to be JSON by RFC 8259, and made compact. A compact
 * text has no white space, the fewest escapes, and each key of an object once: of those that came
 * twice the last stays. Numbers keep their digits. Texts of up to VECDB_MAX_JSON bytes.
 */
#ifndef VDB_JSON_H
#define VDB_JSON_H

#include "attr/schema.h"

/* Room to find keys that come twice; zeroed at first, kept from text to text. */
struct vdb_json_keys {
  struct vdb_mem *mem;
  struct json_slot *slots;
  size_t capacity;
};
VDB_INTERNAL void vdb_json_keys_fini(struct vdb_json_keys *keys);

/* Checks a value of the field. Errors, naming field and row: UTF8 (also a NUL byte), JSON (no JSON,
   or half of a surrogate pair), LIMIT (nested deeper than VECDB_MAX_JSON_DEPTH). */
VDB_INTERNAL int vdb_json_check(const struct vdb_field *field, const uint8_t *text, size_t n,
                                int64_t row, vecdb_error *err);
/* The same, and makes the text compact in place; *n is its length. NO_MEMORY, too. */
VDB_INTERNAL int vdb_json_compact(struct vdb_json_keys *keys, const struct vdb_field *field,
                                  uint8_t *text, size_t *n, int64_t row, vecdb_error *err);

/* The character that an escape means, in UTF-8: its bytes, or 0 when it is none. *at stands behind
   the backslash, and is moved behind the escape. */
VDB_INTERNAL size_t vdb_json_unescape(const uint8_t **at, const uint8_t *end, uint8_t out[4]);

#endif
