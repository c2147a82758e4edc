/* queue.c - a ring of work items and threads; see queue.h. */
#include "server/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct queue_item {
  void (*run)(void *item);
  void *item;
};

struct srv_queue {
  pthread_mutex_t mutex;
  pthread_cond_t work;
  struct queue_item *ring;
  size_t capacity;
  size_t first;
  _Atomic size_t n; /* changed with the mutex held */
  bool stopping;
  unsigned n_threads;
  pthread_t threads[];
};

static void *queue_work(void *arg) {
  struct srv_queue *q = arg;
  pthread_mutex_lock(&q->mutex);
  for (;;) {
    while (q->n == 0 && !q->stopping)
      pthread_cond_wait(&q->work, &q->mutex);
    if (q->n == 0)
      break;
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

struct srv_queue *srv_queue_start(unsigned threads, size_t capacity) {
  struct srv_queue *q = calloc(1, sizeof *q + threads * sizeof *q->threads);
  if (!q)
    return NULL;
  q->ring = calloc(capacity, sizeof *q->ring);
  q->capacity = capacity;
  pthread_mutex_init(&q->mutex, NULL);
  pthread_cond_init(&q->work, NULL);
  while (q->ring && q->n_threads < threads &&
         pthread_create(&q->threads[q->n_threads], NULL, queue_work, q) == 0)
    q->n_threads++;
  if (q->ring && q->n_threads == threads)
    return q;
  srv_queue_stop(q);
  return NULL;
}

bool srv_queue_add(struct srv_queue *q, void (*run)(void *item), void *item) {
  pthread_mutex_lock(&q->mutex);
  bool fits = q->n < q->capacity && !q->stopping;
  if (fits) {
    q->ring[(q->first + q->n++) % q->capacity] = (struct queue_item){run, item};
    pthread_cond_signal(&q->work);
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
  pthread_cond_broadcast(&q->work);
  pthread_mutex_unlock(&q->mutex);
  for (unsigned i = 0; i < q->n_threads; i++)
    pthread_join(q->threads[i], NULL);
  pthread_cond_destroy(&q->work);
  pthread_mutex_destroy(&q->mutex);
  free(q->ring);
  free(q);
}
