/* filter.c - compiling and freeing filters; see filter.h. */
#include <stdio.h>

#include "attr/filter_tree.h"

/* A value that the text does not name is a mistake in one of the two. */
static int filter_check_params(const struct filter_binding *b) {
  for (size_t i = 0; i < b->n_params; i++)
    if (!vdb_bit_get(b->used, i))
      return vdb_fail(b->err, VECDB_ERR_FILTER_PARAM,
                      "parameter {%.64s} is not in the filter, or comes twice",
                      b->params[i].name ? b->params[i].name : "");
  return VECDB_OK;
}

static int filter_compile(struct filter_binding *b, uint32_t n) {
  vdb_write_u8(&b->filter->pool, 0); /* so that the pool is never NULL */
  if (b->filter->pool.failed)
    return vdb_fail_memory(b->err);
  VDB_TRY(vdb_filter_parse(b->mem, b->text, n, b->filter, b->err));
  VDB_TRY(vdb_filter_bind(b));
  VDB_TRY(filter_check_params(b));
  vdb_free(b->mem, b->filter->items);
  b->filter->items = NULL;
  return VECDB_OK;
}

static bool filter_blank(const char *text, size_t n) {
  size_t i = 0;
  while (i < n && (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')))
    i++;
  return i == n;
}

VDB_INTERNAL int vdb_filter_compile(struct vdb_mem *mem, const struct vdb_schema *schema,
                                    const vecdb_filter *text, struct vdb_filter **out,
                                    vecdb_error *err) {
  *out = NULL;
  if (!text || !text->text)
    return VECDB_OK;
  size_t n = text->length;
  if (n == 0) {
    const char *end = memchr(text->text, 0, (size_t)VECDB_MAX_FILTER_BYTES + 1);
    n = end ? (size_t)(end - text->text) : (size_t)VECDB_MAX_FILTER_BYTES + 1;
  }
  if (n > VECDB_MAX_FILTER_BYTES)
    return vdb_fail_pos(err, VECDB_ERR_LIMIT, (int64_t)VECDB_MAX_FILTER_BYTES,
                        "the filter is longer than %u bytes", VECDB_MAX_FILTER_BYTES);
  if (text->n_params > FILTER_MAX_PARAMS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the filter has more than %u parameters",
                    FILTER_MAX_PARAMS);
  if (text->n_params && !text->params)
    return vdb_fail(err, VECDB_ERR_FILTER_PARAM, "the filter's parameters are NULL");
  if (filter_blank(text->text, n))
    return VECDB_OK;
  struct vdb_filter *filter = vdb_alloc_zero(mem, sizeof *filter);
  if (!filter)
    return vdb_fail_memory(err);
  filter->pool.mem = mem;
  struct filter_binding b = {.mem = mem,
                             .schema = schema,
                             .text = text->text,
                             .params = text->params,
                             .n_params = text->n_params,
                             .filter = filter,
                             .err = err};
  int rc = filter_compile(&b, (uint32_t)n);
  if (rc) {
    vdb_filter_free(mem, filter);
    return rc;
  }
  *out = filter;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_unexpired(struct vdb_mem *mem, const struct vdb_schema *schema,
                                      int64_t now_ms, struct vdb_filter **out, vecdb_error *err) {
  char text[2 * VECDB_MAX_NAME + 32];
  vecdb_param limit = {.name = "limit", .value = {.type = VECDB_INT64}};
  const vecdb_filter filter = {text, 0, &limit, 1};
  *out = NULL;
  if (schema->expiry == 0)
    return VECDB_OK;
  const char *name = schema->fields[schema->expiry - 1].name;
  limit.value.as.integer = now_ms - (int64_t)schema->ttl_ms;
  snprintf(text, sizeof text, "%s > {limit} or %s is null", name, name);
  return vdb_filter_compile(mem, schema, &filter, out, err);
}

VDB_INTERNAL struct vdb_filter *vdb_filter_push(struct vdb_filter *first, struct vdb_filter *rest) {
  if (!first)
    return rest;
  vdb_assert(!first->also);
  first->also = rest;
  return first;
}

VDB_INTERNAL struct vdb_filter *vdb_filter_pop(struct vdb_mem *mem, struct vdb_filter *filter) {
  struct vdb_filter *rest = filter->also;
  for (size_t i = 0; i < filter->n_sets; i++) {
    vdb_free(mem, filter->sets[i].members);
    vdb_free(mem, filter->sets[i].directory);
  }
  for (size_t i = 0; i < filter->n_likes; i++)
    vdb_filter_like_free(mem, &filter->likes[i]);
  vdb_free(mem, filter->sets);
  vdb_free(mem, filter->likes);
  vdb_free(mem, filter->items);
  vdb_free(mem, filter->nodes);
  vdb_writer_free(&filter->pool);
  vdb_free(mem, filter);
  return rest;
}

VDB_INTERNAL void vdb_filter_free(struct vdb_mem *mem, struct vdb_filter *filter) {
  while (filter)
    filter = vdb_filter_pop(mem, filter);
}

VDB_INTERNAL bool vdb_filter_reads(const struct vdb_filter *filter, uint32_t field) {
  bool reads = false;
  for (; filter && field < VECDB_MAX_FIELDS; filter = filter->also)
    reads = reads || (filter->reads[field / 64] >> (field % 64) & 1);
  return reads;
}
