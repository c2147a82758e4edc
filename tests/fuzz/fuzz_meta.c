/*
 * fuzz_meta.c - any bytes as a document of the metadata store, or as what etcd's gateway says. The
 * first byte says which. A document that is read is written and read again, and is the same.
 */
#include <stdlib.h>
#include <string.h>

#include "meta/etcd_json.h"
#include "meta/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads, and what was read again; both texts must be one. */
#define META_ROUND(type, release)                                                       \
  static void meta_##type(struct meta_bytes in) {                                       \
    struct doc_##type doc, back;                                                        \
    char why[DOC_TEXT_MAX];                                                             \
    size_t n, again;                                                                    \
    if (doc_##type##_read(in, &doc, why))                                               \
      return;                                                                           \
    char *text = doc_##type##_write(&doc, &n);                                          \
    if (!text || doc_##type##_read((struct meta_bytes){text, n}, &back, why) != DOC_OK) \
      abort();                                                                          \
    char *other = doc_##type##_write(&back, &again);                                    \
    if (!other || n != again || memcmp(text, other, n) != 0)                            \
      abort();                                                                          \
    free(text);                                                                         \
    free(other);                                                                        \
    release(&doc);                                                                      \
    release(&back);                                                                     \
  }
static void meta_nothing(void *doc) { (void)doc; }
META_ROUND(cluster, meta_nothing)
META_ROUND(node, meta_nothing)
META_ROUND(live, meta_nothing)
META_ROUND(coll, doc_coll_free)
META_ROUND(slots, doc_slots_free)
META_ROUND(splits, doc_splits_free)
META_ROUND(shard, meta_nothing)
META_ROUND(move, meta_nothing)
META_ROUND(split, doc_split_free)

static void meta_answer(enum etcd_kind kind, const uint8_t *data, size_t size) {
  struct etcd_answer answer;
  char *text = malloc(size + 1);
  if (!text)
    return;
  memcpy(text, data, size);
  etcd_read_answer(kind, text, size, &answer);
  etcd_answer_free(&answer);
  free(text);
}

static void meta_line(const uint8_t *data, size_t size) {
  struct etcd_line line;
  etcd_read_line((const char *)data, size, &line);
  etcd_line_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const documents[])(struct meta_bytes) = {meta_cluster, meta_node,   meta_live,
                                                         meta_coll,    meta_slots,  meta_splits,
                                                         meta_shard,   meta_move};
  if (!size)
    return 0;
  unsigned which = *data % 15;
  data++;
  size--;
  if (which < 8)
    documents[which]((struct meta_bytes){data, size});
  else if (which < 13)
    meta_answer((enum etcd_kind)(which - 8), data, size);
  else if (which == 13)
    meta_line(data, size);
  else
    meta_split((struct meta_bytes){data, size});
  return 0;
}
