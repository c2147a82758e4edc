/*
 * cost.c - the cost model; see cost.h. The constants are rounded measurements (100,000 SIFT rows of
 * 128 floats and text embeddings of 384, one x86-64 core); only their ratios matter, and near a
 * crossing either plan is fine.
 */
#include "query/cost.h"

/* An exact scan reads vectors one after the other: work per row, then memory bandwidth. */
#define COST_SCAN_ROW 3.0
#define COST_SCAN_BYTE 0.06
/* Allowed rows far apart are fetched ahead in row order. */
#define COST_GATHER_ROW 6.0
#define COST_GATHER_BYTE 0.06
/* Codes of allowed rows, and the rows of the best of them. */
#define COST_CODES_ROW 10.0
#define COST_CODES_BYTE 0.05
#define COST_CODES_AGAIN 8000.0
/* A step of a graph search waits for memory: links and vectors lie anywhere. */
#define COST_GRAPH_ROW 20.0
#define COST_GRAPH_BYTE 0.07
/* A graph search compares nearly M new rows for each of the ef rows it expands, and goes down the
   layers first, worth some rows more. */
#define COST_NEW_LINKS 0.85
#define COST_DESCENT 16.0
/* A walk that keeps failing rows apart from the result takes more per row. */
#define COST_APART_ROW 30.0
/* Below this share the graph scores only allowed rows, found among links of links. */
#define COST_NEAR_SHARE 0.35
#define COST_NEAR_LINK 3.0
#define COST_NEAR_ROWS 24.0
/* A filter over whole columns, per row; from indexes, per marked row; the deletes, per row. */
#define COST_BITMAP_FILTER 1.0
#define COST_BITMAP_MARK 1.5
#define COST_BITMAP_DEAD 0.4
/* A filter asked for a single row that the walk has come to. */
#define COST_CHECK_FILTER 15.0
#define COST_CHECK_DEAD 4.0
/* DISK, whose rows are not in memory: a byte read in order, a row alone, a block of several under
   way. A walk reads so many blocks first, and so many for each of ef; a scan of codes these. */
#define COST_DISK_BYTE 1.0
#define COST_DISK_ROW 60000.0
#define COST_DISK_BLOCK 12000.0
#define COST_DISK_FIRST 12.0
#define COST_DISK_EF 0.75
#define COST_DISK_AGAIN 144.0
/* Shares below this count as this, so that costs stay finite. */
#define COST_LEAST_SHARE 1e-6
/* Below this share a graph search among allowed rows loses its way and with it recall. */
#define COST_GRAPH_SHARE 0.02

static double cost_less(double a, double b) { return a < b ? a : b; }

/* share^-0.75, how much farther a walk goes until its pool of passing rows is full. */
VDB_INTERNAL double vdb_cost_wider(double share) {
  double half = __builtin_sqrt(share);
  return 1 / (half * __builtin_sqrt(half));
}

VDB_INTERNAL double vdb_cost_share(double wider) {
  double cubic = __builtin_cbrt(wider);
  return wider > 0 ? 1 / (wider * cubic) : 1;
}

/* Rows that an unrestricted graph search compares. */
static double cost_graph_rows(const struct vdb_cost_case *c) {
  if (c->compared > 0)
    return cost_less(c->rows, c->compared);
  return cost_less(c->rows, (c->ef + COST_DESCENT) * c->links * COST_NEW_LINKS);
}

static double cost_graph_row(const struct vdb_cost_case *c) {
  return COST_GRAPH_ROW + COST_GRAPH_BYTE * c->walked;
}

static double cost_scan(const struct vdb_cost_case *c) {
  return c->rows * (COST_SCAN_ROW + (c->disk ? COST_DISK_BYTE : COST_SCAN_BYTE) * c->bytes);
}

/* One exact scan: all rows in turn, or the allowed ones. */
static double cost_exact(const struct vdb_cost_case *c) {
  double row = COST_GATHER_ROW + COST_GATHER_BYTE * c->bytes + (c->disk ? COST_DISK_ROW : 0);
  return cost_less(cost_scan(c), c->allowed * row);
}

/* Blocks read by one walk that goes so many times as far as one without a filter. */
static double cost_reads(const struct vdb_cost_case *c, double wider) {
  return c->disk ? (COST_DISK_FIRST + COST_DISK_EF * c->ef * wider) * COST_DISK_BLOCK : 0;
}

/* A scan of the allowed rows' codes, nearly in order, and what it scores again. */
static double cost_codes(const struct vdb_cost_case *c) {
  double again = COST_CODES_AGAIN;
  if (c->disk)
    again += cost_less(COST_DISK_AGAIN, c->allowed) * COST_DISK_BLOCK;
  return c->allowed * (COST_CODES_ROW + COST_CODES_BYTE * c->walked) + again;
}

/* A graph search that scores only allowed rows. */
static double cost_near(const struct vdb_cost_case *c) {
  double expanded = cost_less(c->ef + COST_DESCENT, c->allowed);
  double scored = cost_less(c->allowed, expanded * COST_NEAR_ROWS);
  double looked = 4 * c->links * c->links; /* two links per M on level 0, squared */
  return expanded * looked * COST_NEAR_LINK + scored * cost_graph_row(c);
}

VDB_INTERNAL struct vdb_cost vdb_cost_plain(const struct vdb_cost_case *c) {
  struct vdb_cost cost = {.walked = cost_graph_rows(c), .row = cost_graph_row(c)};
  cost.exact = c->queries * cost_scan(c);
  cost.graph = c->queries * (cost_graph_rows(c) * cost_graph_row(c) + cost_reads(c, 1));
  cost.late = cost.graph;
  return cost;
}

VDB_INTERNAL struct vdb_cost vdb_cost_filtered(const struct vdb_cost_case *c) {
  struct vdb_cost cost = {.row = cost_graph_row(c) + COST_APART_ROW};
  if (c->disk) /* each row that is compared has its share of the blocks */
    cost.row += cost_reads(c, 1) / cost_graph_rows(c);
  double share = c->rows > 0 ? c->allowed / c->rows : 1;
  if (share < COST_LEAST_SHARE)
    share = COST_LEAST_SHARE;
  cost.bitmap = c->rows * COST_BITMAP_DEAD;
  double check = COST_CHECK_DEAD;
  if (c->filter) {
    cost.bitmap = c->by_index ? c->allowed * COST_BITMAP_MARK : c->rows * COST_BITMAP_FILTER;
    check = COST_CHECK_FILTER;
  }
  double wider = vdb_cost_wider(share);
  cost.walked = cost_less(c->rows, cost_graph_rows(c) * wider);
  cost.plain = cost_graph_rows(c) * cost.row;
  double wide = cost.walked * (cost_graph_row(c) + COST_APART_ROW) + cost_reads(c, wider);
  bool near = share < COST_NEAR_SHARE && !c->disk;
  cost.exact = cost.bitmap + c->queries * cost_exact(c);
  cost.graph = cost.bitmap + c->queries * (near ? cost_near(c) : wide);
  if (c->codes)
    cost.codes = cost.bitmap + c->queries * cost_codes(c);
  cost.late = c->queries * (wide + cost.walked * check);
  return cost;
}

VDB_INTERNAL bool vdb_cost_graph_finds(const struct vdb_cost_case *c) {
  return c->allowed >= COST_GRAPH_SHARE * c->rows;
}

VDB_INTERNAL bool vdb_cost_dead_bitmap(double dead_share, bool graph) {
  return dead_share > (graph ? 0.5 : 0.125);
}
