/*
 * hnsw_io.c - the sections of an HNSW index; see hnsw.h.
 *
 *   HNSW  struct hnsw_header
 *   HNUP  u32 order[layers[1]], then for each upper layer, from 1 up, u32 links[n * width]
 *   HNL0  u32 links[n * width] of level 0
 *   HNLB  u32 briefs[n * width] of the codes of the links of level 0; or nothing
 *   HNQP  params of the codes; nothing without codes
 *   HNQD  data of the codes; nothing without codes
 *   HNST  f16 rows[n * dim], or data of 8-bit codes, to score hits again; or nothing
 *   HNSP  params of these codes, or nothing
 *   HNCP  u32 firsts[n_groups], u32 ends[n_groups], u32 rows[n_copies]
 *
 * Numbers are little-endian. All but the header are borrowed as they lie. The reader holds each
 * count against the sizes of the sections and against the rows before it uses it, and looks at
 * every link once: after that no walk can leave the arrays. A walk ends whatever the links are,
 * as a beam expands a node once and a descent gets nearer with every step.
 */
#include "index/half_rows.h"
#include "index/hnsw.h"
#include "index/sq.h"

#define HNSW_TAG VDB_TAG('H', 'N', 'S', 'W')
#define HNSW_TAG_UPPER VDB_TAG('H', 'N', 'U', 'P')
#define HNSW_TAG_COPIES VDB_TAG('H', 'N', 'C', 'P')
#define HNSW_TAG_CODES_PARAMS VDB_TAG('H', 'N', 'Q', 'P')
#define HNSW_TAG_CODES VDB_TAG('H', 'N', 'Q', 'D')
#define HNSW_TAG_STORE VDB_TAG('H', 'N', 'S', 'T')
#define HNSW_TAG_STORE_PARAMS VDB_TAG('H', 'N', 'S', 'P')
#define HNSW_TAG_LEVEL0 VDB_TAG('H', 'N', 'L', '0')
#define HNSW_TAG_BRIEFS VDB_TAG('H', 'N', 'L', 'B')
/* 1 had codes without rotation and is not read any more; 2 has no HNLB. */
enum { HNSW_VERSION = 3, HNSW_VERSION_LEAST = 2 };

struct hnsw_header {
  uint32_t version;
  uint32_t n;
  uint32_t dim;
  uint32_t elem;
  int32_t metric;
  uint32_t m;
  uint32_t ef_construction;
  uint32_t entry;
  uint64_t seed;
  uint32_t n_layers;
  uint32_t n_groups; /* of copies */
  uint32_t n_copies;
  uint32_t codes;     /* id of their kind; 0: none */
  uint32_t refine;    /* a vdb_hnsw_refine */
  uint32_t layers[VDB_HNSW_MAX_LAYERS + 1]; /* nodes of each; 0 past the last */
  uint32_t briefs;    /* 1: there are some */
};
_Static_assert(sizeof(struct hnsw_header) == 136, "the header has no holes");

struct io_part {
  const void *data;
  size_t n;
};

static int io_write(struct vdb_sect_writer *out, uint32_t tag, uint32_t number,
                    const struct io_part *parts, size_t n_parts, vecdb_error *err) {
  VDB_TRY(out->begin(out, tag, number, err));
  for (size_t i = 0; i < n_parts; i++)
    if (parts[i].n > 0)
      VDB_TRY(out->append(out, parts[i].data, parts[i].n, err));
  return out->end(out, err);
}

/* The links of layers first .. end - 1. */
static int io_write_layers(const struct vdb_hnsw_builder *h, uint32_t tag, uint32_t first,
                           uint32_t end, vecdb_error *err) {
  struct io_part parts[VDB_HNSW_MAX_LAYERS + 1];
  const struct vdb_hnsw_graph *graph = &h->graph;
  size_t n = 0;
  if (first > 0 && graph->n_layers > 1)
    parts[n++] = (struct io_part){graph->order, graph->layers[1].n * sizeof *graph->order};
  for (uint32_t l = first; l < vdb_min_u32(end, graph->n_layers); l++) {
    const struct vdb_hnsw_layer *layer = &graph->layers[l];
    size_t slots = (size_t)layer->n * layer->width;
    parts[n++] = (struct io_part){layer->links, slots * sizeof *layer->links};
  }
  return io_write(h->b->out, tag, h->b->number, parts, n, err);
}

