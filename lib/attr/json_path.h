/*
 * json_path.h - places in JSON by their text, `["key"][0]`, as behind a field's name in filters:
 * checked, written in one way, and packed for finding what stands there. Packed, a step is a u32
 * with its highest bit set for a place in an array, which is the rest of it; else the rest is the
 * length of a key, whose bytes follow.
 */
#ifndef VDB_JSON_PATH_H
#define VDB_JSON_PATH_H

#include "base/bytes.h"
#include "base/err.h"

#define VDB_JSON_PLACE ((uint32_t)1 << 31)

/* Neither form of a path is longer than this: at worst each byte of a key becomes an escape, or
   three of a text are a step. */
#define VDB_JSON_PATH_ROOM (6 * VECDB_MAX_JSON_PATH)

struct vdb_json_path_forms {
  char text[VDB_JSON_PATH_ROOM + 1]; /* with a NUL */
  uint8_t steps[VDB_JSON_PATH_ROOM];
  uint32_t n_text;
  uint32_t n_steps;
};

/* Takes apart the text of a path of `field`, whose name may stand before it. Errors, naming the
   field: SCHEMA (NULL, no step, or no path at a byte), UTF8, LIMIT (bytes, steps, places). */
VDB_INTERNAL int vdb_json_path_parse(const char *field, const char *path,
                                     struct vdb_json_path_forms *out, vecdb_error *err);

/* A step; its key is borrowed. */
struct vdb_json_step {
  bool place;
  uint32_t n; /* the place, or bytes of the key */
  const uint8_t *key;
};

/* Takes the first step off; false: there is none left. */
VDB_INLINE bool vdb_json_path_step(const uint8_t **steps, const uint8_t *end,
                                   struct vdb_json_step *out) {
  uint32_t head;
  if (*steps == end)
    return false;
  memcpy(&head, *steps, sizeof head);
  out->place = (head & VDB_JSON_PLACE) != 0;
  out->n = head & ~VDB_JSON_PLACE;
  out->key = *steps + sizeof head;
  *steps = out->key + (out->place ? 0 : out->n);
  return true;
}

#endif
