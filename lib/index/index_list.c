/* index_list.c - the index types there are, and the parameters they take; see index.h. */
#include <stdarg.h>
#include <stdio.h>

#include "index/bin_flat.h"
#include "index/bin_ivf.h"
#include "index/disk.h"
#include "index/hnsw.h"
#include "index/index.h"
#include "index/ivf.h"
#include "index/need.h"

enum {
  INDEX_M = 16,
  INDEX_EF_CONSTRUCTION = 200,
  INDEX_PQ_NBITS = 4,
  INDEX_LIST_ROWS = 8 /* fewest rows per list on average */
};

/* Parameters that a type may take. */
enum {
  INDEX_TAKES_GRAPH = 1u << 0, /* m, ef_construction, ef */
  INDEX_TAKES_EF = 1u << 1,    /* ef alone */
  INDEX_TAKES_LISTS = 1u << 2, /* nlist, nprobe */
  INDEX_TAKES_PQ_M = 1u << 3,
  INDEX_TAKES_NBITS = 1u << 4,
  INDEX_TAKES_REFINE = 1u << 5,
  INDEX_TAKES_NO_REFINE = 1u << 6, /* refine NONE */
  INDEX_TAKES_ROTATION = 1u << 7,
  INDEX_TAKES_MEMORY = 1u << 8,
  INDEX_TAKES_CODED = INDEX_TAKES_REFINE | INDEX_TAKES_NO_REFINE,
  INDEX_TAKES_BITS = INDEX_TAKES_REFINE | INDEX_TAKES_NO_REFINE | INDEX_TAKES_ROTATION,
  INDEX_TAKES_PQ = INDEX_TAKES_CODED | INDEX_TAKES_PQ_M | INDEX_TAKES_NBITS | INDEX_TAKES_ROTATION
};

static const struct vdb_index_kind index_kinds[VDB_INDEX_TYPES] = {
    [VECDB_INDEX_AUTO] = {"AUTO", NULL, NULL, VDB_CODE_NONE, VDB_COARSE_NONE,
                          INDEX_TAKES_GRAPH | INDEX_TAKES_REFINE | INDEX_TAKES_MEMORY},
    [VECDB_INDEX_FLAT] = {"FLAT", NULL, NULL, VDB_CODE_NONE, VDB_COARSE_NONE, 0},
    [VECDB_INDEX_HNSW] = {"HNSW", vdb_hnsw_ops, vdb_hnsw_ops, VDB_CODE_NONE, VDB_COARSE_GRAPH,
                          INDEX_TAKES_GRAPH | INDEX_TAKES_REFINE},
    [VECDB_INDEX_HNSW_SQ] = {"HNSW_SQ", vdb_hnsw_ops, NULL, VDB_CODE_SQ, VDB_COARSE_GRAPH,
                             INDEX_TAKES_GRAPH | INDEX_TAKES_CODED | INDEX_TAKES_NBITS},
    [VECDB_INDEX_HNSW_PQ] = {"HNSW_PQ", vdb_hnsw_ops, NULL, VDB_CODE_PQ, VDB_COARSE_GRAPH,
                             INDEX_TAKES_GRAPH | INDEX_TAKES_PQ},
    [VECDB_INDEX_IVF_FLAT] = {"IVF_FLAT", vdb_ivf_ops, NULL, VDB_CODE_NONE, VDB_COARSE_LISTS,
                              INDEX_TAKES_LISTS},
    [VECDB_INDEX_IVF_SQ8] = {"IVF_SQ8", vdb_ivf_ops, NULL, VDB_CODE_SQ, VDB_COARSE_LISTS,
                             INDEX_TAKES_LISTS | INDEX_TAKES_CODED},
    [VECDB_INDEX_IVF_PQ] = {"IVF_PQ", vdb_ivf_ops, NULL, VDB_CODE_PQ, VDB_COARSE_LISTS,
                            INDEX_TAKES_LISTS | INDEX_TAKES_PQ},
    [VECDB_INDEX_IVF_RABITQ] = {"IVF_RABITQ", vdb_ivf_ops, NULL, VDB_CODE_RABITQ, VDB_COARSE_LISTS,
                                INDEX_TAKES_LISTS | INDEX_TAKES_CODED | INDEX_TAKES_NBITS |
                                    INDEX_TAKES_ROTATION},
    [VECDB_INDEX_IVF_HNSW] = {"IVF_HNSW", vdb_ivf_hnsw_ops, NULL, VDB_CODE_SQ,
                              VDB_COARSE_LIST_GRAPH,
                              INDEX_TAKES_GRAPH | INDEX_TAKES_LISTS | INDEX_TAKES_CODED},
    [VECDB_INDEX_BIN_FLAT] = {"BIN_FLAT", vdb_bin_flat_ops, NULL, VDB_CODE_BITS, VDB_COARSE_NONE,
                              INDEX_TAKES_EF | INDEX_TAKES_BITS},
    [VECDB_INDEX_BIN_IVF] = {"BIN_IVF", vdb_ivf_ops, vdb_bin_ivf_ops, VDB_CODE_BITS,
                             VDB_COARSE_LISTS,
                             INDEX_TAKES_LISTS | INDEX_TAKES_BITS},
    [VECDB_INDEX_BIN_HNSW] = {"BIN_HNSW", vdb_hnsw_ops, vdb_hnsw_ops, VDB_CODE_BITS,
                              VDB_COARSE_GRAPH,
                              INDEX_TAKES_GRAPH | INDEX_TAKES_BITS},
    [VECDB_INDEX_DISK] = {"DISK", vdb_disk_ops, NULL, VDB_CODE_PQ, VDB_COARSE_DISK,
                          INDEX_TAKES_GRAPH | INDEX_TAKES_PQ_M | INDEX_TAKES_NBITS |
                              INDEX_TAKES_ROTATION},
};

