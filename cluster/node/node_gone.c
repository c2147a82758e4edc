/*
 * node_gone.c - the data of collections that were dropped, and copies for splits that were given
 * up. Ids are given in ascending order and
 * never again, each with its collection in one transaction: an id that was given and has no
 * collection is of a dropped one, whatever this node missed meanwhile.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
  node_log(n, "shard %s: it is there no more, the data is removed", name);
  work_add(n->admin, &g->job);
}

/* Whether the folder holds what was copied for a split that has come to nothing: there is no such
   shard, and the split is another one by now, or was given up. A view from before the split was
   planned says nothing; it lacks the document, or has an earlier one. */
static bool gone_fork(const struct node *n, const struct cache_view *view, uint32_t collection,
                      uint32_t number) {
  char folder[NODE_PATH], path[NODE_PATH];
  unsigned parent = 0;
  unsigned long long id = 0;
  long long create = 0;
  if (cache_find(view, DOC_PATH_SHARD, collection, number) ||
      !node_folder(n, collection, number, folder) ||
      !files_join(path, sizeof path, folder, "forked"))
    return false;
  FILE *file = fopen(path, "r");
  if (!file)
    return false;
  bool read = fscanf(file, "%u %llu %lld", &parent, &id, &create) == 3;
  fclose(file);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, collection, parent);
  return read && split &&
         (split->id > id || (split->id == id && split->step == DOC_SPLIT_CANCELLED));
}

/* Whether the folder is of a dropped collection or such a copy, and nobody uses it any more. */
static bool gone_is(const struct node *n, const struct cache_view *view, const char *name,
                    uint32_t given) {
  unsigned collection, number;
  int end = 0;
  if (sscanf(name, "%u-%u%n", &collection, &number, &end) != 2 || name[end] || !collection ||
      collection > given)
    return false;
  for (const struct node_replica *r = n->replicas; r; r = r->next)
    if (r->collection == collection &&
        (r->number == number || (r->machine && machine_forks(r->machine))))
      return false;
  return !cache_find(view, DOC_PATH_COLL, collection, 0) || gone_fork(n, view, collection, number);
}

/* A copy for a split carries its mark until the shard has been opened here as the record has it:
   with this node's store. Where the record lacks that, the copy is another split's, which came to
   nothing while this node was away, and would be taken for the shard's own past. */
bool node_gone_stale(struct node *n, const struct doc_shard *doc) {
  char folder[NODE_PATH], mark[NODE_PATH], name[32];
  if (!node_folder(n, doc->collection, doc->number, folder) ||
      !files_join(mark, sizeof mark, folder, "forked") || access(mark, F_OK) != 0)
    return false;
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    if (doc->replicas[i].node == n->config.id && doc_uuid_same(doc->replicas[i].store, n->store)) {
      remove(mark);
      return false;
    }
  snprintf(name, sizeof name, "%u-%u", doc->collection, doc->number);
  gone_begin(n, name);
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
