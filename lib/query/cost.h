/*
 * cost.h - what the plans of a segment are expected to cost: all estimates and their constants in
 * one place. Costs are nanoseconds of one core for the whole call.
 */
#ifndef VDB_COST_H
#define VDB_COST_H

#include "base/base.h"

/* What is known before a segment is searched. */
struct vdb_cost_case {
  double rows;
  double allowed;  /* rows that pass filter and deletes, at least 0 */
  double ef;       /* width of a graph search, at least k */
  double links;    /* M of the graph */
  double bytes;    /* of one vector */
  double walked;   /* bytes of one vector as a graph search reads it */
  bool codes;      /* there are codes to scan, of `walked` bytes */
  double compared; /* vectors that a search without a filter compares, as measured; 0: unknown */
  bool disk;       /* rows are on a disk, and a graph search reads them in blocks */
  double queries;  /* of the call: they share the bitmap */
  bool filter;     /* else only deletes restrict the rows */
  bool by_index;   /* indexes answer the whole filter */
};

struct vdb_cost {
  double bitmap; /* of computing the allowed rows; part of exact and graph */
  double exact;
  double graph;
  double late;
  double codes;
  double walked; /* rows that one late search is expected to compare */
  double row;    /* of one of these */
  double plain;  /* of one search as if all rows were allowed */
};

/* Costs of the three plans where rows are restricted by a filter or by deletes. */
VDB_INTERNAL struct vdb_cost vdb_cost_filtered(const struct vdb_cost_case *c);
/* Costs of exact and graph where all rows may be found. */
VDB_INTERNAL struct vdb_cost vdb_cost_plain(const struct vdb_cost_case *c);
/* Whether a graph search among the allowed rows finds its way: not where they are so few that
   hardly any lie among a node's links and their links. */
VDB_INTERNAL bool vdb_cost_graph_finds(const struct vdb_cost_case *c);
/* Whether a bitmap of live rows pays: it saves an exact scan the distances of dead rows, but a
   graph search only the wider walk. */
VDB_INTERNAL bool vdb_cost_dead_bitmap(double dead_share, bool graph);

/* How much farther a walk goes that meets allowed rows in this share. */
VDB_INTERNAL double vdb_cost_wider(double share);
/* The share at which it goes so much farther. */
VDB_INTERNAL double vdb_cost_share(double wider);

#endif
