/*
 * need.c - bounds of what builds allocate; see need.h. They follow the engines' own allocations
 * (hnsw_build.c, ivf_build.c, pq_codes.c and so on); a test holds them against what an allocator
 * has seen, for every type.
 */
#include "index/need.h"

#include "index/hnsw.h"

enum {
  NEED_FIXED = 340 << 10,       /* the file's buffer, small tables, the curve's queries */
  NEED_WORKER = 24 << 10,       /* of a worker, besides what depends on rows */
  NEED_GRAPH_BATCH = 2048,      /* nodes inserted together */
  NEED_GRAPH_EDGE = 44,         /* bytes of a link of these: as link, as edge twice, as group */
  NEED_SAMPLE_CODES = 1 << 15,  /* rows that codes are learnt from */
  NEED_SAMPLE_LIST = 48,        /* rows for each centroid */
  NEED_SAMPLE_QUANT = 1 << 16,  /* and for a quantizer, at least */
  NEED_SAMPLE_FLOATS = 1 << 27, /* and their numbers, at most */
  NEED_KMEANS_CHUNK = 64,       /* rows that a worker has in hand, and the centroids they meet */
  NEED_KMEANS_PANEL = 512,
  NEED_LISTS_CHUNK = 8192, /* rows put into lists together, with some lists each to choose from */
  NEED_LISTS_NEAR = 16,
  NEED_LISTS_CODED = 1 << 16, /* rows of lists coded before they are written */
  NEED_REACH_ROWS = 256,      /* each with a key of every list */
  NEED_REACH_KEYS = 1 << 22
};

/* What is asked about. */
struct need_case {
  const vecdb_index_params *p;
  const struct vdb_index_field *field;
  uint64_t n, dim;
  uint64_t workers;
};

