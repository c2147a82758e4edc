/*
 * cost.c - the cost model; see cost.h. The constants are rounded measurements on current x86-64
 * machines; only their ratios matter, and within a factor of two of a crossing either plan is fine.
 */
#include "query/cost.h"

/* An exact scan reads vectors one after the other: a call per block, then memory bandwidth. */
#define COST_SCAN_ROW 3.0
#define COST_SCAN_BYTE 0.06
/* Allowed rows far apart are fetched ahead in row order. */
#define COST_GATHER_ROW 12.0
#define COST_GATHER_BYTE 0.09
/* A step of a graph search waits for memory: links and vectors lie anywhere. */
#define COST_GRAPH_ROW 30.0
#define COST_GRAPH_BYTE 0.10
/* A graph search compares about M new rows for each of the ef rows it expands, and goes down the
   layers first, worth some rows more. */
#define COST_DESCENT 16.0
/* Walking among a set of allowed rows looks through the links of those that are not. */
#define COST_BRIDGE_LINK 2.0
#define COST_AMONG_WIDER 1.3
/* A filter over whole columns, per row; from indexes, per marked row; the deletes, per row. */
#define COST_BITMAP_FILTER 2.5
#define COST_BITMAP_MARK 1.0
#define COST_BITMAP_DEAD 0.4
/* A filter asked for a single row, which misses the cache in each column. */
#define COST_CHECK_FILTER 80.0
#define COST_CHECK_DEAD 5.0
/* Shares below this count as this, so that costs stay finite. */
#define COST_LEAST_SHARE 1e-6

static double cost_less(double a, double b) { return a < b ? a : b; }

/* Distances of one unrestricted graph search. */
static double cost_graph_rows(const struct vdb_cost_case *c) {
  return cost_less(c->rows, (c->ef + COST_DESCENT) * c->links);
}

static double cost_graph_one(const struct vdb_cost_case *c, double rows) {
  return rows * (COST_GRAPH_ROW + COST_GRAPH_BYTE * c->bytes);
}

/* One exact scan: all rows in turn, or the allowed ones. */
static double cost_exact_one(const struct vdb_cost_case *c) {
  return cost_less(c->rows * (COST_SCAN_ROW + COST_SCAN_BYTE * c->bytes),
                   c->allowed * (COST_GATHER_ROW + COST_GATHER_BYTE * c->bytes));
}

VDB_INTERNAL struct vdb_cost vdb_cost_plain(const struct vdb_cost_case *c) {
  struct vdb_cost cost = {0, 0, 0, 0};
  cost.exact = c->queries * c->rows * (COST_SCAN_ROW + COST_SCAN_BYTE * c->bytes);
  cost.graph = c->queries * cost_graph_one(c, cost_graph_rows(c));
  cost.late = cost.graph;
  return cost;
}

VDB_INTERNAL struct vdb_cost vdb_cost_filtered(const struct vdb_cost_case *c) {
  struct vdb_cost cost;
  double share = c->rows > 0 ? c->allowed / c->rows : 1;
  if (share < COST_LEAST_SHARE)
    share = COST_LEAST_SHARE;
  cost.bitmap = c->rows * COST_BITMAP_DEAD;
  double check = COST_CHECK_DEAD;
  if (c->filter) {
    cost.bitmap = c->by_index ? c->allowed * COST_BITMAP_MARK : c->rows * COST_BITMAP_FILTER;
    check = COST_CHECK_FILTER;
  }
  double plain = cost_graph_rows(c);
  double among = cost_less(c->allowed, plain * COST_AMONG_WIDER);
  double bridges = cost_less(c->rows * c->links, plain / share) * COST_BRIDGE_LINK;
  double wide = cost_less(c->rows, plain / share);
  cost.exact = cost.bitmap + c->queries * cost_exact_one(c);
  cost.graph = cost.bitmap + c->queries * (cost_graph_one(c, among) + bridges);
  cost.late = c->queries * (cost_graph_one(c, wide) + cost_less(wide, c->ef / share) * check);
  return cost;
}

VDB_INTERNAL bool vdb_cost_dead_bitmap(double dead_share, bool graph) {
  return dead_share > (graph ? 0.5 : 0.125);
}
