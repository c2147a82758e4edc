/* metrics_edge.c - the part of GET /metrics about collections that are followed; see
   metrics_edge.h. */
#include "server/metrics_edge.h"

enum { EDGE_COPIES = 1024 };

struct edge_copies {
  struct engine_copy *list;
  size_t n;
};

static void edge_add(void *user, const struct engine_copy *copy) {
  struct edge_copies *all = user;
  if (all->list && all->n < EDGE_COPIES)
    all->list[all->n++] = *copy;
}

static void edge_counter(struct srv_page *page, const struct edge_copies *all, const char *name,
                         const char *help, size_t offset) {
  srv_page_family(page, name, "counter", "", help);
  for (size_t i = 0; i < all->n; i++) {
    const uint64_t *value = (const void *)((const char *)&all->list[i] + offset);
    srv_page_number(page, (srv_page_labels){"collection", all->list[i].name}, *value);
  }
}

void srv_edge_page(struct srv_page *page, const struct engine *engine) {
  struct edge_copies all = {srv_arena_array(page->arena, EDGE_COPIES, sizeof *all.list), 0};
  bool up = false;
  if (!engine_copies(engine, &up, edge_add, &all))
    return;
  page->failed |= !all.list;
  srv_page_family(page, "vecdb_edge_origin_up", "gauge", "",
                  "1: the cluster that is followed has answered when it was asked last.");
  srv_page_number(page, (srv_page_labels){NULL}, up);
  srv_page_family(page, "vecdb_edge_staleness_seconds", "gauge", "seconds",
                  "All that was acknowledged so long ago is here; absent while that is not known.");
  for (size_t i = 0; i < all.n; i++)
    if (all.list[i].whole && all.list[i].age_ms != UINT64_MAX)
      srv_page_value(page, "", (srv_page_labels){"collection", all.list[i].name},
                     (double)all.list[i].age_ms / 1000);
  edge_counter(page, &all, "vecdb_edge_rows_applied_total",
               "Rows that were read again from the cluster and written here.",
               offsetof(struct engine_copy, upserts));
  edge_counter(page, &all, "vecdb_edge_rows_removed_total",
               "Rows that were removed here, as the cluster had them no more.",
               offsetof(struct engine_copy, deletes));
  edge_counter(page, &all, "vecdb_edge_copies_total",
               "How often all rows were copied: the first time, and when a shard's log did not "
               "tell what had changed.",
               offsetof(struct engine_copy, copies));
}
