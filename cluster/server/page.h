/*
 * page.h - Prometheus's text format, and OpenMetrics, which differs in how families of counters are
 * named and in how the text ends.
 */
#ifndef SRV_PAGE_H
#define SRV_PAGE_H

#include "server/arena.h"
#include "server/metrics.h"

struct srv_page {
  struct srv_arena *arena;
  bool open_metrics;
  bool failed; /* out of memory */
  const char *family;
  char *text;
  size_t n, room;
};

enum { SRV_PAGE_LABELS = 4 };

/* Names and values by turns, ended by NULL. */
typedef const char *srv_page_labels[2 * SRV_PAGE_LABELS + 1];

/* Begins a family. `name` is that of its samples, with _total for a counter; `unit` may be "". */
void srv_page_family(struct srv_page *page, const char *name, const char *type, const char *unit,
                     const char *help);
/* A sample of the family begun last; `suffix` is "", or what follows its name. */
void srv_page_value(struct srv_page *page, const char *suffix, srv_page_labels labels,
                    double value);
void srv_page_number(struct srv_page *page, srv_page_labels labels, uint64_t value);
void srv_page_histogram(struct srv_page *page, srv_page_labels labels,
                        const struct srv_metrics_histogram *h);
/* How often and how long, without quantiles: of a family of type summary. */
void srv_page_summary(struct srv_page *page, srv_page_labels labels, uint64_t count, uint64_t ns);
void srv_page_end(struct srv_page *page);

#endif
