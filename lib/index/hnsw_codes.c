/*
 * hnsw_codes.c - which codes a graph of float rows is built and searched among; see hnsw.h. A walk
 * waits for memory most of the time, and a code has a quarter or an eighth of the bytes of a float
 * row. Hits are scored again, with rows or copies of them.
 *
 * Links are chosen by 8-bit codes. Walks take them too where a code is then one cache line; of
 * longer rows, 4-bit ones, if these are good enough. Rows that differ by less than a step
 * are not for codes: a number of rows search for their neighbours among the codes, and unless they
 * find them the index does without. Who asks for HNSW_SQ with a number of bits gets these.
 * HNSW_PQ, and BIN_HNSW over rows that are not binary, are built as HNSW is, and only searched
 * among the codes of their name, since these would choose links badly.
 */
#include "base/check.h"
#include "index/bit_codes.h"
#include "index/hnsw.h"
#include "index/pq_codes.h"
#include "index/sq.h"

enum {
  CODES_DIM_4 = 65,           /* dimension from which 4 bits are tried */
  CODES_QUERIES = 32,         /* rows that search for their neighbours */
  CODES_NEAR = 11,            /* that many, themselves among them */
  CODES_LOOK = 40,            /* within so many by code */
  CODES_CHECK_ROWS = 1 << 16, /* among so many rows */
  CODES_CHECK_STEP = 256,     /* scored at a time */
  CODES_PERCENT = 97          /* of which so many must be found */
};

struct codes_check {
  struct vdb_hnsw_builder *h;
  const struct vdb_codes *codes;
  size_t code_bytes; /* of a query by code, which a row in floats follows */
  size_t room_bytes; /* of both */
  uint8_t *rooms;    /* by worker */
  uint32_t found[CODES_QUERIES]; /* neighbours that each query found, out of `wanted` */
  uint32_t wanted[CODES_QUERIES];
};

VDB_INTERNAL const struct vdb_codes_ops *vdb_hnsw_codes_of(uint32_t id) {
  const struct vdb_codes_ops *const kinds[] = {vdb_sq8_ops(), vdb_sq4_ops(), vdb_pq_codes_ops(),
                                               vdb_bit_codes_ops()};
  for (size_t i = 0; i < VDB_COUNT(kinds); i++)
    if (kinds[i]->id == id)
      return kinds[i];
  return NULL;
}

/* The nearest rows by code. */
static void codes_look(const struct codes_check *c, const void *query, uint32_t n_rows,
                       struct vdb_topk *top) {
  uint32_t rows[CODES_CHECK_STEP];
  float keys[CODES_CHECK_STEP];
  for (uint32_t row = 0, n; row < n_rows; row += n) {
    n = vdb_min_u32(n_rows - row, CODES_CHECK_STEP);
    for (uint32_t i = 0; i < n; i++)
      rows[i] = row + i;
    c->codes->ops->keys(c->codes, query, rows, n, keys);
    for (uint32_t i = 0; i < n; i++)
      if (keys[i] <= vdb_topk_bound(top))
        vdb_topk_push(top, (struct vdb_near){keys[i], rows[i]});
  }
}

/* Searches by code for the neighbours of a row. */
static void codes_check_row(void *arg, size_t i, unsigned worker) {
  struct codes_check *c = arg;
  struct vdb_near near[CODES_NEAR], look[CODES_LOOK];
  struct vdb_vecs rows = *c->h->b->vecs;
  struct vdb_codes none = {0};
  struct vdb_hnsw_space space = {&rows, &none};
  uint8_t *query = c->rooms + worker * c->room_bytes;
  struct vdb_hnsw_row row = {.room = query + c->code_bytes};
  rows.n = vdb_min_u32(rows.n, CODES_CHECK_ROWS);
  vdb_hnsw_row_query(&space, &space, c->h->order[i], &row);
  struct vdb_search s = {.query = &row.raw, .top = {near, CODES_NEAR, 0}};
  vdb_flat_scan(&rows, 0, &s);
  float bound = s.top.n > 0 ? near[0].key : 0; /* of a heap: the farthest */
  struct vdb_topk top = {look, CODES_LOOK, 0};
  c->codes->ops->query(c->codes, &row.raw, query);
  codes_look(c, query, rows.n, &top);
  uint32_t found = 0;
  for (size_t k = 0; k < top.n; k++)
    found += vdb_key_one(&rows, &row.raw, look[k].row) <= bound;
  c->wanted[i] = (uint32_t)s.top.n;
  c->found[i] = vdb_min_u32(found, c->wanted[i]);
}

