/*
 * nodetest.h - three nodes for tests of clients, in one thread of this process: they answer on real
 * connections from one database that all of them see, so that who leads a shard can be changed at
 * will. They replicate nothing and keep nothing.
 */
#ifndef NODETEST_H
#define NODETEST_H

#include <pthread.h>

#include "net/net.h"
#include "wire/message.h"

enum { NT_NODES = 3, NT_SHARDS = 4 };

struct nt;

/* What was written to a shard, for who asks what has changed. */
struct nt_log {
  struct wire_out *entries; /* entry i is at i - 1 */
  uint64_t base;            /* up to here they are forgotten */
  uint64_t last;
  uint64_t history; /* another one: no position of before is known */
};

struct nt_node {
  struct nt *nt;
  uint32_t id;
  struct net *net; /* NULL: it is dead */
  int port;
  uint64_t asked;
};

struct nt {
  pthread_t thread;
  pthread_mutex_t mutex; /* of everything below; the thread has it but while it waits */
  bool closing;
  bool silent;        /* requests are read and not answered */
  uint64_t queries;   /* that were answered */
  uint64_t queries_most; /* after so many it falls silent; 0: it does not */
  uint32_t mute;      /* a bit for each shard of which no request is answered */
  uint32_t loaded;    /* a bit for each shard that has too much to do */
  const char *folder; /* of certificates; NULL: no TLS */
  struct nt_node nodes[NT_NODES + 1];
  vecdb *db;
  char *document; /* the collection's, while there is one */
  uint32_t id;    /* of the collection; each has another one */
  char name[64];
  uint32_t primary[NT_SHARDS];
  uint64_t epoch[NT_SHARDS];
  int64_t revision;
  uint32_t shards;     /* of the map */
  uint32_t generation; /* of each of them */
  uint64_t counts[NT_SHARDS][4096]; /* op ids that were applied, of any client */
  uint32_t n_counts[NT_SHARDS];
  uint64_t version; /* of the schema */
  uint64_t broke;   /* in which a name went last: writes of who knows an older one are refused */
  struct nt_log logs[NT_SHARDS];
  uint64_t done; /* requests of shards */
  uint32_t compacted[NT_NODES + 1]; /* a bit for each shard, of each node's replicas */
  uint64_t numbers; /* that were given to rows */
  uint32_t lose; /* answers to writes that are not sent though they are applied */
};

/* `folder` has certificates by nt_certify, or is NULL. */
void nt_open(struct nt *nt, const char *folder);
void nt_close(struct nt *nt);
void nt_kill(struct nt *nt, uint32_t node);
void nt_lead(struct nt *nt, uint32_t shard, uint32_t node);
/* The map has so many shards from now on, and rows lie where it says: to be called while there are
   none. Requests by an older map are told so. */
void nt_shards(struct nt *nt, uint32_t n);
/* The log's entries are forgotten; with `history` it has never had any position that it gave. */
void nt_trim(struct nt *nt, uint32_t shard, bool history);
/* "1@127.0.0.1:PORT,..." and the cluster's id, for clients. */
void nt_nodes(struct nt *nt, char *out, size_t n);
extern const char nt_cluster[];
/* Certificates of an authority, the nodes and a client in a folder. */
void nt_certify(const char *folder, uint32_t client);

#endif