static uint64_t need_max(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t need_min(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Codes of whole rows in 8 or 4 bits an element (sq.c), with factors and, of 4 bits, sketches. */
static uint64_t need_sq(const struct need_case *c, bool is4) {
  uint64_t each = is4 ? vdb_round_up((c->dim + 1) / 2, 16) + 8 + vdb_round_up(c->dim, 64) / 8 + 16
                      : vdb_round_up(c->dim, 16) + 12;
  return c->n * each + c->dim * 32;
}

/* Codes in a bit an element (bit_codes.c). */
static uint64_t need_bit_codes(const struct need_case *c) {
  uint64_t bytes = (c->dim + 7) / 8 + 8;
  return c->n * (bytes <= 16 ? 16 : bytes <= 32 ? 32 : vdb_round_up(bytes, 64)) + c->dim * 64;
}

/* A product quantizer: its tables, and what learning takes from a sample of `rows`. */
static uint64_t need_pq_learn(const struct need_case *c, uint64_t rows) {
  uint64_t m = c->p->pq_m ? c->p->pq_m : need_max(c->dim / 2, 1);
  uint64_t part = (c->dim + m - 1) / m, width = UINT64_C(1) << (c->p->nbits ? c->p->nbits : 4);
  uint64_t bytes = rows * 4 + c->workers * rows * (part + 1) * 4;
  bytes += c->workers * (part + 1) * width * 4 + 3 * c->dim * width * 4;
  if (c->p->rotation == VECDB_ROTATION_OPQ)
    bytes += (4 * rows + 5 * c->dim + c->workers) * c->dim * 4;
  return bytes + c->dim * c->dim * 4;
}

/* Bytes that making codes of a product quantizer takes, and keeps. */
static uint64_t need_pq_codes(const struct need_case *c) {
  uint64_t rows = need_min(need_max(c->n, 2), NEED_SAMPLE_CODES);
  uint64_t m = c->p->pq_m ? c->p->pq_m : need_max(c->dim / 2, 1);
  return rows * 8 * c->dim + need_pq_learn(c, rows) + c->n * vdb_round_up(m, 64);
}

static void need_graph(const struct need_case *c, struct vdb_need *out) {
  uint64_t m = c->p->m ? c->p->m : 16, width = vdb_round_up(2 * m, VDB_HNSW_ROW_UNIT);
  uint64_t ef = c->p->ef_construction ? c->p->ef_construction : 200;
  /* Links with their keys; for connecting what is apart, the links once more, by target. Of the
     layers above there are fewer than a node in m. */
  uint64_t each = 12 * width + 36 + 8 * (m + 2) / m;
  /* Built upon another graph: what its nodes are now. */
  out->graph += c->n * (each + 12);
  out->scratch += need_min(NEED_GRAPH_BATCH, c->n) * width * NEED_GRAPH_EDGE;
  out->scratch += c->workers * (c->n / 5 + (ef + width) * 64 + 8 * c->dim);
  bool floats = c->field->elem <= VDB_BF16;
  if (floats)
    out->codes += need_sq(c, false);
  if (c->p->type == VECDB_INDEX_HNSW_PQ || c->p->type == VECDB_INDEX_DISK)
    out->codes += need_pq_codes(c);
  else if (c->p->type == VECDB_INDEX_BIN_HNSW && c->field->elem != VDB_BITS)
    out->codes += need_bit_codes(c);
  else if (floats && c->p->nbits != 8 && (c->dim > 64 || c->p->nbits == 4))
    out->codes += need_sq(c, true);
  if (c->p->type == VECDB_INDEX_DISK)
    out->graph += c->n * 8;
}

/* Bytes of a row's code in the lists. */
static uint64_t need_list_code(const struct need_case *c) {
  switch (vdb_index_kind(c->p->type)->code) {
  case VDB_CODE_PQ: /* too few rows to learn from: 8 bits an element */
    return (c->n < NEED_SAMPLE_LIST * 8 ? c->dim : need_max(c->dim / 2, c->p->pq_m)) + 16;
  case VDB_CODE_RABITQ:
  case VDB_CODE_BITS:
    return c->dim / 8 + 16;
  default:
    return c->dim + 16;
  }
}

/* The sample that centroids and quantizers are learnt from. */
static uint64_t need_sample(const struct need_case *c, uint64_t lists) {
  uint64_t sample = lists * NEED_SAMPLE_LIST;
  if (c->p->type == VECDB_INDEX_IVF_PQ)
    sample = need_max(sample, NEED_SAMPLE_QUANT);
  return need_min(need_max(need_min(sample, NEED_SAMPLE_FLOATS / c->dim), lists), c->n);
}

/* Lists around centroids of float rows. Learning is over before the lists are filled and all rows
   are coded: the larger of the two counts. */
static void need_lists(const struct need_case *c, struct vdb_need *out) {
  uint64_t k = c->p->nlist ? c->p->nlist : 1, dim = c->dim, n = c->n;
  uint64_t sample = need_sample(c, k), chunk = need_min(n, NEED_LISTS_CHUNK);
  uint64_t learning = sample * (dim * 4 + 20) + k * (dim * 4 + 40) + 512 * dim +
                      c->workers * NEED_KMEANS_CHUNK * (dim + NEED_KMEANS_PANEL) * 4;
  uint64_t quantizer = 0, spills = vdb_index_kind(c->p->type)->code != VDB_CODE_NONE &&
                                   vdb_index_kind(c->p->type)->code != VDB_CODE_SQ;
  if (c->p->type == VECDB_INDEX_IVF_PQ)
    quantizer = need_pq_learn(c, need_min(sample, NEED_SAMPLE_QUANT));
  uint64_t near = spills ? NEED_LISTS_NEAR : 1;
  uint64_t spread = chunk * (dim * 4 + near * 8 + 4) + k * (dim * 4 + 32) +
                    c->workers * 64 * (NEED_KMEANS_PANEL + dim) * 4;
  uint64_t reach = need_min(NEED_REACH_KEYS + k, NEED_REACH_ROWS * k) * 4 + 4 * n;
  uint64_t coded = need_min((1 + spills) * n + 32 * k, NEED_LISTS_CODED) * need_list_code(c);
  uint64_t filling = 8 * n + ((1 + spills) * n + 32 * k) * 4 +
                     need_max(spread, need_max(reach, coded));
  uint64_t whole = spills ? need_sq(c, c->p->refine != VECDB_REFINE_I8 && dim >= 64) : 0;
  bool learns = learning + quantizer > filling + whole;
  out->lists += (learns ? learning : filling) + k * (dim * 5 + 24);
  out->codes += learns ? quantizer : whole;
  out->scratch += c->workers * (k * 24 + 4096);
}

static void need_bits(const struct need_case *c, struct vdb_need *out) {
  uint64_t row = (c->dim + 7) / 8, k = c->p->nlist ? c->p->nlist : 1;
  if (c->p->type == VECDB_INDEX_BIN_FLAT) {
    out->codes += need_bit_codes(c) + need_min(c->n, NEED_SAMPLE_CODES) * 4;
    return;
  }
  out->lists += c->n * 12 + (k + 32) * (2 * row + 8);
  out->scratch += c->workers * ((k + 32) * 48 + c->dim * 8 + 64 * row);
}

VDB_INTERNAL void vdb_index_need(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 unsigned workers, struct vdb_need *out) {
  struct need_case c = {params, field, rows, field->dim, workers};
  struct vdb_need graph = {0};
  const struct vdb_index_kind *kind = vdb_index_kind(params->type);
  *out = (struct vdb_need){0};
  if (vdb_index_is_scan(params->type, field->elem) || rows == 0)
    return;
  out->scratch = NEED_FIXED + workers * (NEED_WORKER + c.dim * 64) +
                 256 * vdb_elem_row_bytes(field->elem, field->dim);
  if (kind->coarse == VDB_COARSE_LISTS && field->elem != VDB_BITS)
    need_lists(&c, out);
  else if (kind->coarse == VDB_COARSE_LISTS || kind->coarse == VDB_COARSE_NONE)
    need_bits(&c, out);
  else
    need_graph(&c, out);
  if (kind->coarse == VDB_COARSE_LIST_GRAPH) { /* the lists are done before the graph begins */
    graph = *out;
    *out = (struct vdb_need){.scratch = NEED_FIXED};
    need_lists(&c, out);
    *out = vdb_need_all(&graph) > vdb_need_all(out) ? graph : *out;
  }
}

VDB_INTERNAL void vdb_index_need_of(vecdb_index_params *params,
                                    const struct vdb_index_field *field, uint64_t rows,
                                    const struct vdb_room *room, struct vdb_need *out) {
  vecdb_index_params auto_of = *params;
  vecdb_error ignored;
  *out = (struct vdb_need){0};
  if (auto_of.type == VECDB_INDEX_AUTO)
    vdb_index_auto(&auto_of, field, rows, room, params);
  params->size = sizeof *params;
  if (vdb_index_params_fill(params, field, &ignored) != VECDB_OK)
    return;
  vdb_index_params_settle(params, (uint32_t)need_min(rows, UINT32_MAX));
  vdb_index_need(params, field, rows, room->workers, out);
}

VDB_INTERNAL bool vdb_index_fits(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 const struct vdb_room *room, uint64_t *need) {
  vecdb_index_params p = *params;
  struct vdb_need all;
  vdb_index_need_of(&p, field, rows, room, &all);
  *need = vdb_need_all(&all);
  return room->bytes == 0 || *need <= room->bytes;
}