/* The briefs of all rows' codes, to be freed, in *out; NULL when a code has none. */
static int io_make_briefs(const struct vdb_hnsw_builder *h, uint32_t **out, vecdb_error *err) {
  const struct vdb_codes *codes = &h->graph.codes;
  *out = NULL;
  if (!codes->ops || !codes->ops->brief)
    return VECDB_OK;
  uint32_t *briefs = vdb_alloc_array(h->b->mem, codes->n, sizeof *briefs);
  if (!briefs)
    return vdb_fail_memory(err);
  uint32_t row = 0;
  while (row < codes->n && codes->ops->brief(codes, row, &briefs[row]))
    row++;
  if (row == codes->n)
    *out = briefs;
  else
    vdb_free(h->b->mem, briefs);
  return VECDB_OK;
}

/* `briefs` of rows; NULL: none. */
static int io_write_briefs(const struct vdb_hnsw_builder *h, const uint32_t *briefs,
                           vecdb_error *err) {
  const struct vdb_hnsw_layer *layer = &h->graph.layers[0];
  struct vdb_sect_writer *out = h->b->out;
  int rc = out->begin(out, HNSW_TAG_BRIEFS, h->b->number, err);
  for (uint32_t i = 0; briefs && rc == VECDB_OK && i < layer->n; i++) {
    const uint32_t *links = vdb_hnsw_links(layer, i);
    uint32_t row[2 * VDB_HNSW_MAX_M];
    for (uint32_t k = 0; k < layer->width; k++)
      row[k] = links[k] == VDB_HNSW_NONE ? 0 : briefs[links[k]];
    rc = out->append(out, row, layer->width * sizeof *row, err);
  }
  return rc ? rc : out->end(out, err);
}

static struct hnsw_header io_header(const struct vdb_hnsw_builder *h) {
  const struct vdb_index_build *b = h->b;
  struct hnsw_header header = {0};
  header.version = HNSW_VERSION;
  header.n = b->vecs->n;
  header.dim = b->vecs->dim;
  header.elem = (uint32_t)b->vecs->elem;
  header.metric = b->vecs->metric;
  header.m = b->params.m;
  header.ef_construction = b->params.ef_construction;
  header.entry = h->graph.entry;
  header.seed = b->seed;
  header.n_layers = h->graph.n_layers;
  for (uint32_t l = 0; l < h->graph.n_layers; l++)
    header.layers[l] = h->graph.layers[l].n;
  header.n_groups = h->graph.copies.n_groups;
  header.n_copies = h->graph.copies.n;
  header.codes = h->graph.codes.ops ? h->graph.codes.ops->id : 0;
  header.refine = vdb_hnsw_store_pick(h);
  return header;
}

static int io_write_top(const struct vdb_hnsw_builder *h, bool briefs, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  const struct vdb_hnsw_copies *copies = &h->graph.copies;
  struct hnsw_header header = io_header(h);
  struct io_part head = {&header, sizeof header};
  struct io_part parts[] = {{copies->firsts, copies->n_groups * sizeof *copies->firsts},
                            {copies->ends, copies->n_groups * sizeof *copies->ends},
                            {copies->rows, copies->n * sizeof *copies->rows}};
  header.briefs = briefs;
  VDB_TRY(io_write(b->out, HNSW_TAG, b->number, &head, 1, err));
  VDB_TRY(io_write_layers(h, HNSW_TAG_UPPER, 1, VDB_HNSW_MAX_LAYERS, err));
  return io_write(b->out, HNSW_TAG_COPIES, b->number, parts, VDB_COUNT(parts), err);
}

VDB_INTERNAL int vdb_hnsw_write_top(const struct vdb_hnsw_builder *h, vecdb_error *err) {
  return io_write_top(h, false, err);
}

