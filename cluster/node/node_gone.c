/*
 * node_gone.c - the data of collections that were dropped. Ids are given in ascending order and
 * never again, each with its collection in one transaction: an id that was given and has no
 * collection is of a dropped one, whatever this node missed meanwhile.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/node_int.h"

struct gone {
  struct work_job job;
  struct node *node;
  char path[NODE_PATH];
};

static void gone_run(struct work_job *job) { files_remove_tree(((struct gone *)job)->path); }

static void gone_done(struct work_job *job) {
  struct gone *g = (struct gone *)job;
  g->node->removing = false;
  g->node->look = true; /* there may be more */
  free(g);
}

static void gone_begin(struct node *n, const char *name) {
  struct gone *g = calloc(1, sizeof *g);
  if (!g || snprintf(g->path, NODE_PATH, "%s/shards/%s", n->config.data, name) >= NODE_PATH) {
    free(g);
    return;
  }
  g->job = (struct work_job){NULL, gone_run, gone_done};
  g->node = n;
  n->removing = true;
  node_log(n, "shard %s: its collection was dropped, the data is removed", name);
  work_add(n->admin, &g->job);
}

/* Whether the folder is of a dropped collection, and nobody uses it any more. */
static bool gone_is(const struct node *n, const struct cache_view *view, const char *name,
                    uint32_t given) {
  unsigned collection, number;
  int end = 0;
  if (sscanf(name, "%u-%u%n", &collection, &number, &end) != 2 || name[end] || !collection ||
      collection > given || cache_find(view, DOC_PATH_COLL, collection, 0))
    return false;
  for (const struct node_replica *r = n->replicas; r; r = r->next)
    if (r->collection == collection && r->number == number)
      return false;
  return true;
}

void node_gone_look(struct node *n, const struct cache_view *view) {
  char path[NODE_PATH];
  const struct cache_entry *ids = cache_find(view, DOC_PATH_IDS, 0, 0);
  uint32_t given = ids ? (uint32_t)strtoul(ids->text.data, NULL, 10) : 0;
  if (n->removing || !given || !files_join(path, sizeof path, n->config.data, "shards"))
    return;
  DIR *folder = opendir(path);
  for (struct dirent *e; folder && (e = readdir(folder));)
    if (gone_is(n, view, e->d_name, given)) {
      gone_begin(n, e->d_name);
      break;
    }
  if (folder)
    closedir(folder);
}
