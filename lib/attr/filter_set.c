/*
 * filter_set.c - sets of constants: the lists of `in` and of the array functions. Members lie
 * sorted by a 64-bit key that keeps the order of the values; a directory leads from the high bits
 * of a key to its place.
 */
#include "attr/filter_tree.h"

enum { FILTER_SET_SMALL = 16, FILTER_SET_DIRECTORY_BITS = 20 };

static uint64_t filter_set_int_key(int64_t value) {
  return (uint64_t)value ^ (uint64_t)1 << 63;
}

VDB_INTERNAL int64_t vdb_filter_member_int(uint64_t key) {
  return (int64_t)(key ^ (uint64_t)1 << 63);
}

/* Negative doubles with all bits flipped, others with the sign bit: then keys order as values do.
 */
static uint64_t filter_set_double_key(double value) {
  uint64_t bits;
  value = value == 0 ? 0.0 : value;
  memcpy(&bits, &value, sizeof bits);
  return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

VDB_INTERNAL double vdb_filter_member_double(uint64_t key) {
  uint64_t bits = key >> 63 ? key & ~((uint64_t)1 << 63) : ~key;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The first eight bytes, the first highest. Text has no NUL, so padding with zeros keeps the order.
 */
static uint64_t filter_set_text_key(const uint8_t *text, size_t n) {
  uint64_t key = 0;
  if (n >= 8) {
    memcpy(&key, text, 8);
    return __builtin_bswap64(key);
  }
  for (size_t i = 0; i < n; i++)
    key |= (uint64_t)text[i] << (56 - 8 * i);
  return key;
}

/* ---- looking up ---- */

static int filter_set_order(const struct filter_member *member, uint64_t key, const uint8_t *pool,
                            struct vdb_bytes text) {
  if (member->key != key)
    return member->key < key ? -1 : 1;
  return vdb_filter_compare_text(filter_text_bytes(pool, member->text), text);
}

/* Where a key can be: from *low to *high; false when nowhere. */
static bool filter_set_place(const struct filter_set *set, uint64_t key, uint32_t *low,
                             uint32_t *high) {
  if (set->n == 0 || key < set->members[0].key || key > set->members[set->n - 1].key)
    return false;
  *low = 0;
  *high = set->n;
  if (set->directory) {
    uint64_t place = (key - set->members[0].key) >> set->shift;
    *low = set->directory[place];
    *high = set->directory[place + 1];
  }
  return *low < *high;
}

VDB_INTERNAL uint32_t vdb_filter_set_key(const struct filter_set *set, uint64_t key) {
  uint32_t low, high;
  if (!filter_set_place(set, key, &low, &high))
    return FILTER_NONE;
  uint32_t n = high - low;
  while (n > 1) { /* the last member not above key */
    uint32_t half = n / 2;
    low = set->members[low + half].key <= key ? low + half : low;
    n -= half;
  }
  return set->members[low].key == key ? low : FILTER_NONE;
}

VDB_INTERNAL uint32_t vdb_filter_set_text(const struct filter_set *set, const uint8_t *pool,
                                          struct vdb_bytes text) {
  uint64_t key = filter_set_text_key(text.data, text.n);
  uint32_t low, high;
  if (!filter_set_place(set, key, &low, &high))
    return FILTER_NONE;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = filter_set_order(&set->members[middle], key, pool, text);
    if (order == 0)
      return middle;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return FILTER_NONE;
}

VDB_INTERNAL uint32_t vdb_filter_set_int(const struct filter_set *set, int64_t value) {
  return vdb_filter_set_key(set, filter_set_int_key(value));
}

VDB_INTERNAL uint32_t vdb_filter_set_double(const struct filter_set *set, double value) {
  return vdb_filter_set_key(set, filter_set_double_key(value));
}

/* ---- building ---- */

/* A list element on its way into a set. */
struct filter_set_value {
  int type; /* a filter_type */
  bool from_param;
  uint32_t pos;
  union filter_scalar value;
};

static int filter_set_fail(struct filter_binding *b, const struct filter_set_value *v, int type) {
  return vdb_fail_pos(b->err, v->from_param ? VECDB_ERR_FILTER_PARAM : VECDB_ERR_TYPE, v->pos,
                      "the list holds %s where it is compared with %s",
                      vdb_filter_type_name(v->type), vdb_filter_type_name(type));
}

static bool filter_set_fits(int32_t column_type, int64_t value) {
  switch (column_type) {
  case VECDB_INT8:
    return value == (int8_t)value;
  case VECDB_INT16:
    return value == (int16_t)value;
  case VECDB_INT32:
    return value == (int32_t)value;
  default:
    return true;
  }
}

/* The key of an element as a value of the column's type; false when it is none of its values. */
static bool filter_set_number(int32_t column_type, const struct filter_set_value *v,
                              uint64_t *key) {
  if (vdb_type_is_integer(column_type)) {
    int64_t integer = v->value.integer;
    if (v->type == FILTER_DOUBLE) {
      double number = v->value.number;
      if (!(number >= -0x1p63 && number < 0x1p63) || (double)(int64_t)number != number)
        return false;
      integer = (int64_t)number;
    }
    *key = filter_set_int_key(integer);
    return filter_set_fits(column_type, integer);
  }
  double number = v->type == FILTER_INT ? (double)v->value.integer : v->value.number;
  if (column_type == VECDB_FLOAT)
    number = (double)(v->type == FILTER_INT ? (float)v->value.integer : (float)number);
  else if (v->type == FILTER_INT && vdb_filter_compare_mixed(v->value.integer, number) != 0)
    return false;
  *key = filter_set_double_key(number);
  return number - number == 0; /* a double can be beyond all floats */
}

static int filter_set_add(struct filter_binding *b, struct filter_set *set, int32_t column_type,
                          const struct filter_set_value *v) {
  int type = vdb_filter_type_of(column_type);
  bool numbers = (type == FILTER_INT || type == FILTER_DOUBLE) &&
                 (v->type == FILTER_INT || v->type == FILTER_DOUBLE);
  if (!numbers && v->type != type)
    return filter_set_fail(b, v, type);
  struct filter_member *member = &set->members[set->n];
  member->text.offset = member->text.length = 0;
  if (numbers) {
    if (filter_set_number(column_type, v, &member->key))
      set->n++;
    else
      set->dropped = true;
    return VECDB_OK;
  }
  if (type == FILTER_TEXT) {
    member->text = v->value.text;
    member->key =
        filter_set_text_key(b->filter->pool.data + v->value.text.offset, v->value.text.length);
  } else {
    member->key = filter_set_int_key(v->value.integer);
  }
  set->n++;
  return VECDB_OK;
}

static int filter_set_param_item(struct filter_binding *b, const struct filter_item *item,
                                 struct filter_set_value *v) {
  const vecdb_param *param = vdb_filter_param(b, item->value.text, item->pos);
  if (!param)
    return VECDB_ERR_FILTER_PARAM;
  const vecdb_value *value = &param->value;
  v->from_param = true;
  v->type = value->type > 0 && value->type < VECDB_ARRAY ? vdb_filter_type_of(value->type) : 0;
  if (v->type == FILTER_BOOL)
    v->value.integer = value->as.boolean;
  else if (v->type == FILTER_INT)
    v->value.integer = value->as.integer;
  else if (v->type == FILTER_DOUBLE && value->as.number - value->as.number == 0)
    v->value.number = value->as.number;
  else if (v->type != FILTER_TEXT || (!value->as.data && value->length))
    return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, item->pos,
                        "parameter {%.64s} is not a finite scalar", param->name);
  else if (!vdb_utf8_valid(value->as.data, value->length))
    return vdb_fail_pos(b->err, VECDB_ERR_UTF8, item->pos, "parameter {%.64s} is not valid UTF-8",
                        param->name);
  else
    return vdb_filter_pool(b, value->as.data, value->length, item->pos, &v->value.text);
  return VECDB_OK;
}

static int filter_set_add_items(struct filter_binding *b, struct filter_set *set,
                                const struct filter_list *list) {
  for (size_t i = 0; i < list->n; i++) {
    const struct filter_item *item = &list->items[i];
    struct filter_set_value v = {item->type, false, item->pos, item->value};
    if (item->type == FILTER_PARAMETER)
      VDB_TRY(filter_set_param_item(b, item, &v));
    VDB_TRY(filter_set_add(b, set, list->column_type, &v));
  }
  return VECDB_OK;
}

/* Element i of a caller's packed array. */
static int64_t filter_set_load_int(const vecdb_value *array, size_t i) {
  const char *data = array->as.data;
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  switch (array->element_type) {
  case VECDB_BOOL:
    return data[i] != 0;
  case VECDB_INT8:
    memcpy(&i8, data + i, sizeof i8);
    return i8;
  case VECDB_INT16:
    memcpy(&i16, data + i * sizeof i16, sizeof i16);
    return i16;
  case VECDB_INT32:
    memcpy(&i32, data + i * sizeof i32, sizeof i32);
    return i32;
  default:
    memcpy(&i64, data + i * sizeof i64, sizeof i64);
    return i64;
  }
}

static int filter_set_load(struct filter_binding *b, const vecdb_value *array, size_t i,
                           struct filter_set_value *v) {
  if (array->element_type == VECDB_VARCHAR) {
    const vecdb_string *string = (const vecdb_string *)array->as.data + i;
    if (!string->data && string->length)
      return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, v->pos,
                          "text %zu of the parameter has no data", i);
    if (!vdb_utf8_valid(string->data, string->length))
      return vdb_fail_pos(b->err, VECDB_ERR_UTF8, v->pos,
                          "text %zu of the parameter is not valid UTF-8", i);
    return vdb_filter_pool(b, string->data, string->length, v->pos, &v->value.text);
  }
  if (array->element_type == VECDB_FLOAT) {
    v->value.number = (double)((const float *)array->as.data)[i];
  } else if (array->element_type == VECDB_DOUBLE) {
    v->value.number = ((const double *)array->as.data)[i];
  } else {
    v->value.integer = filter_set_load_int(array, i);
    return VECDB_OK;
  }
  if (!(v->value.number - v->value.number == 0))
    return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, v->pos,
                        "number %zu of the parameter is not finite", i);
  return VECDB_OK;
}

