/* defaults.c - defaults that are computed; see defaults.h. */
#include "client/defaults.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "client/calls.h"
#include "wire/schema.h"

enum { DEFAULTS_UUID = 36, DEFAULTS_COMPUTED = VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID };

/* All rows' values of one field. */
struct defaults {
  uint32_t n;
  int64_t *times;
  const char **texts;
  uint32_t *lengths;
};

static bool defaults_random(uint8_t *out, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t got = getrandom(out + at, n - at, 0);
    if (got < 0 && errno == EINTR) /* by a signal of the host's */
      continue;
    if (got < 0)
      return false;
    at += (size_t)got;
  }
  return true;
}

/* A UUID of version 7 (RFC 9562) out of the time and 16 random bytes. */
static void defaults_uuid(uint64_t ms, uint8_t *bytes, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 6; i++)
    bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
  bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0f));
  bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *out++ = '-';
    *out++ = digits[bytes[i] >> 4];
    *out++ = digits[bytes[i] & 15];
  }
}

static bool defaults_compute(struct defaults *d, const vecdb_field *f, struct wire_mem *mem) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  if (f->flags & VECDB_DEFAULT_NOW) {
    d->times = wire_mem_get(mem, d->n, sizeof *d->times);
    for (uint32_t i = 0; d->times && i < d->n; i++)
      d->times[i] = (int64_t)ms;
    return d->times != NULL;
  }
  uint8_t *random = wire_mem_get(mem, d->n, 16);
  char *texts = wire_mem_get(mem, d->n, DEFAULTS_UUID);
  d->texts = wire_mem_get(mem, d->n, sizeof *d->texts);
  d->lengths = wire_mem_get(mem, d->n, sizeof *d->lengths);
  if (mem->failed || !defaults_random(random, (size_t)d->n * 16))
    return false;
  for (uint32_t i = 0; i < d->n; i++) {
    defaults_uuid(ms, random + (size_t)i * 16, texts + (size_t)i * DEFAULTS_UUID);
    d->texts[i] = texts + (size_t)i * DEFAULTS_UUID;
    d->lengths[i] = DEFAULTS_UUID;
  }
  return true;
}

/* Takes over what the column has, where it is not null. */
static void defaults_mix(struct defaults *d, const struct wire_column *from) {
  size_t stride = from->stride ? from->stride : sizeof(int64_t);
  for (uint32_t i = 0; i < d->n; i++) {
    const char *at = (const char *)from->data + i * stride;
    if (!from->valid[i])
      continue;
    if (d->times) {
      memcpy(&d->times[i], at, sizeof d->times[i]);
      continue;
    }
    memcpy(&d->texts[i], at, sizeof d->texts[i]);
    const char *text = d->texts[i];
    d->lengths[i] = from->lengths ? from->lengths[i]
                                  : (uint32_t)(text ? strnlen(text, VECDB_MAX_VARCHAR + 1) : 0);
  }
}

/* The field's column, or a place for one behind the others; NULL: what the batch says holds. */
static struct wire_column *defaults_place(const vecdb_field *f, bool whole,
                                          struct wire_column *columns, struct wire_columns *rows) {
  int at = wire_columns_find(rows, f->name);
  if (at < 0)
    return whole ? &columns[rows->n_columns++] : NULL;
  const struct wire_column *c = &columns[at];
  bool said = c->data && (!c->valid || f->flags & VECDB_NULLABLE);
  return said ? NULL : &columns[at];
}

/* The name is copied: the schema may be replaced by a newer one before the rows are sent. */
static int defaults_field(const vecdb_field *f, struct wire_column *column, uint32_t n,
                          struct wire_mem *mem, vecdb_error *error) {
  struct defaults d = {.n = n};
  const size_t length = strlen(f->name) + 1;
  char *name = wire_mem_get(mem, length, 1);
  if (!name || !defaults_compute(&d, f, mem))
    return calls_fail(error, VECDB_ERR_NO_MEMORY, f->name, "no memory, or no random bytes");
  if (column->data)
    defaults_mix(&d, column);
  memcpy(name, f->name, length);
  *column = (struct wire_column){.name = name, .type = f->type, .data = d.times};
  if (!d.times) {
    column->data = d.texts;
    column->lengths = d.lengths;
  }
  return VECDB_OK;
}

int defaults_fill(const vecdb_schema *schema, bool whole, struct wire_mem *mem,
                  struct wire_columns *rows, vecdb_error *error) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < schema->n_fields; i++)
    n += (schema->fields[i].flags & DEFAULTS_COMPUTED) != 0;
  if (!n)
    return VECDB_OK;
  struct wire_column *columns = wire_mem_get(mem, rows->n_columns + n, sizeof *columns);
  if (!columns)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  memcpy(columns, rows->columns, rows->n_columns * sizeof *columns);
  rows->columns = columns;
  int code = VECDB_OK;
  for (uint32_t i = 0; !code && i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    struct wire_column *column =
        f->flags & DEFAULTS_COMPUTED ? defaults_place(f, whole, columns, rows) : NULL;
    code = column ? defaults_field(f, column, rows->n_rows, mem, error) : VECDB_OK;
  }
  return code;
}

const char *defaults_missing(const vecdb_schema *schema, const struct wire_columns *rows) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & DEFAULTS_COMPUTED &&
        wire_columns_find(rows, schema->fields[i].name) < 0)
      return schema->fields[i].name;
  return NULL;
}
