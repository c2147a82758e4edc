/* numbers.c - numbers for rows whose keys the database chooses; see create.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/create.h"

enum ctl_status ctl_numbers(struct ctl *ctl, uint64_t n, int64_t *first) {
  const struct doc_path path = doc_path(ctl->cluster, DOC_PATH_NUMBERS, 0, 0);
  enum ctl_status status = CTL_OK;
  for (bool held = false; !status && !held;) { /* another one took some: look again */
    char text[24];
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *last = cache_find(view, DOC_PATH_NUMBERS, 0, 0);
    const int64_t mod = last ? last->mod : 0;
    const uint64_t given = last ? strtoull(last->text.data, NULL, 10) : 0;
    cache_give(view);
    if (!n || given > INT64_MAX || n > INT64_MAX - given) {
      snprintf(ctl->why, sizeof ctl->why, "there are not so many numbers");
      return CTL_NOT_ALLOWED;
    }
    const int size = snprintf(text, sizeof text, "%" PRIu64, given + n);
    *first = (int64_t)given + 1;
    status = ctl_put(ctl, path, text, (size_t)size, mod, &held);
  }
  return status;
}
