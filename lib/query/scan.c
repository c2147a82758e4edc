/* scan.c - reading without vectors: by key, in key order, counting, walking; see query.h. */
#include "query/allow.h"
#include "query/fields.h"
#include "query/query.h"
#include "query/request.h"

enum { SCAN_DEFAULT_LIMIT = 16384 };

/* ---- By key ---------------------------------------------------------------------------------- */

VDB_INTERNAL bool vdb_query_find(const struct vdb_snapshot *snapshot, struct vdb_bytes key,
                                 const struct vdb_seg_view **view, uint32_t *row) {
  uint64_t hash = vdb_seg_key_hash(key);
  for (uint32_t i = snapshot->n_segs; i-- > 0;) {
    int64_t found = vdb_seg_find(&snapshot->segs[i], key, hash, snapshot->seq);
    if (found < 0)
      continue;
    *view = &snapshot->segs[i];
    *row = (uint32_t)found;
    return !vdb_seg_row_expired(*view, *row, snapshot->now_ms);
  }
  return false;
}

VDB_INTERNAL int vdb_query_get(const struct vdb_snapshot *snapshot, const vecdb_keys *keys,
                               const char *const *fields, size_t n_fields, uint8_t *found,
                               vecdb_rows **out, vecdb_error *err) {
  if (!out)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "out is NULL");
  *out = NULL;
  if (!keys)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "keys is NULL");
  if (keys->n)
    VDB_TRY(vdb_keys_check(snapshot->schema, keys, err));
  struct vecdb_rows *rows;
  VDB_TRY(vdb_rows_new(vdb_env_for(snapshot->env, VDB_FOR_RESULTS), snapshot, fields, n_fields,
                       &rows, err));
  for (size_t i = 0; i < keys->n; i++) {
    const struct vdb_seg_view *view;
    uint32_t row;
    bool there = vdb_query_find(snapshot, vdb_key_at(keys, i), &view, &row);
    int rc = there ? vdb_rows_add(rows, view, row, err) : VECDB_OK;
    if (rc != VECDB_OK) {
      vecdb_rows_free(rows);
      return rc;
    }
    if (found)
      found[i] = there;
  }
  *out = rows;
  return VECDB_OK;
}

/* ---- In key order ---------------------------------------------------------------------------- */

/* A row by its key: the number, or the text, which stays in the segment. */
struct scan_item {
  union {
    int64_t number;
    const uint8_t *text;
  } key;
  uint32_t n; /* bytes of the text */
  uint32_t seg;
  uint32_t row;
};

/* The rows with the smallest keys so far: a heap, the largest key first. */
struct scan_heap {
  struct vdb_mem *mem;
  struct scan_item *items;
  size_t capacity;
  size_t n;
  size_t most;
  struct scan_item after;
  bool has_after; /* only keys larger than that of `after` */
  bool texts;
  uint32_t key; /* number of the key field */
};

static bool scan_before(const struct scan_heap *heap, const struct scan_item *a,
                        const struct scan_item *b) {
  if (!heap->texts)
    return a->key.number < b->key.number;
  uint32_t n = vdb_min_u32(a->n, b->n);
  int order = n ? memcmp(a->key.text, b->key.text, n) : 0;
  return order != 0 ? order < 0 : a->n < b->n;
}

static void scan_sink(struct scan_heap *heap, size_t n, size_t i) {
  struct scan_item *items = heap->items;
  struct scan_item moving = items[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= n)
      break;
    if (child + 1 < n && scan_before(heap, &items[child], &items[child + 1]))
      child++;
    if (!scan_before(heap, &moving, &items[child]))
      break;
    items[i] = items[child];
    i = child;
  }
  items[i] = moving;
}

