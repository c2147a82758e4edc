/* queue.c - a ring of work items and threads; see queue.h. */
#include "server/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct queue_item {
  void (*run)(void *item);
  void *item;
};

struct queue_thread {
  struct srv_queue *queue;
  struct queue_thread *next; /* that is idle */
  bool idle;
  pthread_cond_t work;
  pthread_t thread;
};

struct srv_queue {
  pthread_mutex_t mutex;
  struct queue_thread *idle; /* the one that was busy last comes first: its caches are warm */
  struct queue_item *ring;
  size_t capacity;
  size_t first;
  _Atomic size_t n; /* changed with the mutex held */
  bool stopping;
  unsigned n_threads;
  struct queue_thread threads[];
};

/* Sleeps until there is work, or none will come. Mutex held. */
static void queue_wait(struct srv_queue *q, struct queue_thread *t) {
  if (q->n > 0 || q->stopping)
    return;
  t->next = q->idle;
  q->idle = t;
  t->idle = true;
  while (t->idle)
    pthread_cond_wait(&t->work, &q->mutex);
}

/* Mutex held. */
static void queue_wake(struct srv_queue *q) {
  struct queue_thread *t = q->idle;
  if (!t)
    return;
  q->idle = t->next;
  t->idle = false;
  pthread_cond_signal(&t->work);
}

static void *queue_work(void *arg) {
  struct queue_thread *t = arg;
  struct srv_queue *q = t->queue;
  pthread_mutex_lock(&q->mutex);
  while (q->n > 0 || !q->stopping) {
    queue_wait(q, t);
    if (q->n == 0)
      continue; /* another thread was quicker */
    struct queue_item item = q->ring[q->first];
    q->first = (q->first + 1) % q->capacity;
    q->n--;
    pthread_mutex_unlock(&q->mutex);
    item.run(item.item);
    pthread_mutex_lock(&q->mutex);
  }
  pthread_mutex_unlock(&q->mutex);
  return NULL;
}

static bool queue_thread_start(struct srv_queue *q) {
  struct queue_thread *t = &q->threads[q->n_threads];
  t->queue = q;
  pthread_cond_init(&t->work, NULL);
  if (pthread_create(&t->thread, NULL, queue_work, t) == 0) {
    q->n_threads++;
    return true;
  }
  pthread_cond_destroy(&t->work);
  return false;
}

struct srv_queue *srv_queue_start(unsigned threads, size_t capacity) {
  struct srv_queue *q = calloc(1, sizeof *q + threads * sizeof *q->threads);
  if (!q)
    return NULL;
  q->ring = calloc(capacity, sizeof *q->ring);
  q->capacity = capacity;
  pthread_mutex_init(&q->mutex, NULL);
  bool good = q->ring != NULL;
  while (good && q->n_threads < threads)
    good = queue_thread_start(q);
  if (good)
    return q;
  srv_queue_stop(q);
  return NULL;
}

bool srv_queue_add(struct srv_queue *q, void (*run)(void *item), void *item) {
  pthread_mutex_lock(&q->mutex);
  bool fits = q->n < q->capacity && !q->stopping;
  if (fits) {
    q->ring[(q->first + q->n++) % q->capacity] = (struct queue_item){run, item};
    queue_wake(q);
  }
  pthread_mutex_unlock(&q->mutex);
  return fits;
}

bool srv_queue_full(struct srv_queue *q) {
  return atomic_load_explicit(&q->n, memory_order_relaxed) >= q->capacity;
}

void srv_queue_stop(struct srv_queue *q) {
  if (!q)
    return;
  pthread_mutex_lock(&q->mutex);
  q->stopping = true;
  while (q->idle)
    queue_wake(q);
  pthread_mutex_unlock(&q->mutex);
  for (unsigned i = 0; i < q->n_threads; i++) {
    pthread_join(q->threads[i].thread, NULL);
    pthread_cond_destroy(&q->threads[i].work);
  }
  pthread_mutex_destroy(&q->mutex);
  free(q->ring);
  free(q);
}
