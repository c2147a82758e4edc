/* key.h - where the documents of doc.h are in the metadata store. */
#ifndef CLUSTER_META_KEY_H
#define CLUSTER_META_KEY_H

#include "meta/doc.h"

/* A key as text; or a prefix of keys, which ends in '/'. */
struct doc_path {
  char text[META_KEY_MAX];
};

enum doc_kind {
  DOC_PATH_CLUSTER, /* fmt */
  DOC_PATH_CONTROL, /* ctl: the id of the node that plans, on its lease */
  DOC_PATH_IDS,     /* ids: the last collection id given */
  DOC_PATH_NUMBERS, /* numbers: the last number given to a row */
  DOC_PATH_NODE,    /* node/ID */
  DOC_PATH_LIVE,    /* live/ID */
  DOC_PATH_COLL,    /* coll/ID */
  DOC_PATH_SLOTS,   /* slots/ID */
  DOC_PATH_SPLITS,  /* splits/ID */
  DOC_PATH_SHARD,   /* shard/ID/NUMBER */
  DOC_PATH_MOVE,    /* move/ID/NUMBER */
  DOC_PATH_SPLIT,   /* split/ID/NUMBER */
  DOC_PATH_OTHER    /* of no kind that this version knows */
};

/* "/vdb/CLUSTER/", under which everything is; the cluster's id in hex. */
struct doc_path doc_root(struct doc_uuid cluster);
/* The key of a document; a and b as its kind takes them (0 otherwise). Ids are written with leading
   zeros, so that keys ascend as ids do. */
struct doc_path doc_path(struct doc_uuid cluster, enum doc_kind kind, uint32_t a, uint32_t b);
/* The prefix of all documents of a kind; of one collection's, where the kind has two numbers and a
   is not 0. */
struct doc_path doc_path_all(struct doc_uuid cluster, enum doc_kind kind, uint32_t a);
/* The key that holds a collection's id by its name. */
struct doc_path doc_path_name(struct doc_uuid cluster, const char *name);
/* What a key under the root is. */
enum doc_kind doc_path_parse(struct doc_uuid cluster, struct meta_bytes key, uint32_t *a,
                             uint32_t *b);

/* 32 hex digits and a NUL; and back, false when it is none. */
void doc_uuid_text(struct doc_uuid id, char *out);
bool doc_uuid_parse(const char *text, struct doc_uuid *out);

#endif