/* Adds a row; until the heap is full its items stay unordered. */
static bool scan_add(struct scan_heap *heap, const struct scan_item *item) {
  if (heap->n == heap->most) {
    heap->items[0] = *item;
    scan_sink(heap, heap->n, 0);
    return true;
  }
  if (!VDB_GROW(heap->mem, heap->items, heap->capacity, heap->n + 1))
    return false;
  heap->items[heap->n++] = *item;
  if (heap->n == heap->most)
    for (size_t i = heap->n / 2; i-- > 0;)
      scan_sink(heap, heap->n, i);
  return true;
}

/* The items in ascending order. */
static void scan_sort(struct scan_heap *heap) {
  if (heap->n < heap->most)
    for (size_t i = heap->n / 2; i-- > 0;)
      scan_sink(heap, heap->n, i);
  for (size_t n = heap->n; n > 1;) {
    struct scan_item last = heap->items[--n];
    heap->items[n] = heap->items[0];
    heap->items[0] = last;
    scan_sink(heap, n, 0);
  }
}

static void scan_item_key(struct scan_item *item, struct vdb_bytes key, bool text) {
  item->n = (uint32_t)key.n;
  if (text)
    item->key.text = key.data;
  else
    memcpy(&item->key.number, key.data, sizeof item->key.number);
}

/* Visitor of vdb_allow_walk. */
static int scan_part(void *arg, uint32_t seg, const struct vdb_seg_part *part,
                     const uint64_t *bits, vecdb_error *err) {
  struct scan_heap *heap = arg;
  const struct vdb_column *keys = &part->columns[heap->key];
  for (size_t i = vdb_bits_next(bits, part->n, 0); i < part->n;
       i = vdb_bits_next(bits, part->n, i + 1)) {
    struct scan_item item = {.seg = seg, .row = part->first + (uint32_t)i};
    scan_item_key(&item, vdb_key_of(keys, i), heap->texts);
    if (heap->has_after && !scan_before(heap, &heap->after, &item))
      continue;
    if (heap->n == heap->most && !scan_before(heap, &item, &heap->items[0]))
      continue;
    if (!scan_add(heap, &item))
      return vdb_fail_memory(err);
  }
  return VECDB_OK;
}

static int scan_check(const struct vdb_snapshot *snapshot, const vecdb_query_params *p,
                      vecdb_error *err) {
  if (!p)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "params is NULL");
  if (p->size != sizeof *p)
    return vdb_fail(err, VECDB_ERR_OPTION, "params.size is %u; this library knows %zu", p->size,
                    sizeof *p);
  VDB_TRY(vdb_request_check_control(p->control, err));
  if (p->after.n > 1)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "after has %zu keys; it takes one", p->after.n);
  return p->after.n ? vdb_keys_check(snapshot->schema, &p->after, err) : VECDB_OK;
}

/* The rows of the sorted heap, past the offset. */
static int scan_rows(const struct vdb_snapshot *snapshot, const struct scan_heap *heap,
                     uint64_t offset, const struct vdb_pick *pick, vecdb_rows **out,
                     vecdb_error *err) {
  struct vecdb_rows *rows;
  VDB_TRY(vdb_rows_of(vdb_env_for(snapshot->env, VDB_FOR_RESULTS), snapshot->schema, pick, &rows,
                      err));
  for (size_t i = (size_t)offset; i < heap->n; i++) {
    int rc = vdb_rows_add(rows, &snapshot->segs[heap->items[i].seg], heap->items[i].row, err);
    if (rc != VECDB_OK) {
      vecdb_rows_free(rows);
      return rc;
    }
  }
  *out = rows;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_scan(const struct vdb_snapshot *snapshot,
                                const vecdb_query_params *params, vecdb_rows **out,
                                vecdb_error *err) {
  if (!out)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "out is NULL");
  *out = NULL;
  VDB_TRY(scan_check(snapshot, params, err));
  const struct vdb_schema *schema = snapshot->schema;
  struct vdb_pick pick;
  VDB_TRY(vdb_fields_pick(schema, params->fields, params->n_fields, &pick, err));
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vdb_filter *filter;
  VDB_TRY(vdb_query_filter(snapshot, &params->filter, &filter, err));
  struct vdb_control control;
  vdb_control_init(&control, snapshot->env, params->control);
  uint32_t limit = params->limit ? params->limit : SCAN_DEFAULT_LIMIT;
  struct scan_heap heap = {.mem = mem, .key = schema->key};
  heap.texts = schema->fields[schema->key].type == VECDB_VARCHAR;
  heap.most = params->offset > SIZE_MAX - limit ? SIZE_MAX : params->offset + limit;
  heap.has_after = params->after.n == 1;
  if (heap.has_after)
    scan_item_key(&heap.after, vdb_key_at(&params->after, 0), heap.texts);
  struct vdb_allow allow = {mem, filter, snapshot->seq, params->control ? &control : NULL};
  int rc = vdb_allow_walk(&allow, snapshot, scan_part, &heap, err);
  if (rc == VECDB_OK) {
    scan_sort(&heap);
    rc = scan_rows(snapshot, &heap, params->offset, &pick, out, err);
  }
  vdb_free(mem, heap.items);
  vdb_filter_free(mem, filter);
  return rc;
}