VDB_INTERNAL const struct vdb_index_kind *vdb_index_kind(int32_t type) {
  return type >= 0 && type < VDB_INDEX_TYPES ? &index_kinds[type] : NULL;
}

VDB_INTERNAL const struct vdb_index_ops *vdb_index_ops_of(int32_t type, enum vdb_elem elem) {
  const struct vdb_index_kind *kind = vdb_index_kind(type);
  const struct vdb_index_ops *(*ops)(void) = NULL;
  if (kind)
    ops = elem == VDB_BITS ? kind->bits : kind->floats;
  return ops ? ops() : NULL;
}

VDB_INTERNAL bool vdb_index_is_scan(int32_t type, enum vdb_elem elem) {
  return type == VECDB_INDEX_FLAT || (type == VECDB_INDEX_BIN_FLAT && elem == VDB_BITS);
}

static bool index_is_bin(int32_t type) {
  return type >= VECDB_INDEX_BIN_FLAT && type <= VECDB_INDEX_BIN_HNSW;
}

/* Params in the making. */
struct index_fill {
  vecdb_index_params *params;
  const struct vdb_index_field *field;
  const struct vdb_index_kind *kind;
  uint32_t takes; /* of the kind over these vectors */
  vecdb_error *err;
};

static int index_fail(const struct index_fill *f, int code, const char *format, ...)
    VDB_PRINTF(3, 4);

static int index_fail(const struct index_fill *f, int code, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return vdb_fail_at(f->err, code, -1, f->field->name, "%s: %s", f->kind->name, text);
}

/* One number: where the type takes it, 0 becomes `standard` and its range is checked. */
static int index_number(const struct index_fill *f, const char *name, uint32_t *value,
                        uint32_t takes, const uint32_t range[3]) {
  if (!(f->takes & takes))
    return *value == 0 ? VECDB_OK
                       : index_fail(f, VECDB_ERR_INDEX_PARAM, "takes no %s, but it is %u", name,
                                    (unsigned)*value);
  if (*value == 0)
    *value = range[2];
  if (*value == 0 || (*value >= range[0] && *value <= range[1]))
    return VECDB_OK;
  return index_fail(f, VECDB_ERR_INDEX_PARAM, "%s is %u, outside %u to %u", name, (unsigned)*value,
                    (unsigned)range[0], (unsigned)range[1]);
}