static int filter_set_add_array(struct filter_binding *b, struct filter_set *set,
                                const struct filter_list *list) {
  const vecdb_value *array = list->array;
  struct filter_set_value v = {vdb_filter_type_of(array->element_type), true, list->pos, {0}};
  for (size_t i = 0; i < array->length; i++) {
    VDB_TRY(filter_set_load(b, array, i, &v));
    VDB_TRY(filter_set_add(b, set, list->column_type, &v));
  }
  return VECDB_OK;
}

/* ---- sorting ---- */

/* By key, byte for byte from the lowest; stable. Bytes that all keys share take no round. The
 *result is in members; *spare has the same room. */
static void filter_set_radix(struct filter_member **members, struct filter_member **spare,
                             size_t n) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    uint32_t places[257] = {0};
    for (size_t i = 0; i < n; i++)
      places[((*members)[i].key >> shift & 0xff) + 1]++;
    if (places[((*members)[0].key >> shift & 0xff) + 1] == n)
      continue;
    for (unsigned i = 0; i < 256; i++)
      places[i + 1] += places[i];
    for (size_t i = 0; i < n; i++)
      (*spare)[places[(*members)[i].key >> shift & 0xff]++] = (*members)[i];
    struct filter_member *swap = *members;
    *members = *spare;
    *spare = swap;
  }
}

