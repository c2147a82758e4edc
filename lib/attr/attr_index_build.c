/*
 * attr_index_build.c - building the index of a scalar column; see attr_index_format.h. Both kinds
 * of index are one structure, and both look values up by binary search in the sorted values: a
 * hashed directory would save some twenty probes per lookup, next to nothing beside marking the
 * rows found, and would be one more thing to store and to check. The kind only says what the
 * planner may ask.
 *
 * Numbers are radix-sorted as (key, row). Texts are first told apart with a hash table, so that
 * only distinct ones are sorted, by merging; rows then fall into place by counting.
 */
#include "attr/attr_index_format.h"
#include "base/bitmap.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sum.h"

enum {
  AIX_AUTO_ROWS = 256,     /* AUTO: fewer rows are as fast scanned */
  AIX_AUTO_TEXT = 64,      /* AUTO: bytes of texts that are long */
  AIX_RUN = 16,            /* texts sorted by insertion before merging */
  AIX_POLL = 1 << 14       /* rows, or texts, between two looks whether to stop */
};

struct aix_build {
  const struct vdb_attr_index_build *of;
  size_t worked; /* rows, since the last look whether to stop */
  struct vdb_mem *mem;
  const struct vdb_column *column;
  size_t n;
  int32_t kind;
  struct vdb_sect_writer *out;
  uint32_t number;
  uint32_t n_full;   /* rows without null */
  uint32_t n_values;
  uint32_t *rows;    /* n_full rows by value, then row */
  uint32_t *starts;  /* n_values + 1 */
  /* numbers */
  uint64_t *keys;    /* beside rows */
  /* texts */
  struct aix_text *texts; /* distinct values, sorted in the end */
  size_t texts_capacity;
  uint64_t text_bytes;
};

/* To be told of n rows, or texts, that were worked on; looks now and then whether to stop. */
static int aix_worked(struct aix_build *b, size_t n, vecdb_error *err) {
  b->worked += n;
  if (b->worked < AIX_POLL)
    return VECDB_OK;
  b->worked = 0;
  if (b->of->stop && b->of->stop(b->of->stop_arg))
    return vdb_fail(err, VECDB_ERR_CANCELLED, "cancelled");
  return VECDB_OK;
}

/* ---- Numbers -------------------------------------------------------------------------------- */

/* Keys with their rows, as a sort moves them. */
struct aix_pairs {
  uint64_t *keys;
  uint32_t *rows;
};

static void aix_radix_pass(struct aix_pairs from, struct aix_pairs to, size_t n,
                           const uint32_t counts[256], unsigned shift) {
  uint32_t at[256];
  uint32_t sum = 0;
  for (size_t d = 0; d < 256; d++) {
    at[d] = sum;
    sum += counts[d];
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t place = at[from.keys[i] >> shift & 0xff]++;
    to.keys[place] = from.keys[i];
    to.rows[place] = from.rows[i];
  }
}

static bool aix_ascending(const uint64_t *keys, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (keys[i - 1] > keys[i])
      return false;
  return true;
}

/* Sorts `own` by key, stably; `spare` has as much room, and they may change places. Digits that all
   keys share are skipped. */
static int aix_radix_sort(struct aix_build *b, struct aix_pairs *own,
                          struct aix_pairs *spare, vecdb_error *err) {
  size_t n = b->n_full;
  uint32_t counts[8][256];
  memset(counts, 0, sizeof counts);
  for (size_t i = 0; i < n; i++)
    for (unsigned d = 0; d < 8; d++)
      counts[d][own->keys[i] >> (8 * d) & 0xff]++;
  for (unsigned d = 0; d < 8; d++) {
    if (counts[d][own->keys[0] >> (8 * d) & 0xff] == n)
      continue;
    VDB_TRY(aix_worked(b, n, err));
    aix_radix_pass(*own, *spare, n, counts[d], 8 * d);
    struct aix_pairs swap = *own;
    *own = *spare;
    *spare = swap;
  }
  return VECDB_OK;
}

