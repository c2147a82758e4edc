/*
 * work.h - a few threads for what may block: jobs are run by one of them, in the order in which
 * they came, and their ends are told to the thread that owns it all.
 */
#ifndef CLUSTER_NODE_WORK_H
#define CLUSTER_NODE_WORK_H

#include <stdbool.h>
#include <stdint.h>

struct work;

/* Part of what the owner allocates; stays where it is until `done` is called. */
struct work_job {
  struct work_job *next;
  void (*run)(struct work_job *job);  /* on a thread */
  void (*done)(struct work_job *job); /* on the owner's; may free the job */
};

/* NULL: no memory, or no threads. */
struct work *work_open(uint32_t threads);
/* Waits for all jobs and tells of their ends. */
void work_close(struct work *w);
void work_add(struct work *w, struct work_job *job);
/* Readable when work_run has something to tell. */
int work_fd(const struct work *w);
void work_run(struct work *w);

#endif