/* Merge sort of texts whose keys are equal; the result is in `members`. */
static void filter_set_merge(struct filter_member *members, struct filter_member *spare, size_t n,
                             const uint8_t *pool) {
  struct filter_member *from = members, *to = spare;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t start = 0; start < n; start += 2 * width) {
      size_t i = start, middle = vdb_min_size(start + width, n);
      size_t j = middle, end = vdb_min_size(start + 2 * width, n);
      for (size_t k = start; k < end; k++) {
        bool right =
            i == middle ||
            (j < end && vdb_filter_compare_text(filter_text_bytes(pool, from[j].text),
                                                filter_text_bytes(pool, from[i].text)) < 0);
        to[k] = right ? from[j++] : from[i++];
      }
    }
    struct filter_member *swap = from;
    from = to;
    to = swap;
  }
  if (from != members)
    memcpy(members, from, n * sizeof *members);
}

/* Puts texts with equal keys in order. */
static void filter_set_ties(struct filter_set *set, struct filter_member *spare,
                            const uint8_t *pool) {
  for (size_t i = 0, end; i < set->n; i = end) {
    for (end = i + 1; end < set->n && set->members[end].key == set->members[i].key;)
      end++;
    if (end - i > 1)
      filter_set_merge(set->members + i, spare, end - i, pool);
  }
}