static int aix_sort_numbers(struct aix_build *b, vecdb_error *err) {
  size_t at = 0;
  for (size_t row = 0; row < b->n; row++) {
    VDB_TRY(aix_worked(b, 1, err));
    if (vdb_column_is_null(b->column, row))
      continue;
    b->keys[at] = vdb_aix_key(b->column->type, vdb_column_bytes(b->column, row).data);
    b->rows[at++] = (uint32_t)row;
  }
  if (aix_ascending(b->keys, b->n_full))
    return VECDB_OK;
  struct aix_pairs own = {b->keys, b->rows};
  struct aix_pairs spare = {vdb_alloc_array(b->mem, b->n_full, sizeof *spare.keys),
                            vdb_alloc_array(b->mem, b->n_full, sizeof *spare.rows)};
  int rc = spare.keys && spare.rows ? aix_radix_sort(b, &own, &spare, err) : vdb_fail_memory(err);
  b->keys = own.keys;
  b->rows = own.rows;
  vdb_free(b->mem, spare.keys);
  vdb_free(b->mem, spare.rows);
  return rc;
}

static int aix_group_numbers(struct aix_build *b, vecdb_error *err) {
  b->keys = vdb_alloc_array(b->mem, b->n_full, sizeof *b->keys);
  b->rows = vdb_alloc_array(b->mem, b->n_full, sizeof *b->rows);
  if (!b->keys || !b->rows)
    return vdb_fail_memory(err);
  VDB_TRY(aix_sort_numbers(b, err));
  for (size_t i = 0; i < b->n_full; i++)
    b->n_values += i == 0 || b->keys[i] != b->keys[i - 1];
  b->starts = vdb_alloc_array(b->mem, (size_t)b->n_values + 1, sizeof *b->starts);
  if (!b->starts)
    return vdb_fail_memory(err);
  uint32_t value = 0;
  for (uint32_t i = 0; i < b->n_full; i++)
    if (i == 0 || b->keys[i] != b->keys[i - 1])
      b->starts[value++] = i;
  b->starts[value] = b->n_full;
  return VECDB_OK;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

/* A distinct text. */
struct aix_text {
  struct vdb_bytes bytes;
  uint64_t prefix; /* its first bytes behind what all texts share, as a number in their order */
  uint32_t id;     /* in order of first appearance */
  uint32_t count;  /* rows */
};

/* A place of the table that tells texts apart. */
struct aix_slot {
  uint32_t tag; /* high half of the hash */
  uint32_t id;  /* + 1; 0: empty */
};

struct aix_table {
  struct aix_slot *slots;
  size_t mask;
};

/* The id of a text, new ones included; UINT32_MAX when there is no memory. */
static uint32_t aix_text_id(struct aix_build *b, const struct aix_table *t, struct vdb_bytes text) {
  /* Seeded by an address, so that nobody can choose texts that collide. Ids do not depend on it. */
  uint64_t hash = vdb_hash64_seed(text.data, text.n, (uint64_t)(uintptr_t)t->slots);
  uint32_t tag = (uint32_t)(hash >> 32);
  size_t at = hash & t->mask;
  for (; t->slots[at].id; at = (at + 1) & t->mask) {
    uint32_t id = t->slots[at].id - 1;
    if (t->slots[at].tag == tag && vdb_aix_compare(b->texts[id].bytes, text) == 0) {
      b->texts[id].count++;
      return id;
    }
  }
  if (!VDB_GROW(b->mem, b->texts, b->texts_capacity, (size_t)b->n_values + 1))
    return UINT32_MAX;
  uint32_t id = b->n_values++;
  t->slots[at].tag = tag;
  t->slots[at].id = id + 1;
  struct aix_text fresh = {text, 0, id, 1};
  b->texts[id] = fresh;
  b->text_bytes += text.n;
  return id;
}

/* Finds the distinct texts and fills ids, one per row without null. */
static int aix_distinct(struct aix_build *b, uint32_t *ids, uint64_t *total, vecdb_error *err) {
  struct aix_table table = {NULL, 15};
  while (table.mask < (size_t)b->n_full * 2)
    table.mask = table.mask * 2 + 1;
  table.slots = vdb_alloc_array(b->mem, table.mask + 1, sizeof *table.slots);
  if (!table.slots)
    return vdb_fail_memory(err);
  memset(table.slots, 0, (table.mask + 1) * sizeof *table.slots);
  size_t at = 0;
  int rc = VECDB_OK;
  for (size_t row = 0; row < b->n && !rc; row++) {
    rc = aix_worked(b, 1, err);
    if (rc || vdb_column_is_null(b->column, row))
      continue;
    struct vdb_bytes text = vdb_column_bytes(b->column, row);
    *total += text.n;
    ids[at] = aix_text_id(b, &table, text);
    if (ids[at++] == UINT32_MAX)
      rc = vdb_fail_memory(err);
  }
  vdb_free(b->mem, table.slots);
  return rc;
}

/* Sets the prefixes of the texts. */
static void aix_set_prefixes(struct aix_build *b) {
  struct vdb_bytes shared = b->texts[0].bytes;
  for (uint32_t i = 1; i < b->n_values; i++) {
    struct vdb_bytes text = b->texts[i].bytes;
    size_t same = 0;
    shared.n = vdb_min_size(shared.n, text.n);
    while (same < shared.n && shared.data[same] == text.data[same])
      same++;
    shared.n = same;
  }
  for (uint32_t i = 0; i < b->n_values; i++) {
    struct vdb_bytes text = b->texts[i].bytes;
    uint64_t prefix = 0;
    for (size_t j = 0; j < 8; j++)
      prefix = prefix << 8 | (shared.n + j < text.n ? text.data[shared.n + j] : 0);
    b->texts[i].prefix = prefix;
  }
}

static bool aix_text_before(const struct aix_text *x, const struct aix_text *y) {
  if (x->prefix != y->prefix)
    return x->prefix < y->prefix;
  return vdb_aix_compare(x->bytes, y->bytes) < 0;
}

static void aix_insertion_sort(struct aix_text *texts, size_t n) {
  for (size_t i = 1; i < n; i++) {
    struct aix_text moving = texts[i];
    size_t j = i;
    for (; j > 0 && aix_text_before(&moving, &texts[j - 1]); j--)
      texts[j] = texts[j - 1];
    texts[j] = moving;
  }
}

static void aix_merge(const struct aix_text *from, size_t middle, size_t n, struct aix_text *to) {
  size_t a = 0, z = middle;
  for (size_t i = 0; i < n; i++) {
    bool left = z == n || (a < middle && aix_text_before(&from[a], &from[z]));
    to[i] = left ? from[a++] : from[z++];
  }
}

static int aix_sort_texts(struct aix_build *b, vecdb_error *err) {
  size_t n = b->n_values;
  struct aix_text *from = b->texts;
  for (size_t i = 0; i < n; i += AIX_RUN)
    aix_insertion_sort(from + i, vdb_min_size(AIX_RUN, n - i));
  if (n <= AIX_RUN)
    return VECDB_OK;
  struct aix_text *to = vdb_alloc_array(b->mem, n, sizeof *to);
  if (!to)
    return vdb_fail_memory(err);
  int rc = VECDB_OK;
  for (size_t run = AIX_RUN; run < n && !rc; run *= 2) {
    for (size_t i = 0; i < n && !rc; i += 2 * run) {
      size_t left = n - i;
      rc = aix_worked(b, vdb_min_size(2 * run, left), err);
      aix_merge(from + i, vdb_min_size(run, left), vdb_min_size(2 * run, left), to + i);
    }
    struct aix_text *swap = from;
    from = to;
    to = swap;
  }
  b->texts = from;
  vdb_free(b->mem, to);
  return rc;
}

/* From sorted texts to starts and rows; `ids` becomes scratch. */
static int aix_place_rows(struct aix_build *b, uint32_t *ids, vecdb_error *err) {
  size_t values = b->n_values;
  b->starts = vdb_alloc_array(b->mem, values + 1, sizeof *b->starts);
  uint32_t *next = vdb_alloc_array(b->mem, values, sizeof *next); /* per id, its next place */
  if (!b->starts || !next) {
    vdb_free(b->mem, next);
    return vdb_fail_memory(err);
  }
  uint32_t sum = 0;
  for (size_t i = 0; i < values; i++) {
    b->starts[i] = sum;
    next[b->texts[i].id] = sum;
    sum += b->texts[i].count;
  }
  b->starts[values] = sum;
  size_t at = 0;
  int rc = VECDB_OK;
  for (size_t row = 0; row < b->n && !rc; row++) {
    rc = aix_worked(b, 1, err);
    if (!vdb_column_is_null(b->column, row))
      b->rows[next[ids[at++]]++] = (uint32_t)row;
  }
  vdb_free(b->mem, next);
  return rc;
}

/* Sets *pays to false, and stops there, when AUTO wants no index of these texts. */
static int aix_group_texts(struct aix_build *b, bool *pays, vecdb_error *err) {
  uint64_t total = 0;
  uint32_t *ids = vdb_alloc_array(b->mem, b->n_full, sizeof *ids);
  b->rows = vdb_alloc_array(b->mem, b->n_full, sizeof *b->rows);
  int rc = VECDB_OK;
  if (!ids || !b->rows) {
    rc = vdb_fail_memory(err);
    goto done;
  }
  rc = aix_distinct(b, ids, &total, err);
  if (rc)
    goto done;
  if (b->kind == VECDB_SCALAR_INDEX_AUTO && b->n_values > b->n / 2 &&
      total > (uint64_t)b->n_full * AIX_AUTO_TEXT) {
    *pays = false;
    goto done;
  }
  if (b->n_values)
    aix_set_prefixes(b);
  rc = aix_sort_texts(b, err);
  if (rc == VECDB_OK)
    rc = aix_place_rows(b, ids, err);
done:
  vdb_free(b->mem, ids);
  return rc;
}

/* ---- Sections ------------------------------------------------------------------------------- */

/* A section of one piece; none when it would be empty. */
static int aix_put(struct aix_build *b, uint32_t tag, const void *data, size_t n,
                   vecdb_error *err) {
  if (n == 0)
    return VECDB_OK;
  VDB_TRY(b->out->begin(b->out, tag, b->number, err));
  VDB_TRY(b->out->append(b->out, data, n, err));
  return b->out->end(b->out, err);
}

/* A number back from its key; the inverse of vdb_aix_key. */
static void aix_unkey(int32_t type, uint64_t key, uint8_t *out) {
  const uint64_t sign = (uint64_t)1 << 63;
  if (type == VECDB_FLOAT || type == VECDB_DOUBLE)
    key = key & sign ? key ^ sign : ~key;
  else if (type != VECDB_BOOL)
    key ^= sign;
  if (type == VECDB_FLOAT)
    key >>= 32;
  memcpy(out, &key, vdb_type_width(type)); /* little-endian: low bytes */
}

/* Packs the distinct numbers over the start of their keys, which are not wider. */
static int aix_put_numbers(struct aix_build *b, vecdb_error *err) {
  int32_t type = b->column->type;
  uint8_t *packed = (uint8_t *)b->keys;
  size_t width = vdb_type_width(type);
  for (size_t i = 0; i < b->n_values; i++)
    aix_unkey(type, b->keys[b->starts[i]], packed + i * width);
  return aix_put(b, VDB_AIX_VALUES, packed, b->n_values * width, err);
}

static int aix_put_texts(struct aix_build *b, vecdb_error *err) {
  size_t values = b->n_values;
  if (values == 0)
    return VECDB_OK;
  uint64_t *offsets = vdb_alloc_array(b->mem, values + 1, sizeof *offsets);
  if (!offsets)
    return vdb_fail_memory(err);
  offsets[0] = 0;
  for (size_t i = 0; i < values; i++)
    offsets[i + 1] = offsets[i] + b->texts[i].bytes.n;
  int rc = aix_put(b, VDB_AIX_OFFSETS, offsets, (values + 1) * sizeof *offsets, err);
  vdb_free(b->mem, offsets);
  VDB_TRY(rc);
  if (b->text_bytes == 0)
    return VECDB_OK;
  VDB_TRY(b->out->begin(b->out, VDB_AIX_VALUES, b->number, err));
  for (size_t i = 0; i < values; i++) {
    VDB_TRY(aix_worked(b, 1, err));
    if (b->texts[i].bytes.n)
      VDB_TRY(b->out->append(b->out, b->texts[i].bytes.data, b->texts[i].bytes.n, err));
  }
  return b->out->end(b->out, err);
}

/* Writes the lists of the values that are not dense: the runs of `rows` between the dense ones. */
static int aix_put_rows(struct aix_build *b, uint32_t n_listed, vecdb_error *err) {
  if (n_listed == 0)
    return VECDB_OK;
  VDB_TRY(b->out->begin(b->out, VDB_AIX_ROWS, b->number, err));
  size_t from = 0;
  for (size_t i = 0; i <= b->n_values; i++) {
    bool last = i == b->n_values;
    if (!last && !vdb_aix_dense(b->starts[i + 1] - b->starts[i], b->n))
      continue;
    size_t n = b->starts[i] - from;
    if (n)
      VDB_TRY(b->out->append(b->out, b->rows + from, n * sizeof *b->rows, err));
    if (!last)
      from = b->starts[i + 1];
  }
  return b->out->end(b->out, err);
}

static int aix_put_bitmaps(struct aix_build *b, uint64_t *bits, vecdb_error *err) {
  size_t words = vdb_bits_words(b->n);
  VDB_TRY(b->out->begin(b->out, VDB_AIX_BITMAPS, b->number, err));
  for (size_t i = 0; i < b->n_values; i++) {
    if (!vdb_aix_dense(b->starts[i + 1] - b->starts[i], b->n))
      continue;
    memset(bits, 0, words * sizeof *bits);
    for (size_t j = b->starts[i]; j < b->starts[i + 1]; j++)
      vdb_bit_set(bits, b->rows[j]);
    VDB_TRY(b->out->append(b->out, bits, words * sizeof *bits, err));
  }
  return b->out->end(b->out, err);
}

static int aix_put_all(struct aix_build *b, vecdb_error *err) {
  struct vdb_aix_header header = {0};
  header.version = VDB_AIX_VERSION;
  header.kind = b->kind == VECDB_SCALAR_INDEX_AUTO ? VECDB_SCALAR_INDEX_SORTED : b->kind;
  header.type = b->column->type;
  header.n_rows = b->n;
  header.n_nulls = b->n - b->n_full;
  header.n_values = b->n_values;
  header.text_bytes = b->text_bytes;
  uint32_t n_listed = b->n_full;
  for (size_t i = 0; i < b->n_values; i++) {
    uint32_t count = b->starts[i + 1] - b->starts[i];
    bool dense = vdb_aix_dense(count, b->n);
    header.n_dense += dense;
    n_listed -= dense ? count : 0;
  }
  VDB_TRY(aix_put(b, VDB_AIX_HEADER, &header, sizeof header, err));
  size_t starts_bytes = ((size_t)b->n_values + 1) * sizeof *b->starts;
  VDB_TRY(aix_put(b, VDB_AIX_STARTS, b->starts, starts_bytes, err));
  VDB_TRY(aix_put_rows(b, n_listed, err));
  if (header.n_dense) {
    uint64_t *bits = vdb_alloc_array(b->mem, vdb_bits_words(b->n), sizeof *bits);
    if (!bits)
      return vdb_fail_memory(err);
    int rc = aix_put_bitmaps(b, bits, err);
    vdb_free(b->mem, bits);
    VDB_TRY(rc);
  }
  return b->column->type == VECDB_VARCHAR ? aix_put_texts(b, err) : aix_put_numbers(b, err);
}

VDB_INTERNAL int vdb_attr_index_build(const struct vdb_attr_index_build *build, vecdb_error *err) {
  const struct vdb_column *column = build->column;
  struct vdb_mem *mem = build->mem;
  size_t n = build->n;
  bool text = column->type == VECDB_VARCHAR;
  if (build->kind == VECDB_SCALAR_INDEX_NONE || (!text && vdb_type_width(column->type) == 0) ||
      (build->kind == VECDB_SCALAR_INDEX_AUTO && n < AIX_AUTO_ROWS))
    return VECDB_OK;
  if (n > UINT32_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "an attribute index over %zu rows", n);
  struct aix_build b = {.of = build,
                        .mem = mem,
                        .column = column,
                        .n = n,
                        .kind = build->kind,
                        .out = build->out,
                        .number = build->number};
  for (size_t row = 0; row < n; row++)
    b.n_full += !vdb_column_is_null(column, row);
  bool pays = true;
  int rc = text ? aix_group_texts(&b, &pays, err) : aix_group_numbers(&b, err);
  if (rc == VECDB_OK && pays)
    rc = aix_put_all(&b, err);
  vdb_free(mem, b.keys);
  vdb_free(mem, b.rows);
  vdb_free(mem, b.starts);
  vdb_free(mem, b.texts);
  return rc;
}