static int io_write_codes(const struct vdb_hnsw_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  const struct vdb_codes *codes = &h->graph.codes;
  enum vdb_hnsw_refine refine = vdb_hnsw_store_pick(h);
  struct io_part params = {codes->params, codes->params_size};
  struct io_part data = {codes->data, codes->data_size};
  VDB_TRY(io_write(b->out, HNSW_TAG_CODES_PARAMS, b->number, &params, 1, err));
  VDB_TRY(io_write(b->out, HNSW_TAG_CODES, b->number, &data, 1, err));
  bool fine = refine == VDB_HNSW_REFINE_CODES;
  params = (struct io_part){h->codes.params, h->codes.params_size};
  data = (struct io_part){h->codes.data, h->codes.data_size};
  VDB_TRY(io_write(b->out, HNSW_TAG_STORE_PARAMS, b->number, &params, fine, err));
  if (refine != VDB_HNSW_REFINE_COPY)
    return io_write(b->out, HNSW_TAG_STORE, b->number, &data, fine, err);
  VDB_TRY(b->out->begin(b->out, HNSW_TAG_STORE, b->number, err));
  VDB_TRY(vdb_half_write(b->mem, b->vecs, b->out, err));
  return b->out->end(b->out, err);
}

VDB_INTERNAL int vdb_hnsw_write(const struct vdb_hnsw_builder *h, vecdb_error *err) {
  uint32_t *briefs;
  VDB_TRY(io_make_briefs(h, &briefs, err));
  int rc = io_write_top(h, briefs != NULL, err);
  if (rc == VECDB_OK)
    rc = io_write_layers(h, HNSW_TAG_LEVEL0, 0, 1, err);
  if (rc == VECDB_OK)
    rc = io_write_briefs(h, briefs, err);
  vdb_free(h->b->mem, briefs);
  return rc ? rc : io_write_codes(h, err);
}

static int io_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the HNSW index is damaged: %s", what);
}

/* Checks the header and takes the shape of the graph from it. */
static int io_read_shape(const struct hnsw_header *header, const struct vdb_vecs *vecs,
                         struct vdb_hnsw_graph *graph, vecdb_error *err) {
  if (header->version > HNSW_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the HNSW index has format %u, known is %u",
                    (unsigned)header->version, (unsigned)HNSW_VERSION);
  if (header->version < HNSW_VERSION_LEAST)
    return io_corrupt(err, "header");
  if (header->n_copies > header->n || header->n_groups > header->n_copies)
    return io_corrupt(err, "number of copies");
  if (header->n != vecs->n || header->dim != vecs->dim || header->elem != (uint32_t)vecs->elem ||
      header->metric != vecs->metric)
    return io_corrupt(err, "it was built for other vectors");
  if (header->m == 0 || header->m > VDB_HNSW_MAX_M || header->n > VDB_HNSW_MAX_ROWS)
    return io_corrupt(err, "links per node");
  if (header->n_layers > VDB_HNSW_MAX_LAYERS || (header->n_layers == 0) != (header->n == 0))
    return io_corrupt(err, "number of layers");
  if (header->n > 0 && (header->layers[0] != header->n || header->entry >= header->n))
    return io_corrupt(err, "entry");
  const struct vdb_codes_ops *codes = vdb_hnsw_codes_of(header->codes);
  if (header->codes != 0 && (!codes || !codes->fits(vecs)))
    return io_corrupt(err, "codes");
  if (header->refine >= VDB_HNSW_REFINE_COUNT ||
      (header->refine == VDB_HNSW_REFINE_COPY && vecs->elem != VDB_F32) ||
      (header->refine == VDB_HNSW_REFINE_CODES && !vdb_sq8_ops()->fits(vecs)))
    return io_corrupt(err, "what hits are scored with");
  graph->refine = (enum vdb_hnsw_refine)header->refine;
  graph->copies.n = header->n_copies;
  graph->copies.n_groups = header->n_groups;
  graph->n_layers = header->n_layers;
  graph->entry = header->entry;
  for (uint32_t l = 0; l < VDB_COUNT(header->layers); l++) {
    uint32_t n = header->layers[l];
    if (l >= header->n_layers ? n != 0 : n == 0 || (l > 0 && n > header->layers[l - 1]))
      return io_corrupt(err, "nodes of a layer");
    if (l >= header->n_layers)
      continue;
    uint64_t width = l > 0 ? header->m : vdb_round_up(2 * (uint64_t)header->m, VDB_HNSW_ROW_UNIT);
    graph->layers[l].n = n;
    graph->layers[l].width = (uint32_t)width;
  }
  return VECDB_OK;
}

