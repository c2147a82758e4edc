/* etcd_json.h - requests and answers of etcd's JSON gateway. */
#ifndef CLUSTER_META_ETCD_JSON_H
#define CLUSTER_META_ETCD_JSON_H

#include <jansson.h>

#include "meta/etcd_http.h"

void etcd_write_txn(struct http_buffer *out, const struct meta_txn *txn);
/* {"NAME":"number"} */
void etcd_write_number(struct http_buffer *out, const char *name, int64_t number);
void etcd_write_watch(struct http_buffer *out, struct meta_bytes key, struct meta_bytes end,
                      int64_t revision);

/* An answer and the memory that its keys and values are in. */
struct etcd_answer {
  struct meta_result result;
  json_t *root;
  char *bytes; /* the decoded keys and values */
  struct meta_kv *kvs;
  struct meta_answer *answers;
};
enum etcd_kind { ETCD_TXN, ETCD_GRANT, ETCD_KEEP, ETCD_REVOKE, ETCD_COMPACT };
/* Reads what the gateway said to a request of this kind and with this transaction's operations
   (its text is used up). Its status is META_UNKNOWN when it makes no sense. */
void etcd_read_answer(enum etcd_kind kind, char *text, size_t n, struct etcd_answer *out);
void etcd_answer_free(struct etcd_answer *answer);

/* One line of a watch's stream. */
struct etcd_line {
  enum meta_status status;
  char message[ETCD_WHY];
  bool created;
  bool cancelled;
  bool broken; /* not a line of a watch */
  int64_t revision;
  int64_t compacted;
  struct meta_event *events;
  size_t n;
  char *bytes;
};
void etcd_read_line(const char *text, size_t n, struct etcd_line *out);
void etcd_line_free(struct etcd_line *line);

#endif
