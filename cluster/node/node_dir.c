/* node_dir.c - a node's folder: one process at a time, an identity of its own; see node_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "node/files.h"
#include "node/node_int.h"

static bool dir_say(const struct node *n, char *why, const char *what) {
  snprintf(why, NODE_WHY, "%.200s: %s", n->config.data, what);
  return false;
}

static bool dir_lock(struct node *n, char *why) {
  char path[NODE_PATH];
  if (!files_join(path, sizeof path, n->config.data, "lock"))
    return dir_say(n, why, "the name is too long");
  n->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (n->lock < 0)
    return dir_say(n, why, strerror(errno));
  return flock(n->lock, LOCK_EX | LOCK_NB) == 0 || dir_say(n, why, "another process has it open");
}

/* "CLUSTER NODE STORE", written once. */
static bool dir_identity(struct node *n, char *why) {
  char path[NODE_PATH], text[128] = "", cluster[33], store[33];
  uint32_t node;
  struct doc_uuid of;
  if (!files_join(path, sizeof path, n->config.data, "identity"))
    return dir_say(n, why, "the name is too long");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0 || sscanf(text, "%32s %u %32s", cluster, &node, store) != 3 ||
        !doc_uuid_parse(cluster, &of) || !doc_uuid_parse(store, &n->store))
      return dir_say(n, why, "the file `identity` cannot be read");
    if (!doc_uuid_same(of, n->config.cluster))
      return dir_say(n, why, "the folder is of another cluster");
    return node == n->config.id || dir_say(n, why, "the folder is of another node");
  }
  if (errno != ENOENT)
    return dir_say(n, why, strerror(errno));
  if (getrandom(&n->store, sizeof n->store, 0) != sizeof n->store)
    return dir_say(n, why, strerror(errno));
  doc_uuid_text(n->config.cluster, cluster);
  doc_uuid_text(n->store, store);
  int bytes = snprintf(text, sizeof text, "%s %u %s\n", cluster, n->config.id, store);
  int error = files_replace(files_system(), n->config.data, "identity", text, (size_t)bytes);
  return !error || dir_say(n, why, strerror(error));
}

bool node_dir_open(struct node *n, char *why) {
  char path[NODE_PATH];
  int error = files_make_dir(files_system(), n->config.data);
  if (error)
    return dir_say(n, why, strerror(error));
  if (!dir_lock(n, why) || !dir_identity(n, why))
    return false;
  if (!files_join(path, sizeof path, n->config.data, "shards"))
    return dir_say(n, why, "the name is too long");
  error = files_make_dir(files_system(), path);
  return !error || dir_say(n, why, strerror(error));
}
