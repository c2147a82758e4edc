/* node.c - a node's thread: opening, the loop, closing; see node.h. */
#include "node/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "node/node_int.h"

enum { NODE_THREADS = 2, NODE_SYNC_THREADS = 2 };

void node_log(struct node *n, const char *format, ...) {
  char line[1024];
  va_list args;
  if (!n->config.log)
    return;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  n->config.log(n->config.log_arg, line);
}

static int64_t node_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void node_changed(void *arg, const struct cache_entry *old, const struct cache_entry *now) {
  struct node *n = arg;
  (void)old;
  (void)now;
  n->look = true;
}

static bool node_watch(struct node *n, int fd) {
  struct epoll_event ev = {.events = EPOLLIN};
  return fd < 0 || epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static bool node_meta_open(struct node *n, char *why) {
  const struct etcd_config etcd = {.endpoints = n->config.endpoints,
                                   .ca_file = n->config.etcd_ca,
                                   .cert_file = n->config.etcd_cert,
                                   .key_file = n->config.etcd_key};
  const struct cache_config cache = {
      .cluster = n->config.cluster, .changed = node_changed, .arg = n};
  n->meta = etcd_open(&etcd, why);
  n->cache = n->meta ? cache_open(n->meta, &cache) : NULL;
  return n->cache != NULL;
}

static bool node_parts(struct node *n, char *why) {
  if (!node_dir_open(n, why) || !node_meta_open(n, why) || !node_net_open(n, why))
    return false;
  snprintf(why, NODE_WHY, "out of memory, threads or descriptors");
  n->work = work_open(n->config.threads ? n->config.threads : NODE_THREADS);
  n->syncs = work_open(NODE_SYNC_THREADS);
  n->admin = work_open(1);
  n->tidy = work_open(1);
  n->epoll = epoll_create1(EPOLL_CLOEXEC);
  n->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return n->work && n->syncs && n->admin && n->tidy && n->epoll >= 0 && n->stop >= 0 &&
         node_watch(n, n->stop) && node_watch(n, net_fd(n->net)) &&
         node_watch(n, meta_fd(n->meta)) && node_watch(n, work_fd(n->work)) &&
         node_watch(n, work_fd(n->syncs)) && node_watch(n, work_fd(n->admin)) &&
         node_watch(n, work_fd(n->tidy)) &&
         getrandom(&n->born, sizeof n->born, 0) == sizeof n->born;
}

struct node *node_open(const struct node_config *config, char *why) {
  struct node *n = calloc(1, sizeof *n);
  snprintf(why, NODE_WHY, "out of memory");
  if (!n)
    return NULL;
  n->config = *config;
  n->lock = n->epoll = n->stop = -1;
  n->now_us = node_clock();
  if (node_parts(n, why))
    return n;
  node_close(n);
  return NULL;
}

static int node_wait_ms(const struct node *n) {
  int64_t due = n->tick_us, others[] = {net_due(n->net), meta_due(n->meta), cache_due(n->cache)};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    due = others[i] < due ? others[i] : due;
  int64_t wait = due - node_clock();
  return wait <= 0 ? 0 : (int)((wait + 999) / 1000);
}

static void node_tick(struct node *n) {
  if (n->now_us < n->tick_us)
    return;
  n->tick_us = n->now_us + NODE_TICK_US;
  if (cache_state(n->cache).loaded) {
    node_live_tick(n);
    node_control_tick(n);
  }
  node_net_tick(n);
  node_replicas_tick(n);
}

void node_run(struct node *n) {
  struct epoll_event events[8];
  uint64_t stopped;
  while (read(n->stop, &stopped, sizeof stopped) < 0) {
    (void)epoll_wait(n->epoll, events, 8, node_wait_ms(n));
    n->now_us = node_clock();
    meta_run(n->meta, n->now_us);
    cache_run(n->cache, n->now_us);
    net_run(n->net, n->now_us);
    work_run(n->syncs);
    work_run(n->work);
    work_run(n->admin);
    work_run(n->tidy);
    node_admin_run(n);
    node_tick(n);
    node_replicas_look(n);
  }
}

void node_stop(struct node *n) {
  const uint64_t one = 1;
  (void)!write(n->stop, &one, sizeof one);
}

void node_close(struct node *n) {
  if (!n)
    return;
  node_replicas_close(n);
  node_admin_end(n);
  if (n->net)
    net_close(n->net);
  if (n->meta)
    meta_close(n->meta);
  if (n->cache)
    cache_close(n->cache);
  const int fds[] = {n->epoll, n->stop, n->lock};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (fds[i] >= 0)
      close(fds[i]);
  free(n->peers);
  free(n);
}
