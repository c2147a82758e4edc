/*
 * faultnode.c - a node as a process of a test; see faultnode.h. The functions of the C library that
 * a node meets its disk, its clock and its network by are defined here once more, and stand before
 * those of the system in this program, also for libraries.
 */
#include "cluster/faultnode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cluster/faultproxy.h"
#include "meta/key.h"
#include "node/node.h"

#define FAULT_EXPORT __attribute__((visibility("default")))

static struct fault_switches fault_none;
struct fault_switches *fault_switches = &fault_none;
static int fault_end; /* of the proxy; 0: not a node */

/* ---- The network: a node calls from an address of its own, by which the proxy knows it ---- */

FAULT_EXPORT int connect(int fd, const struct sockaddr *to, socklen_t n) {
  const struct sockaddr_in *in = (const void *)to;
  int late = 1;
  struct sockaddr_in from = {
      .sin_family = AF_INET,
      .sin_addr.s_addr = htonl(0x7f000000u | (unsigned)(FAULT_ADDRESS + fault_end))};
  if (fault_end && to->sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    if (bind(fd, (const struct sockaddr *)&from, sizeof from))
      return -1;
  }
  return (int)syscall(SYS_connect, fd, to, n);
}

/* ---- The disk ---- */

static void fault_slow(void) {
  int ms = fault_switches->sync_ms;
  const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
  if (ms)
    nanosleep(&t, NULL);
}

FAULT_EXPORT int fdatasync(int fd) {
  fault_slow();
  return (int)syscall(SYS_fdatasync, fd);
}

FAULT_EXPORT int fsync(int fd) {
  fault_slow();
  return (int)syscall(SYS_fsync, fd);
}

/* Whether the disk has no room for the file up to there; what it has already it keeps. */
static bool fault_no_room(int fd, off_t end) {
  struct stat s;
  return fault_switches->full && !fstat(fd, &s) && S_ISREG(s.st_mode) && end > s.st_size &&
         end > (off_t)s.st_blocks * 512;
}

FAULT_EXPORT ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
  if (fault_no_room(fd, at + (off_t)n)) {
    errno = ENOSPC;
    return -1;
  }
  return syscall(SYS_pwrite64, fd, bytes, n, at);
}

FAULT_EXPORT int fallocate(int fd, int mode, off_t at, off_t n) {
  if (fault_no_room(fd, at + n)) {
    errno = ENOSPC;
    return -1;
  }
  return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

FAULT_EXPORT int posix_fallocate(int fd, off_t at, off_t n) {
  return fallocate(fd, 0, at, n) ? errno : 0;
}

/* ---- The clock ---- */

FAULT_EXPORT int clock_gettime(clockid_t clock, struct timespec *out) {
  int failed = (int)syscall(SYS_clock_gettime, clock, out);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    out->tv_sec += fault_switches->clock_s;
  return failed;
}

FAULT_EXPORT time_t time(time_t *out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out)
    *out = t.tv_sec;
  return t.tv_sec;
}

/* ---- The node ---- */

void fault_node_say(const char *format, ...) {
  char line[512];
  struct timespec t;
  va_list args;
  if (!getenv("VDB_TRACE"))
    return;
  clock_gettime(CLOCK_MONOTONIC, &t);
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  fprintf(stderr, "%7lld.%03ld %s\n", (long long)t.tv_sec, t.tv_nsec / 1000000, line);
}

struct fault_switches *fault_node_switches(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void *at = MAP_FAILED;
  if (fd >= 0 && !ftruncate(fd, sizeof(struct fault_switches)))
    at = mmap(NULL, sizeof(struct fault_switches), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0)
    close(fd);
  return at == MAP_FAILED ? NULL : at;
}

pid_t fault_node_start(const struct fault_node *node) {
  char id[16];
  snprintf(id, sizeof id, "%u", node->id);
  pid_t pid = fork();
  if (pid)
    return pid;
  execl("/proc/self/exe", "node", "--node", id, node->cluster, node->data, node->listen,
        node->endpoints, node->switches, node->certificates ? node->certificates : "",
        (char *)NULL);
  _exit(127);
}

static void fault_node_log(void *arg, const char *line) {
  fault_node_say("node %s: %s", (const char *)arg, line);
}

void fault_node_main(int argc, char **argv) {
  char why[NODE_WHY], path[3][256];
  if (argc != 9 || strcmp(argv[1], "--node") != 0)
    return;
  struct node_config config = {.id = (uint32_t)atoi(argv[2]),
                               .data = argv[4],
                               .listen = argv[5],
                               .endpoints = argv[6],
                               .log = fault_node_log,
                               .log_arg = argv[2]};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == 1)
    _exit(1); /* the test was over already */
  fault_end = (int)config.id;
  fault_switches = fault_node_switches(argv[7]);
  if (*argv[8]) {
    snprintf(path[0], sizeof path[0], "%s/ca.pem", argv[8]);
    snprintf(path[1], sizeof path[1], "%s/n%s.pem", argv[8], argv[2]);
    snprintf(path[2], sizeof path[2], "%s/n%s.key", argv[8], argv[2]);
    config.ca = path[0];
    config.cert = path[1];
    config.key = path[2];
  }
  struct node *n = NULL;
  if (fault_switches && doc_uuid_parse(argv[3], &config.cluster))
    n = node_open(&config, why);
  if (n)
    node_run(n);
  fprintf(stderr, "node %s: %s\n", argv[2], n ? "stopped" : why);
  _exit(1);
}