/* Whether each row of links is nodes of the layer, then NONE. */
static bool io_links_valid(const struct vdb_hnsw_layer *layer) {
  for (uint32_t i = 0; i < layer->n; i++) {
    const uint32_t *links = vdb_hnsw_links(layer, i);
    bool ended = false;
    for (uint32_t k = 0; k < layer->width; k++) {
      bool none = links[k] == VDB_HNSW_NONE;
      if (!none && (ended || links[k] >= layer->n))
        return false;
      ended = none;
    }
  }
  return true;
}

static int io_read_upper(struct vdb_hnsw_graph *graph, const uint32_t *data, size_t size,
                         vecdb_error *err) {
  uint64_t need = 0;
  if (graph->n_layers > 1)
    need = graph->layers[1].n;
  for (uint32_t l = 1; l < graph->n_layers; l++)
    need += (uint64_t)graph->layers[l].n * graph->layers[l].width;
  if (size != need * sizeof *data)
    return io_corrupt(err, "size of the upper layers");
  if (graph->n_layers < 2)
    return VECDB_OK;
  graph->order = data;
  if (data[0] != graph->entry)
    return io_corrupt(err, "entry");
  for (uint32_t i = 0; i < graph->layers[1].n; i++)
    if (data[i] >= graph->layers[0].n)
      return io_corrupt(err, "row of an upper layer");
  data += graph->layers[1].n;
  for (uint32_t l = 1; l < graph->n_layers; l++) {
    graph->layers[l].links = data;
    if (!io_links_valid(&graph->layers[l]))
      return io_corrupt(err, "link of an upper layer");
    data += (size_t)graph->layers[l].n * graph->layers[l].width;
  }
  return VECDB_OK;
}

static int io_read_copies(struct vdb_hnsw_copies *copies, uint32_t n, const uint32_t *data,
                          size_t size, vecdb_error *err) {
  if (size != (2 * (uint64_t)copies->n_groups + copies->n) * sizeof *data)
    return io_corrupt(err, "size of the copies");
  copies->firsts = data;
  copies->ends = data + copies->n_groups;
  copies->rows = copies->ends + copies->n_groups;
  for (uint32_t i = 0; i < copies->n_groups; i++)
    if (copies->firsts[i] >= n || copies->ends[i] > copies->n ||
        (i > 0 && (copies->firsts[i] <= copies->firsts[i - 1] ||
                   copies->ends[i] < copies->ends[i - 1])))
      return io_corrupt(err, "first of copies");
  for (uint32_t i = 0; i < copies->n; i++)
    if (copies->rows[i] >= n)
      return io_corrupt(err, "row of a copy");
  return VECDB_OK;
}

static int io_find(const struct vdb_sect_reader *in, uint32_t tag, uint32_t number,
                   const void **data, size_t *size, vecdb_error *err) {
  *data = NULL;
  *size = 0;
  /* rows in another form: verified when the rows are */
  bool bulk = tag == HNSW_TAG_CODES || tag == HNSW_TAG_STORE || tag == HNSW_TAG_BRIEFS;
  VDB_TRY(in->find(in, tag, number, bulk, data, size, err));
  return *data ? VECDB_OK : io_corrupt(err, "a section is missing");
}

/* Codes of a kind, NULL for none, from two sections. */
static int io_read_codes(struct vdb_mem *mem, const struct vdb_codes_ops *ops,
                         const struct io_part *params, const struct io_part *data,
                         const struct vdb_vecs *vecs, struct vdb_codes *out, vecdb_error *err) {
  struct vdb_codes codes = {.ops = ops, .data = data->data, .data_size = data->n,
                            .params = params->data, .params_size = params->n};
  if (!ops)
    return params->n + data->n == 0 ? VECDB_OK : io_corrupt(err, "codes");
  VDB_TRY(ops->open(mem, vecs, &codes, err));
  *out = codes;
  return VECDB_OK;
}

