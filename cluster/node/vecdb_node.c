/* vecdb_node.c - the program that runs a node of a cluster. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/key.h"
#include "node/node.h"

static struct node *main_node;

static void main_signal(int signal) {
  (void)signal;
  node_stop(main_node);
}

static void main_log(void *arg, const char *line) {
  char when[32];
  time_t now = time(NULL);
  struct tm tm;
  (void)arg;
  strftime(when, sizeof when, "%H:%M:%S", gmtime_r(&now, &tm));
  fprintf(stderr, "%s %s\n", when, line);
}

static const char main_usage[] =
    "usage: vecdb-node --id N --cluster ID --data DIR --listen ADDRESS:PORT --etcd URLS\n"
    "                  [--ca F --cert F --key F] [--etcd-ca F --etcd-cert F --etcd-key F]\n"
    "Without certificates it listens on loopback alone.\n";

static bool main_parse(int argc, char **argv, struct node_config *c, const char **cluster) {
  const char *id = NULL;
  const struct {
    const char *name;
    const char **value;
  } options[] = {{"--id", &id},           {"--cluster", cluster},        {"--data", &c->data},
                 {"--listen", &c->listen}, {"--etcd", &c->endpoints},    {"--ca", &c->ca},
                 {"--cert", &c->cert},     {"--key", &c->key},           {"--etcd-ca", &c->etcd_ca},
                 {"--etcd-cert", &c->etcd_cert}, {"--etcd-key", &c->etcd_key}};
  size_t n = sizeof options / sizeof *options;
  for (int i = 1; i + 1 < argc; i += 2) {
    size_t k = 0;
    while (k < n && strcmp(argv[i], options[k].name) != 0)
      k++;
    if (k == n)
      return false;
    *options[k].value = argv[i + 1];
  }
  c->id = id ? (uint32_t)strtoul(id, NULL, 10) : 0;
  return argc % 2 && c->id && *cluster && c->data && c->listen && c->endpoints;
}

int main(int argc, char **argv) {
  struct node_config config = {.log = main_log};
  const char *cluster = NULL;
  char why[NODE_WHY];
  if (!main_parse(argc, argv, &config, &cluster) || !doc_uuid_parse(cluster, &config.cluster)) {
    fputs(main_usage, stderr);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  main_node = node_open(&config, why);
  if (!main_node) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  struct sigaction action = {.sa_handler = main_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  node_run(main_node);
  node_close(main_node);
  return 0;
}
