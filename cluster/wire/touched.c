/* touched.c - which rows writes touch; see touched.h. */
#include "wire/touched.h"

#include <stdlib.h>
#include <string.h>

#include "wire/reshape.h"

void wire_touched_free(struct wire_touched *t) {
  wire_mem_free(&t->mem);
  free(t->integers);
  free(t->strings);
  free(t->filters);
  *t = (struct wire_touched){0};
}

/* The list, with room for so many; NULL: no memory, and it stays as it was. */
static void *touched_grow(void *list, size_t *room, size_t wanted, size_t size) {
  if (wanted <= *room)
    return list;
  size_t more = wanted < 64 ? 64 : wanted + wanted / 2;
  void *grown = realloc(list, more * size);
  if (grown)
    *room = more;
  return grown;
}

/* Room for n keys more, n > 0. */
static bool touched_room(struct wire_touched *t, size_t n) {
  bool texts = t->type == VECDB_VARCHAR;
  if (t->n + n > VECDB_MAX_BATCH_ROWS)
    return false;
  void *grown = texts ? touched_grow(t->strings, &t->room, t->n + n, sizeof *t->strings)
                      : touched_grow(t->integers, &t->room, t->n + n, sizeof *t->integers);
  if (grown && texts)
    t->strings = grown;
  else if (grown)
    t->integers = grown;
  return grown != NULL;
}

static bool touched_keys(struct wire_touched *t, const vecdb_keys *keys) {
  bool texts = t->type == VECDB_VARCHAR;
  if (!keys->n || (texts ? keys->strings == NULL : keys->integers == NULL))
    return true;
  if (!touched_room(t, keys->n))
    return false;
  if (texts)
    memcpy(t->strings + t->n, keys->strings, keys->n * sizeof *t->strings);
  else
    memcpy(t->integers + t->n, keys->integers, keys->n * sizeof *t->integers);
  t->n += keys->n;
  return true;
}

/* A batch without keys of the right type was refused when it was applied, as one with a null is;
   a mask that says of all that they are there is none. */
static bool touched_rows(struct wire_touched *t, const struct wire_columns *rows) {
  int column = wire_columns_find(rows, t->key);
  const struct wire_column *c = column < 0 ? NULL : &rows->columns[column];
  if (!c || c->type != t->type || !c->data || !rows->n_rows)
    return true;
  if (!touched_room(t, rows->n_rows))
    return false;
  for (uint32_t i = 0; i < rows->n_rows; i++) {
    vecdb_value v = wire_columns_value(rows, i, (size_t)column);
    if (!v.type)
      continue;
    if (t->type == VECDB_VARCHAR)
      t->strings[t->n++] = (vecdb_string){v.as.data, v.length};
    else
      t->integers[t->n++] = v.as.integer;
  }
  return true;
}

static bool touched_filter(struct wire_touched *t, const vecdb_filter *filter) {
  vecdb_filter *grown =
      t->n_filters == WIRE_FILTERS
          ? NULL
          : touched_grow(t->filters, &t->room_filters, t->n_filters + 1, sizeof *grown);
  if (!grown)
    return false;
  t->filters = grown;
  t->filters[t->n_filters++] = *filter;
  return true;
}

/* What is not understood here may be of that kind, too. */
static bool touched_reshape(struct wire_touched *t, const char *text) {
  char why[WIRE_WHY];
  struct wire_reshape r;
  int code = wire_reshape_read(text, strlen(text), &t->mem, &r, why);
  t->reshaped |= code || r.kind == WIRE_RESHAPE_DROP || r.kind == WIRE_RESHAPE_RENAME;
  return code != VECDB_ERR_NO_MEMORY;
}

bool wire_touched_add(struct wire_touched *t, const void *body, size_t n) {
  struct wire_message m;
  enum wire_status status = wire_message_read(body, n, &t->mem, &m);
  if (status == WIRE_NO_MEMORY)
    return false;
  if (status || m.kind != WIRE_WRITE)
    return true;
  t->split |= m.write.kind == WIRE_SPLIT && m.write.flags == WIRE_SPLIT_RELEASE;
  if (m.write.kind == WIRE_RESHAPED)
    return touched_reshape(t, m.name.text);
  if (m.has & WIRE_HAS(WIRE_FILTER))
    return touched_filter(t, &m.filter);
  if (m.has & WIRE_HAS(WIRE_KEYS))
    return touched_keys(t, &m.keys);
  return !(m.has & WIRE_HAS(WIRE_BATCH)) || touched_rows(t, &m.rows);
}

static int touched_integer_order(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static int touched_string_order(const void *a, const void *b) {
  const vecdb_string *x = a, *y = b;
  size_t n = x->length < y->length ? x->length : y->length;
  int order = n ? memcmp(x->data, y->data, n) : 0;
  return order ? order : x->length < y->length ? -1 : x->length > y->length;
}

vecdb_keys wire_touched_keys(struct wire_touched *t) {
  size_t used = 0;
  bool texts = t->type == VECDB_VARCHAR;
  if (t->n && texts)
    qsort(t->strings, t->n, sizeof *t->strings, touched_string_order);
  else if (t->n)
    qsort(t->integers, t->n, sizeof *t->integers, touched_integer_order);
  for (size_t i = 0; i < t->n; i++) {
    if (texts && (!used || touched_string_order(&t->strings[used - 1], &t->strings[i])))
      t->strings[used++] = t->strings[i];
    else if (!texts && (!used || t->integers[used - 1] != t->integers[i]))
      t->integers[used++] = t->integers[i];
  }
  t->n = used;
  return (vecdb_keys){texts ? NULL : t->integers, texts ? t->strings : NULL, used};
}