static int index_numbers(const struct index_fill *f) {
  static const uint32_t m[3] = {4, VDB_HNSW_MAX_M, INDEX_M};
  static const uint32_t ef_construction[3] = {8, 4096, INDEX_EF_CONSTRUCTION};
  static const uint32_t ef[3] = {1, 16384, 0};
  static const uint32_t lists[3] = {1, 1u << 20, 0};
  vecdb_index_params *p = f->params;
  VDB_TRY(index_number(f, "m", &p->m, INDEX_TAKES_GRAPH, m));
  VDB_TRY(index_number(f, "ef_construction", &p->ef_construction, INDEX_TAKES_GRAPH,
                       ef_construction));
  VDB_TRY(index_number(f, "ef", &p->ef, INDEX_TAKES_GRAPH | INDEX_TAKES_EF, ef));
  VDB_TRY(index_number(f, "nlist", &p->nlist, INDEX_TAKES_LISTS, lists));
  VDB_TRY(index_number(f, "nprobe", &p->nprobe, INDEX_TAKES_LISTS, lists));
  if (p->nlist && p->nprobe > p->nlist)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "nprobe is %u, above nlist %u",
                      (unsigned)p->nprobe, (unsigned)p->nlist);
  return VECDB_OK;
}

/* Half the dimension, or the largest divisor below. */
static uint32_t index_pq_m(uint32_t dim) {
  uint32_t m = dim > 1 ? dim / 2 : 1;
  while (dim % m)
    m--;
  return m == 1 ? dim : m; /* a prime: an element each */
}

static int index_quantizer(const struct index_fill *f) {
  vecdb_index_params *p = f->params;
  bool pq = f->kind->code == VDB_CODE_PQ;
  const uint32_t pq_m[3] = {1, f->field->dim, index_pq_m(f->field->dim)};
  const uint32_t nbits[3] = {1, 8, pq ? INDEX_PQ_NBITS : 0};
  VDB_TRY(index_number(f, "pq_m", &p->pq_m, INDEX_TAKES_PQ_M, pq_m));
  if (p->pq_m && f->field->dim % p->pq_m)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "pq_m is %u, which does not divide dimension %u",
                      (unsigned)p->pq_m, (unsigned)f->field->dim);
  VDB_TRY(index_number(f, "nbits", &p->nbits, INDEX_TAKES_NBITS, nbits));
  if (f->kind->code == VDB_CODE_SQ && p->nbits && p->nbits != 4 && p->nbits != 8)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "nbits is %u; known are 4 and 8",
                      (unsigned)p->nbits);
  if (p->rotation < VECDB_ROTATION_AUTO || p->rotation > VECDB_ROTATION_OPQ)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "rotation %d is unknown", (int)p->rotation);
  if (p->rotation > VECDB_ROTATION_NONE && !(f->takes & INDEX_TAKES_ROTATION))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "takes no rotation");
  if (p->rotation == VECDB_ROTATION_OPQ && f->kind->code == VDB_CODE_BITS)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "rotation is OPQ, which is for PQ");
  return VECDB_OK;
}

static int index_refine(const struct index_fill *f) {
  int32_t refine = f->params->refine;
  enum vdb_elem elem = f->field->elem;
  if (refine < VECDB_REFINE_AUTO || refine > VECDB_REFINE_I8)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "refine %d is unknown", (int)refine);
  if (refine == VECDB_REFINE_AUTO)
    return VECDB_OK;
  if (!(f->takes & INDEX_TAKES_REFINE))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "there is nothing to refine");
  if (refine == VECDB_REFINE_NONE && !(f->takes & INDEX_TAKES_NO_REFINE))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "refine is NONE, but it has no codes to score by");
  if (refine > VECDB_REFINE_F32 && f->params->type == VECDB_INDEX_BIN_FLAT)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "refine is a copy, but it scores with the rows");
  if (refine == VECDB_REFINE_F16 && elem != VDB_F32)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "refine is F16, but rows are no larger themselves");
  if (refine == VECDB_REFINE_I8 && elem == VDB_I8)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "refine is I8, but rows are no larger themselves");
  return VECDB_OK;
}