/* Whether codes tell neighbours apart. */
static int codes_good(struct vdb_hnsw_builder *h, const struct vdb_codes *codes, bool *good,
                      vecdb_error *err) {
  struct codes_check c = {.h = h, .codes = codes};
  uint32_t n = vdb_min_u32(h->n_nodes, CODES_QUERIES);
  uint64_t found = 0, wanted = 0;
  c.code_bytes = vdb_round_up(codes->ops->query_bytes(codes), 64);
  c.room_bytes = vdb_round_up(c.code_bytes + codes->dim * sizeof(float), 64);
  c.rooms = vdb_alloc_wide(h->b->mem, h->b->par->workers * c.room_bytes);
  if (!c.rooms)
    return vdb_fail_memory(err);
  h->b->par->run(h->b->par, n, codes_check_row, &c);
  vdb_free(h->b->mem, c.rooms);
  for (uint32_t i = 0; i < n; i++) {
    found += c.found[i];
    wanted += c.wanted[i];
  }
  *good = found * 100 >= wanted * CODES_PERCENT;
  return VECDB_OK;
}

/* Makes codes, and closes them again unless they are good or `forced`. */
static int codes_make(struct vdb_hnsw_builder *h, const struct vdb_codes_ops *ops, bool forced,
                      struct vdb_codes *out, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  struct vdb_codes_make make = {b->mem,   b->vecs,    b->par, &b->params,
                                h->order, h->n_nodes, b->seed};
  bool good = forced;
  VDB_TRY(ops->make(&make, out, err));
  int rc = forced ? VECDB_OK : codes_good(h, out, &good, err);
  if (rc || !good)
    ops->close(b->mem, out, true);
  return rc;
}

/* The codes that a type is named after, to search among; NULL: none, or too few rows to learn a
   product quantizer from. */
static const struct vdb_codes_ops *codes_named(const struct vdb_hnsw_builder *h) {
  const vecdb_index_params *p = &h->b->params;
  const struct vdb_codes_ops *ops = NULL;
  if (p->type == VECDB_INDEX_HNSW_PQ && h->n_nodes >= UINT32_C(1) << p->nbits)
    ops = vdb_pq_codes_ops();
  else if (p->type == VECDB_INDEX_BIN_HNSW)
    ops = vdb_bit_codes_ops();
  return ops && ops->fits(h->b->vecs) ? ops : NULL;
}

VDB_INTERNAL int vdb_hnsw_codes_build(struct vdb_hnsw_builder *h, vecdb_error *err) {
  const vecdb_index_params *p = &h->b->params;
  const struct vdb_codes_ops *named = codes_named(h);
  uint32_t bits = p->type == VECDB_INDEX_HNSW_SQ ? p->nbits : 0;
  bool forced = bits != 0 || (named && p->refine == VECDB_REFINE_I8);
  h->space = h->walked = (struct vdb_hnsw_space){h->b->vecs, &h->codes};
  if (vdb_sq8_ops()->fits(h->b->vecs))
    VDB_TRY(codes_make(h, vdb_sq8_ops(), forced, &h->codes, err));
  if (named)
    return codes_make(h, named, true, &h->graph.codes, err);
  if (h->codes.ops && (bits == 4 || (bits == 0 && h->b->vecs->dim >= CODES_DIM_4)))
    VDB_TRY(codes_make(h, vdb_sq4_ops(), bits != 0, &h->graph.codes, err));
  if (h->graph.codes.ops)
    h->walked.codes = &h->graph.codes;
  else
    h->graph.codes = h->codes;
  return VECDB_OK;
}
