/*
 * faultnode.h - a node as a process of a test: this program once more, whose system calls do what
 * switches say that the test shares with it: disks that are slow or full, clocks that have leapt.
 */
#ifndef FAULTNODE_H
#define FAULTNODE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct fault_switches {
  atomic_int full;         /* files cannot grow: ENOSPC */
  atomic_int sync_ms;      /* what a sync takes more */
  _Atomic int64_t clock_s; /* the wall clock is off by so much */
};

/* Those of this process; the test's own do nothing but set its clock. */
extern struct fault_switches *fault_switches;

struct fault_node {
  uint32_t id;
  const char *cluster; /* 32 hex digits */
  const char *data, *listen, *endpoints;
  const char *switches;     /* a file with a struct fault_switches */
  const char *certificates; /* a folder with ca.pem, nID.pem and nID.key; NULL: no TLS */
};

/* Starts one. main() of the program hands its arguments to fault_node_main first. */
pid_t fault_node_start(const struct fault_node *node);
/* Is not a node, and returns; or is one, and does not return. */
void fault_node_main(int argc, char **argv);
/* The switches in the file, which is made if need be. */
struct fault_switches *fault_node_switches(const char *path);
/* With VDB_TRACE set: a line with the time on standard error, as nodes write theirs. */
__attribute__((format(printf, 1, 2))) void fault_node_say(const char *format, ...);

#endif