static int index_rest(const struct index_fill *f) {
  const vecdb_index_params *p = f->params;
  if (p->recall != 0 && !(p->recall >= 0.5f && p->recall <= 0.999f))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "recall is %g, outside 0.5 to 0.999",
                      (double)p->recall);
  if (p->memory_bytes && !(f->takes & INDEX_TAKES_MEMORY))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "takes no memory_bytes; AUTO does");
  return VECDB_OK;
}

/* Whether the type goes with the vectors, and is built. */
static int index_possible(const struct index_fill *f) {
  int32_t type = f->params->type;
  bool bits = f->field->elem == VDB_BITS;
  if (bits && type > VECDB_INDEX_HNSW && !index_is_bin(type))
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "not for binary vectors; use BIN_%s",
                      f->kind->coarse == VDB_COARSE_LISTS ? "IVF" : "HNSW");
  if (type == VECDB_INDEX_DISK && f->field->elem == VDB_I8)
    return index_fail(f, VECDB_ERR_INDEX_PARAM, "not for vectors of 8-bit integers");
  if (type == VECDB_INDEX_AUTO || vdb_index_is_scan(type, f->field->elem) ||
      vdb_index_ops_of(type, f->field->elem))
    return VECDB_OK;
  return index_fail(f, VECDB_ERR_UNSUPPORTED, "this index is not built yet%s",
                    index_is_bin(type) && !bits ? " over vectors that are not binary" : "");
}

VDB_INTERNAL int vdb_index_params_fill(vecdb_index_params *params,
                                       const struct vdb_index_field *field, vecdb_error *err) {
  struct index_fill f = {params, field, vdb_index_kind(params->type), 0, err};
  if (!f.kind)
    return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field->name, "index type %d is unknown",
                       (int)params->type);
  f.takes = f.kind->takes;
  if (field->elem == VDB_BITS) /* rows are their own codes */
    f.takes &= ~(uint32_t)(INDEX_TAKES_BITS | INDEX_TAKES_EF);
  VDB_TRY(index_numbers(&f));
  VDB_TRY(index_quantizer(&f));
  VDB_TRY(index_refine(&f));
  VDB_TRY(index_rest(&f));
  return index_possible(&f);
}

/* Most bytes per row of codes as sq.h has them: in 8 bits an element, or in 4 with sketches. */
static uint64_t index_code_memory(uint64_t dim, bool is4) {
  uint64_t factors = 2 * sizeof(float), line = 64;
  if (!is4)
    return vdb_round_up(dim, line) + factors;
  return vdb_round_up((dim + 1) / 2, line) + factors + vdb_round_up(dim / 8 + 16, line);
}

/* Most bytes per row that an index of these params keeps in memory. */
static uint64_t index_row_memory(const vecdb_index_params *p,
                                 const struct vdb_index_field *field) {
  bool floats = field->elem <= VDB_BF16;
  uint64_t dim = field->dim, m = p->m ? p->m : INDEX_M, above = 16;
  uint64_t links = vdb_round_up(2 * m, VDB_HNSW_ROW_UNIT) * sizeof(uint32_t);
  uint64_t codes = 0, copies = 0;
  switch (p->type) {
  case VECDB_INDEX_HNSW:
  case VECDB_INDEX_HNSW_SQ:
    if (p->refine == VECDB_REFINE_F16 || (p->refine == VECDB_REFINE_AUTO && field->elem == VDB_F32))
      copies = dim * sizeof(uint16_t);
    else if (p->refine == VECDB_REFINE_I8)
      copies = index_code_memory(dim, false);
    if (floats && p->nbits != 4)
      codes = index_code_memory(dim, false);
    if (floats && p->nbits != 8)
      codes = vdb_max_size(codes, index_code_memory(dim, true));
    return (floats ? 2 : 1) * links + above + codes + copies; /* briefs are as many as links */
  case VECDB_INDEX_IVF_RABITQ: /* in two lists, and whole; inner products in 8 bits each */
    return (field->metric == VECDB_IP ? 3 : 2) * index_code_memory(dim, false);
  default: /* DISK: four bits for two elements, a place, and the upper layers */
    return vdb_round_up(dim / 4 + 16, 64) + 24;
  }
}