static int io_read_both_codes(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                              uint32_t number, uint32_t id, const struct vdb_vecs *vecs,
                              struct vdb_hnsw_graph *graph, vecdb_error *err) {
  struct io_part params, data;
  VDB_TRY(io_find(in, HNSW_TAG_CODES_PARAMS, number, &params.data, &params.n, err));
  VDB_TRY(io_find(in, HNSW_TAG_CODES, number, &data.data, &data.n, err));
  VDB_TRY(io_read_codes(mem, vdb_hnsw_codes_of(id), &params, &data, vecs, &graph->codes, err));
  VDB_TRY(io_find(in, HNSW_TAG_STORE_PARAMS, number, &params.data, &params.n, err));
  VDB_TRY(io_find(in, HNSW_TAG_STORE, number, &data.data, &data.n, err));
  if (graph->refine != VDB_HNSW_REFINE_COPY)
    return io_read_codes(mem, graph->refine == VDB_HNSW_REFINE_CODES ? vdb_sq8_ops() : NULL,
                         &params, &data, vecs, &graph->fine, err);
  if (params.n != 0 || data.n != vecs->n * vdb_half_stride(vecs->dim))
    return io_corrupt(err, "size of the copies of the rows");
  graph->store = vdb_half_view(vecs, data.data);
  return VECDB_OK;
}

static int io_read_top(const struct vdb_sect_reader *in, uint32_t number,
                       const struct vdb_vecs *vecs, struct vdb_hnsw_graph *graph,
                       struct hnsw_header *header, vecdb_error *err) {
  const void *data;
  size_t size;
  VDB_TRY(io_find(in, HNSW_TAG, number, &data, &size, err));
  if (size != sizeof *header)
    return io_corrupt(err, "size of the header");
  memcpy(header, data, sizeof *header);
  VDB_TRY(io_read_shape(header, vecs, graph, err));
  VDB_TRY(io_find(in, HNSW_TAG_UPPER, number, &data, &size, err));
  VDB_TRY(io_read_upper(graph, data, size, err));
  VDB_TRY(io_find(in, HNSW_TAG_COPIES, number, &data, &size, err));
  return io_read_copies(&graph->copies, header->n, data, size, err);
}

VDB_INTERNAL int vdb_hnsw_read_top(const struct vdb_sect_reader *in, uint32_t number,
                                   const struct vdb_vecs *vecs, struct vdb_hnsw_graph *graph,
                                   uint32_t *codes, vecdb_error *err) {
  struct hnsw_header header;
  VDB_TRY(io_read_top(in, number, vecs, graph, &header, err));
  if (header.briefs != 0)
    return io_corrupt(err, "briefs");
  *codes = header.codes;
  return VECDB_OK;
}

/* Their values are not looked at: whatever they are, they only make keys. */
static int io_read_briefs(const struct vdb_sect_reader *in, uint32_t number,
                          const struct hnsw_header *header, struct vdb_hnsw_graph *graph,
                          vecdb_error *err) {
  struct vdb_hnsw_layer *layer = &graph->layers[0];
  const void *data = NULL;
  size_t size = 0;
  if (header->version > HNSW_VERSION_LEAST)
    VDB_TRY(io_find(in, HNSW_TAG_BRIEFS, number, &data, &size, err));
  if (header->briefs > 1 || (header->briefs && (!graph->codes.ops || !graph->codes.ops->brief)))
    return io_corrupt(err, "briefs");
  if (size != header->briefs * (uint64_t)layer->n * layer->width * sizeof *layer->briefs)
    return io_corrupt(err, "size of the briefs");
  layer->briefs = header->briefs ? data : NULL;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_hnsw_read(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                               uint32_t number, const struct vdb_vecs *vecs,
                               struct vdb_hnsw_graph *graph, vecdb_error *err) {
  const void *data;
  size_t size;
  struct hnsw_header header;
  VDB_TRY(io_read_top(in, number, vecs, graph, &header, err));
  VDB_TRY(io_read_both_codes(mem, in, number, header.codes, vecs, graph, err));
  VDB_TRY(io_read_briefs(in, number, &header, graph, err));
  VDB_TRY(io_find(in, HNSW_TAG_LEVEL0, number, &data, &size, err));
  if (graph->n_layers == 0)
    return size == 0 ? VECDB_OK : io_corrupt(err, "size of level 0");
  struct vdb_hnsw_layer *layer = &graph->layers[0];
  if (size != (uint64_t)layer->n * layer->width * sizeof *layer->links)
    return io_corrupt(err, "size of level 0");
  layer->links = data;
  return io_links_valid(layer) ? VECDB_OK : io_corrupt(err, "link of level 0");
}
