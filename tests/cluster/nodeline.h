/*
 * nodeline.h - a connection to a node as clients have one, without a client: searches that are
 * long, and their ends without an answer; writes of who believes what is no more.
 */
#ifndef NODELINE_H
#define NODELINE_H

#include "net/net.h"

struct line {
  struct net *net;
  struct net_conn *conn;
  bool up;
  uint32_t collection;
  uint32_t answers; /* to searches and writes, */
  int32_t code;     /* and with what the last one was answered */
  uint64_t stats;   /* how often the node was asked for its reads, */
  uint64_t told;    /* which of these it has answered last, */
  uint32_t reads;   /* and with what */
};

void line_open(struct line *l, struct doc_uuid cluster, uint32_t node, int port);
void line_close(struct line *l);
/* Asks shard 0 of the collection for all of thousands of queries; `id` is below 1,000. */
void line_search(struct line *l, uint64_t id, uint32_t collection);
/* The code that shard 0 of the collection answers to who deletes a row by this schema's version. */
int32_t line_delete(struct line *l, uint32_t collection, uint64_t schema);
void line_cancel(struct line *l, uint64_t id);
/* Reads under way in shard 0 of the last line_search's collection, once the node has done what was
   asked before. */
uint32_t line_reads(struct line *l);

#endif
