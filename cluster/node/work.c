/* work.c - threads and their jobs; see work.h. */
#include "node/work.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct work_list {
  struct work_job *first, *last;
};

struct work {
  pthread_mutex_t mutex;
  pthread_cond_t some;
  struct work_list todo, ended;
  bool stopping;
  int fd;
  uint32_t n;
  pthread_t threads[];
};

static void work_push(struct work_list *list, struct work_job *job) {
  job->next = NULL;
  if (list->last)
    list->last->next = job;
  else
    list->first = job;
  list->last = job;
}

static struct work_job *work_pop(struct work_list *list) {
  struct work_job *job = list->first;
  if (job) {
    list->first = job->next;
    list->last = list->first ? list->last : NULL;
  }
  return job;
}

static void *work_thread(void *arg) {
  struct work *w = arg;
  const uint64_t one = 1;
  pthread_mutex_lock(&w->mutex);
  for (;;) {
    struct work_job *job = work_pop(&w->todo);
    if (!job && w->stopping)
      break;
    if (!job) {
      pthread_cond_wait(&w->some, &w->mutex);
      continue;
    }
    pthread_mutex_unlock(&w->mutex);
    job->run(job);
    pthread_mutex_lock(&w->mutex);
    work_push(&w->ended, job);
    (void)!write(w->fd, &one, sizeof one);
  }
  pthread_mutex_unlock(&w->mutex);
  return NULL;
}

struct work *work_open(uint32_t threads) {
  struct work *w = calloc(1, sizeof *w + threads * sizeof(pthread_t));
  if (!w)
    return NULL;
  w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_init(&w->mutex, NULL);
  pthread_cond_init(&w->some, NULL);
  while (w->fd >= 0 && w->n < threads &&
         !pthread_create(&w->threads[w->n], NULL, work_thread, w))
    w->n++;
  if (w->n)
    return w;
  work_close(w);
  return NULL;
}

void work_close(struct work *w) {
  if (!w)
    return;
  pthread_mutex_lock(&w->mutex);
  w->stopping = true;
  pthread_cond_broadcast(&w->some);
  pthread_mutex_unlock(&w->mutex);
  for (uint32_t i = 0; i < w->n; i++)
    pthread_join(w->threads[i], NULL);
  work_run(w);
  pthread_cond_destroy(&w->some);
  pthread_mutex_destroy(&w->mutex);
  if (w->fd >= 0)
    close(w->fd);
  free(w);
}

void work_add(struct work *w, struct work_job *job) {
  pthread_mutex_lock(&w->mutex);
  work_push(&w->todo, job);
  pthread_cond_signal(&w->some);
  pthread_mutex_unlock(&w->mutex);
}

int work_fd(const struct work *w) { return w->fd; }

void work_run(struct work *w) {
  uint64_t count;
  (void)!read(w->fd, &count, sizeof count);
  pthread_mutex_lock(&w->mutex);
  struct work_job *job = w->ended.first;
  w->ended = (struct work_list){NULL, NULL};
  pthread_mutex_unlock(&w->mutex);
  while (job) {
    struct work_job *next = job->next;
    job->done(job);
    job = next;
  }
}