/* Sorts the members and drops repeated ones. */
static int filter_set_sort(struct filter_binding *b, struct filter_set *set) {
  const uint8_t *pool = b->filter->pool.data;
  size_t n = set->n, kept = 1;
  if (n < 2)
    return VECDB_OK;
  struct filter_member *spare = vdb_alloc_array(b->mem, n, sizeof *spare);
  if (!spare)
    return vdb_fail_memory(b->err);
  filter_set_radix(&set->members, &spare, n);
  if (set->type == FILTER_TEXT)
    filter_set_ties(set, spare, pool);
  vdb_free(b->mem, spare);
  for (size_t i = 1; i < n; i++) {
    struct filter_member *last = &set->members[kept - 1], *member = &set->members[i];
    if (last->key != member->key ||
        (set->type == FILTER_TEXT &&
         vdb_filter_compare_text(filter_text_bytes(pool, last->text),
                                 filter_text_bytes(pool, member->text)) != 0))
      set->members[kept++] = *member;
  }
  set->n = (uint32_t)kept;
  return VECDB_OK;
}

static int filter_set_index(struct filter_binding *b, struct filter_set *set) {
  if (set->n <= FILTER_SET_SMALL)
    return VECDB_OK;
  uint64_t first = set->members[0].key;
  uint32_t wanted = 64 - (uint32_t)__builtin_clzll(set->n);
  uint32_t range_bits = 64 - (uint32_t)__builtin_clzll((set->members[set->n - 1].key - first) | 1);
  uint32_t bits = vdb_min_u32(vdb_min_u32(wanted, FILTER_SET_DIRECTORY_BITS), range_bits);
  set->shift = range_bits - bits;
  set->n_directory = (1u << bits) + 1;
  set->directory = vdb_alloc_array(b->mem, set->n_directory, sizeof *set->directory);
  if (!set->directory)
    return vdb_fail_memory(b->err);
  uint32_t at = 0;
  for (uint32_t i = 0; i < set->n_directory; i++) {
    while (at < set->n && (set->members[at].key - first) >> set->shift < i)
      at++;
    set->directory[i] = at;
  }
  return VECDB_OK;
}

static int filter_set_check_array(struct filter_binding *b, const struct filter_list *list) {
  const vecdb_value *array = list->array;
  if (array->type != VECDB_ARRAY || (!array->as.data && array->length))
    return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, list->pos,
                        "the parameter must be an array");
  if (array->element_type < VECDB_BOOL || array->element_type > VECDB_VARCHAR)
    return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, list->pos,
                        "the parameter's elements have no scalar type");
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_set_build(struct filter_binding *b, const struct filter_list *list,
                                      uint32_t *out) {
  struct vdb_filter *filter = b->filter;
  if (list->array)
    VDB_TRY(filter_set_check_array(b, list));
  size_t n = list->array ? list->array->length : list->n;
  if (n > FILTER_MAX_ITEMS - filter->n_listed)
    return vdb_fail_pos(b->err, VECDB_ERR_LIMIT, list->pos,
                        "the lists of the filter have more than %u elements", FILTER_MAX_ITEMS);
  filter->n_listed += n;
  if (!VDB_GROW(b->mem, filter->sets, filter->sets_capacity, filter->n_sets + 1))
    return vdb_fail_memory(b->err);
  struct filter_set *set = &filter->sets[filter->n_sets];
  memset(set, 0, sizeof *set);
  set->type = vdb_filter_type_of(list->column_type);
  set->members = vdb_alloc_array(b->mem, n, sizeof *set->members);
  if (!set->members)
    return vdb_fail_memory(b->err);
  *out = (uint32_t)filter->n_sets++; /* from here on freed with the filter */
  if (list->array)
    VDB_TRY(filter_set_add_array(b, set, list));
  else
    VDB_TRY(filter_set_add_items(b, set, list));
  VDB_TRY(filter_set_sort(b, set));
  return filter_set_index(b, set);
}