/* Whether one of AUTO's choices can be built. */
static bool index_auto_room(const vecdb_index_params *choice, const struct vdb_index_field *field,
                            uint64_t rows, const struct vdb_room *room) {
  uint64_t need;
  return !room || vdb_index_fits(choice, field, rows, room, &need);
}

VDB_INTERNAL void vdb_index_auto(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 const struct vdb_room *room, vecdb_index_params *out) {
  static const vecdb_index_params order[] = {
      {.type = VECDB_INDEX_HNSW},
      {.type = VECDB_INDEX_HNSW, .refine = VECDB_REFINE_F32}, /* hits are scored by the rows */
      {.type = VECDB_INDEX_HNSW_SQ, .nbits = 4, .refine = VECDB_REFINE_F32},
      {.type = VECDB_INDEX_IVF_RABITQ, .refine = VECDB_REFINE_F32},
      {.type = VECDB_INDEX_DISK},
  };
  uint64_t budget = params->memory_bytes ? params->memory_bytes / (rows ? rows : 1) : UINT64_MAX;
  for (size_t i = 0; i < VDB_COUNT(order); i++) {
    int32_t type = order[i].type;
    *out = *params;
    out->type = type;
    out->nbits = order[i].nbits;
    out->memory_bytes = 0;
    out->refine = params->refine ? params->refine : order[i].refine;
    if (type == VECDB_INDEX_DISK)
      out->refine = VECDB_REFINE_AUTO;
    if (type == VECDB_INDEX_IVF_RABITQ)
      out->m = out->ef_construction = out->ef = 0;
    bool fits = type != VECDB_INDEX_DISK || field->elem != VDB_I8;
    if (vdb_index_ops_of(type, field->elem) && fits && index_row_memory(out, field) <= budget &&
        index_auto_room(out, field, rows, room))
      return;
  }
  *out = *params;
  out->type = VECDB_INDEX_FLAT;
}

VDB_INTERNAL bool vdb_index_auto_lists(const vecdb_index_params *params,
                                       const struct vdb_index_field *field, uint64_t rows,
                                       vecdb_index_params *out) {
  uint64_t copies = field->elem == VDB_F32 ? field->dim * sizeof(uint16_t) : 0;
  *out = *params;
  out->type = VECDB_INDEX_IVF_RABITQ;
  out->m = out->ef_construction = out->ef = 0;
  out->memory_bytes = 0;
  if (params->ef > 0 || !vdb_index_ops_of(out->type, field->elem))
    return false;
  uint64_t each = index_row_memory(out, field) + copies;
  return params->memory_bytes == 0 || each * rows <= params->memory_bytes;
}

/* About 4 sqrt(rows) lists: as much work to choose lists as to look through them at some tens of
   probes. */
static uint32_t index_nlist(uint32_t rows) {
  uint32_t root = (uint32_t)__builtin_sqrt((double)rows);
  return vdb_min_u32(4 * root, 65536);
}

VDB_INTERNAL void vdb_index_params_settle(vecdb_index_params *params, uint32_t rows) {
  const struct vdb_index_kind *kind = vdb_index_kind(params->type);
  if (!kind || !(kind->takes & INDEX_TAKES_LISTS))
    return;
  uint32_t most = rows / INDEX_LIST_ROWS ? rows / INDEX_LIST_ROWS : 1;
  params->nlist = vdb_min_u32(params->nlist ? params->nlist : index_nlist(rows), most);
  params->nlist = params->nlist ? params->nlist : 1;
  params->nprobe = vdb_min_u32(params->nprobe, params->nlist);
}
