/* ctl_etcd.c - the command's entry: from its words to etcd and back. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/certify.h"
#include "ctl/orphans.h"
#include "meta/etcd.h"

enum { ENTRY_ID = 32 }; /* digits of a cluster's id */

struct entry_found {
  bool done;
  enum meta_status status;
  char id[ENTRY_ID + 1];
};

/* The id in the first key. */
static void entry_found(void *arg, const struct meta_result *result) {
  struct entry_found *f = arg;
  f->done = true;
  f->status = result->status;
  if (result->status || !result->n_answers || !result->answers[0].n)
    return;
  struct meta_bytes key = result->answers[0].kvs[0].key;
  if (key.n > 5 + ENTRY_ID)
    memcpy(f->id, (const char *)key.data + 5, ENTRY_ID);
}

/* The first cluster at or behind the key. */
static bool entry_look(struct meta_store *store, const char *from, struct entry_found *f) {
  const struct meta_op get = {.kind = META_GET,
                              .key = meta_text(from),
                              .end = meta_text("/vdb0"),
                              .limit = 1,
                              .keys_only = true};
  const struct meta_txn txn = {.then = &get, .n_then = 1};
  *f = (struct entry_found){0};
  if (meta_txn(store, &txn, 0, entry_found, f))
    return false;
  while (!f->done) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    meta_run(store, now);
    struct pollfd p = {.fd = meta_fd(store), .events = POLLIN};
    int64_t wait = meta_due(store) - now;
    if (!f->done)
      poll(&p, 1, wait <= 0 ? 0 : wait < 1000000 ? (int)(wait / 1000 + 1) : 1000);
  }
  return f->status == META_OK;
}

/* The cluster that was named, or the only one. NULL, or what is wrong. */
static const char *entry_cluster(struct meta_store *store, const char *name,
                                 struct doc_uuid *cluster) {
  struct entry_found first, next;
  char behind[64];
  if (name)
    return strlen(name) == ENTRY_ID && doc_uuid_parse(name, cluster)
               ? NULL
               : "--cluster takes 32 hexadecimal digits";
  if (!entry_look(store, "/vdb/", &first))
    return "etcd does not answer";
  if (!*first.id || !doc_uuid_parse(first.id, cluster))
    return "etcd holds no cluster";
  snprintf(behind, sizeof behind, "/vdb/%s0", first.id); /* '0' follows '/' */
  if (!entry_look(store, behind, &next))
    return "etcd does not answer";
  return *next.id ? "etcd holds several clusters: say which by --cluster" : NULL;
}

int cluster_ctl_main(int argc, char **argv) {
  struct ctl_args args;
  struct ctl ctl = {0};
  char why[ETCD_WHY];
  if (argc > 1 && strcmp(argv[1], "certify") == 0)
    return ctl_certify(argc - 2, argv + 2, stdout, stderr);
  if (argc > 1 && strcmp(argv[1], "orphans") == 0)
    return ctl_orphans(argc - 2, argv + 2, stdout, stderr);
  if (!ctl_parse(argc, argv, &args, stderr))
    return 2;
  const struct etcd_config config = {.endpoints = args.endpoints,
                                     .ca_file = args.ca_file,
                                     .cert_file = args.cert_file,
                                     .key_file = args.key_file};
  struct meta_store *store = etcd_open(&config, why);
  if (!store) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  struct doc_uuid cluster;
  bool fresh = strcmp(args.command, "init") == 0 && !args.cluster;
  const char *fault = !fresh ? entry_cluster(store, args.cluster, &cluster)
                      : getrandom(&cluster, sizeof cluster, 0) == sizeof cluster
                          ? NULL
                          : "there are no random numbers";
  if (fault) {
    meta_close(store);
    fprintf(stderr, "%s\n", fault);
    return 1;
  }
  if (ctl_open(&ctl, store, cluster)) {
    fprintf(stderr, "%s\n", ctl.why);
    return 1;
  }
  int code = ctl_run(&ctl, &args, stdout, stderr);
  ctl_close(&ctl);
  return code;
}