/* ---- Counting and walking -------------------------------------------------------------------- */

/* Visitor of vdb_allow_walk. */
static int scan_count_part(void *arg, uint32_t seg, const struct vdb_seg_part *part,
                           const uint64_t *bits, vecdb_error *err) {
  (void)seg;
  (void)err;
  *(uint64_t *)arg += vdb_bits_count(bits, part->n);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_count(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                 uint64_t *count, vecdb_error *err) {
  if (!count)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "count is NULL");
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vdb_filter *compiled;
  VDB_TRY(vdb_query_filter(snapshot, filter, &compiled, err));
  bool plain = !compiled;
  uint64_t n = 0;
  for (uint32_t i = 0; i < snapshot->n_segs; i++) {
    plain = plain && !vdb_seg_has_dead(&snapshot->segs[i]);
    n += snapshot->segs[i].n;
  }
  if (plain) {
    *count = n;
    return VECDB_OK;
  }
  n = 0;
  struct vdb_allow allow = {mem, compiled, snapshot->seq, NULL};
  int rc = vdb_allow_walk(&allow, snapshot, scan_count_part, &n, err);
  vdb_filter_free(mem, compiled);
  if (rc == VECDB_OK)
    *count = n;
  return rc;
}

struct scan_each {
  const struct vdb_snapshot *snapshot;
  struct vdb_control *control;
  int (*visit)(void *arg, const struct vdb_seg_view *view, uint32_t row, vecdb_error *err);
  void *arg;
};

/* Visitor of vdb_allow_walk. */
static int scan_each_part(void *arg, uint32_t seg, const struct vdb_seg_part *part,
                          const uint64_t *bits, vecdb_error *err) {
  const struct scan_each *each = arg;
  for (size_t i = vdb_bits_next(bits, part->n, 0); i < part->n;
       i = vdb_bits_next(bits, part->n, i + 1))
    VDB_TRY(each->visit(each->arg, &each->snapshot->segs[seg], part->first + (uint32_t)i, err));
  if (each->control &&
      vdb_control_progress(each->control, "search", seg + 1u, each->snapshot->n_segs))
    return vdb_control_fail(each->control, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_each(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                struct vdb_control *control,
                                int (*visit)(void *arg, const struct vdb_seg_view *view,
                                             uint32_t row, vecdb_error *err),
                                void *arg, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vdb_filter *compiled;
  VDB_TRY(vdb_query_filter(snapshot, filter, &compiled, err));
  struct scan_each each = {snapshot, control, visit, arg};
  struct vdb_allow allow = {mem, compiled, snapshot->seq, control};
  int rc = vdb_allow_walk(&allow, snapshot, scan_each_part, &each, err);
  vdb_filter_free(mem, compiled);
  return rc;
}
