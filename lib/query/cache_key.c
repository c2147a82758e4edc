/* cache_key.c - what a search's result depends on, as bytes; see cache.h. */
#include "base/sum.h"
#include "query/cache.h"

/* Numbers of a request and of what it looks at. No gaps: all bytes are compared. */
struct cache_head {
  uint64_t collection; /* of the object, as loaded */
  uint64_t schema;     /* where it is: it stays there as long as the collection */
  uint64_t seq;
  uint64_t n_segs;
  uint32_t field, k, ef, nprobe, beam;
  uint32_t flags; /* a device may find other rows than the processor */
  int32_t plan;
  float recall;
};
_Static_assert(sizeof(struct cache_head) == 4 * 8 + 8 * 4, "a key has no gaps");
_Static_assert(sizeof(vecdb_index_params) == 12 * 4 + 8, "settings have no gaps");

struct cache_seg {
  uint64_t id;
  uint64_t index; /* file of the field's index; 0: none */
  uint32_t n;
  uint32_t sealed;
};
_Static_assert(sizeof(struct cache_seg) == 2 * 8 + 2 * 4, "a key has no gaps");

static void cache_write_u64(struct vdb_writer *out, uint64_t value) {
  vdb_write_bytes(out, &value, sizeof value);
}

static void cache_write_text(struct vdb_writer *out, const char *text, size_t n) {
  cache_write_u64(out, n);
  vdb_write_bytes(out, text, n);
}

static void cache_write_segs(const struct vdb_request *r, struct vdb_writer *out) {
  for (uint32_t i = 0; i < r->snapshot->n_segs; i++) {
    const struct vdb_seg_view *view = &r->snapshot->segs[i];
    const struct vdb_seg_index *index = vdb_seg_vector_index(view, r->field_no);
    struct cache_seg seg = {view->seg->id, index ? index->blob_id.file : 0, view->n,
                            view->seg->sealed != NULL};
    vdb_write_bytes(out, &seg, sizeof seg);
  }
}

/* Strings and arrays by what they hold. False: of a kind that filters do not take. */
static bool cache_write_value(struct vdb_writer *out, const vecdb_value *v) {
  uint64_t head[3] = {(uint32_t)v->type, v->length, (uint32_t)v->element_type};
  vdb_write_bytes(out, head, sizeof head);
  if (v->type == VECDB_VARCHAR) {
    vdb_write_bytes(out, v->as.data, v->length);
  } else if (v->type == VECDB_ARRAY && v->element_type == VECDB_VARCHAR) {
    const vecdb_string *strings = v->as.data;
    for (uint32_t i = 0; i < v->length; i++)
      cache_write_text(out, strings[i].data, strings[i].length);
  } else if (v->type == VECDB_ARRAY) {
    vdb_write_bytes(out, v->as.data, v->length * (size_t)vdb_type_width(v->element_type));
  } else if (v->type == VECDB_BOOL) {
    cache_write_u64(out, v->as.boolean);
  } else if (v->type == VECDB_FLOAT || v->type == VECDB_DOUBLE) {
    vdb_write_bytes(out, &v->as.number, sizeof v->as.number);
  } else if (v->type > 0 && v->type <= VECDB_DOUBLE) {
    vdb_write_bytes(out, &v->as.integer, sizeof v->as.integer);
  } else {
    return v->type == 0;
  }
  return true;
}

static bool cache_write_filter(struct vdb_writer *out, const vecdb_filter *filter) {
  size_t n = 0;
  if (filter->text)
    n = filter->length ? filter->length : strlen(filter->text);
  cache_write_u64(out, filter->text != NULL);
  cache_write_text(out, filter->text, n);
  cache_write_u64(out, filter->n_params);
  for (size_t i = 0; i < filter->n_params; i++) {
    const char *name = filter->params[i].name;
    cache_write_text(out, name, strlen(name));
    if (!cache_write_value(out, &filter->params[i].value))
      return false;
  }
  return true;
}

/* Takes the memory of a key at once, but for values of parameters. */
static bool cache_key_room(const struct vdb_request *r, const vecdb_search_params *params,
                           struct vdb_writer *out) {
  size_t query = r->sparse ? vdb_request_sparse(r, 0).n * sizeof(vecdb_sparse_pair)
                           : vdb_elem_row_bytes(r->elem, r->field->dim);
  size_t text = params->filter.text ? params->filter.length : 0;
  size_t room = sizeof(struct cache_head) + sizeof(vecdb_index_params) +
                r->snapshot->n_segs * sizeof(struct cache_seg) + query + text + 64;
  out->failed = !VDB_GROW(out->mem, out->data, out->capacity, room);
  return !out->failed;
}

VDB_INTERNAL bool vdb_cache_key_make(const struct vdb_request *r,
                                     const vecdb_search_params *params, struct vdb_writer *out,
                                     struct vdb_cache_key *key) {
  const struct vdb_snapshot *s = r->snapshot;
  if (r->n_queries != 1 || s->schema->expiry > 0)
    return false;
  struct cache_head head = {.collection = s->serial,
                            .schema = (uintptr_t)s->schema,
                            .seq = s->seq,
                            .n_segs = s->n_segs,
                            .field = r->field_no,
                            .k = r->k,
                            .ef = r->ef,
                            .nprobe = r->nprobe,
                            .beam = r->beam,
                            .flags = params->flags,
                            .plan = r->plan,
                            .recall = r->recall};
  if (!cache_key_room(r, params, out))
    return false;
  vdb_write_bytes(out, &head, sizeof head);
  vdb_write_bytes(out, &s->index[r->field_no], sizeof s->index[r->field_no]);
  cache_write_segs(r, out);
  if (r->sparse) {
    vecdb_sparse query = vdb_request_sparse(r, 0);
    cache_write_u64(out, query.n);
    vdb_write_bytes(out, query.pairs, query.n * sizeof *query.pairs);
  } else {
    vdb_write_bytes(out, r->queries, vdb_elem_row_bytes(r->elem, r->field->dim));
  }
  if (!cache_write_filter(out, &params->filter) || out->failed)
    return false;
  *key = (struct vdb_cache_key){{out->data, out->n}, vdb_hash64(out->data, out->n)};
  return true;
}
