/*
 * etcdtest.h - a real etcd for tests: up to three members on loopback, with their data in a folder
 * that is removed again. They die with the test.
 */
#ifndef ETCDTEST_H
#define ETCDTEST_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/etcd.h"
#include "metatest.h"

enum { ET_MEMBERS = 3 };

struct et {
  char folder[64];
  int n;
  int client_port[ET_MEMBERS];
  int peer_port[ET_MEMBERS];
  pid_t pid[ET_MEMBERS];
  char endpoints[256];
  char cluster[512];
  bool tls; /* of clients: ca.pem, etcd.pem and etcd.key in the folder */
};

/* Ports that are free at the moment. */
static inline void et_ports(int *ports, int n) {
  int fds[2 * ET_MEMBERS];
  for (int i = 0; i < n; i++) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fds[i], (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fds[i], (struct sockaddr *)&a, &size), 0);
    ports[i] = ntohs(a.sin_port);
  }
  for (int i = 0; i < n; i++)
    close(fds[i]);
}

static inline char *et_path(const struct et *e, const char *name, char *out) {
  snprintf(out, 128, "%s/%s", e->folder, name);
  return out;
}

static inline void et_start_member(struct et *e, int i) {
  char name[16], data[128], client[64], peer[64];
  snprintf(name, sizeof name, "m%d", i);
  snprintf(data, sizeof data, "%s/%s", e->folder, name);
  snprintf(client, sizeof client, "http%s://127.0.0.1:%d", e->tls ? "s" : "", e->client_port[i]);
  snprintf(peer, sizeof peer, "http://127.0.0.1:%d", e->peer_port[i]);
  e->pid[i] = fork();
  assert_true(e->pid[i] >= 0);
  if (e->pid[i])
    return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  dup2(null, 2);
  char *argv[32] = {"etcd",     "--name",
                    name,       "--data-dir",
                    data,       "--listen-client-urls",
                    client,     "--advertise-client-urls",
                    client,     "--listen-peer-urls",
                    peer,       "--initial-advertise-peer-urls",
                    peer,       "--initial-cluster",
                    e->cluster, "--initial-cluster-state",
                    "new",      "--heartbeat-interval",
                    "50",       "--election-timeout",
                    "500"};
  char ca[128], cert[128], key[128];
  char *const secure[] = {
      "--client-cert-auth",         "--trusted-ca-file", et_path(e, "ca.pem", ca),   "--cert-file",
      et_path(e, "etcd.pem", cert), "--key-file",        et_path(e, "etcd.key", key)};
  if (e->tls)
    memcpy(argv + 21, secure, sizeof secure);
  execvp("etcd", argv);
  _exit(127);
}

static inline bool et_installed(void) { return system("command -v etcd >/dev/null 2>&1") == 0; }

static inline void et_folder(struct et *e) {
  memset(e, 0, sizeof *e);
  strcpy(e->folder, "/tmp/vecdb-etcd-XXXXXX");
  assert_non_null(mkdtemp(e->folder));
}

/* n members; with certificates that are in the folder already, when `tls`. */
static inline void et_run(struct et *e, int n, bool tls) {
  int ports[2 * ET_MEMBERS];
  e->n = n;
  e->tls = tls;
  et_ports(ports, 2 * n);
  for (int i = 0; i < n; i++) {
    e->client_port[i] = ports[2 * i];
    e->peer_port[i] = ports[2 * i + 1];
    size_t used = strlen(e->endpoints);
    snprintf(e->endpoints + used, sizeof e->endpoints - used, "%shttp%s://127.0.0.1:%d",
             i ? "," : "", tls ? "s" : "", e->client_port[i]);
    used = strlen(e->cluster);
    snprintf(e->cluster + used, sizeof e->cluster - used, "%sm%d=http://127.0.0.1:%d", i ? "," : "",
             i, e->peer_port[i]);
  }
  for (int i = 0; i < n; i++)
    et_start_member(e, i);
}

static inline void et_start(struct et *e, int n) {
  et_folder(e);
  et_run(e, n, false);
}

static inline void et_kill(struct et *e, int i) {
  if (e->pid[i] <= 0)
    return;
  kill(e->pid[i], SIGKILL);
  waitpid(e->pid[i], NULL, 0);
  e->pid[i] = 0;
}

static inline int et_unlink(const char *path, const struct stat *s, int type, struct FTW *ftw) {
  (void)s;
  (void)type;
  (void)ftw;
  return remove(path);
}

static inline void et_stop(struct et *e) {
  for (int i = 0; i < e->n; i++)
    et_kill(e, i);
  nftw(e->folder, et_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* A client, once the etcd answers. */
static inline void et_connect(struct et *e, struct mt *t) {
  char why[ETCD_WHY];
  const struct etcd_config config = {.endpoints = e->endpoints};
  memset(t, 0, sizeof *t);
  t->store = etcd_open(&config, why);
  assert_non_null(t->store);
  strcpy(t->prefix, "start");
  int64_t until = mt_clock() + MT_LIMIT_US;
  while (mt_do1(t, mt_get(t, "a"))->r.status != META_OK)
    assert_true(mt_clock() < until);
}

#endif
