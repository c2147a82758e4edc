/* pool.c - threads around one epoll set and a queue of work items; see pool.h. */
#include "server/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/lanes.h"

enum {
  POOL_BATCH = 32, /* sources looked at before the next waiting */
  POOL_WANTED_NS = 100000 /* a look for what is ready took so long: others had the processor */
};

struct srv_pool {
  int epoll; /* what is looked at */
  int bed;   /* where threads sleep: an epoll set of the above, if its alarm is on, and of */
  int help; /* an eventfd: each write to it wakes one thread */
  int end;  /* an eventfd: once written to, all are awake */
  pthread_mutex_t mutex;
  struct srv_lanes *queue;
  unsigned workers; /* at most so many threads run items ... */
  unsigned running; /* ... and so many do */
  unsigned waiting; /* for something to look at */
  int64_t poll_ns;
  _Atomic int64_t pause_ns; /* that the last thread waited */
  _Atomic unsigned awake; /* threads that do not sleep */
  bool stopping;
  unsigned n_threads, started;
  pthread_t threads[];
};

static void pool_write(int eventfd) {
  uint64_t one = 1;
  ssize_t n = write(eventfd, &one, sizeof one);
  (void)n; /* a full counter wakes as well */
}

/* Whether the mutex's holder should wake another thread for what is queued: one that runs items
   takes the next by itself. */
static bool pool_short(const struct srv_pool *p) {
  return srv_lanes_count(p->queue) > 0 && p->running < p->workers && p->waiting > 0;
}

/* Runs an item, if there is one and this thread may. Mutex held, but for the run. */
static bool pool_run(struct srv_pool *p) {
  struct srv_lane_item item;
  if (p->running == p->workers || !srv_lanes_take(p->queue, &item))
    return false;
  p->running++;
  bool more = pool_short(p);
  pthread_mutex_unlock(&p->mutex);
  if (more)
    pool_write(p->help);
  item.run(item.item);
  pthread_mutex_lock(&p->mutex);
  p->running--;
  return true;
}

static int64_t pool_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether something that becomes ready wakes a thread: once, and then this is to be asked again. */
static void pool_alarm(struct srv_pool *p, bool on) {
  struct epoll_event event = {.events = EPOLLONESHOT | (on ? EPOLLIN : 0), .data.ptr = p};
  epoll_ctl(p->bed, EPOLL_CTL_MOD, p->epoll, &event);
}

/* Looks again and again from `began` on, without sleeping, until something is ready, which it
   gives as epoll_wait does, or this is of no more use: it has been long enough, another thread has
   something to do, or others want the processor. Those who sleep are left to. */
static int pool_poll(struct srv_pool *p, struct epoll_event *events, int many, int64_t began) {
  int64_t now = began, before;
  int n = 0;
  pool_alarm(p, false);
  do {
    n = epoll_wait(p->epoll, events, many, 0);
    before = now;
    sched_yield();
    now = pool_now();
  } while (n == 0 && now - began < p->poll_ns && now - before < POOL_WANTED_NS &&
           atomic_load_explicit(&p->awake, memory_order_relaxed) == 1);
  pool_alarm(p, true);
  return n;
}

/* Whether this thread is to poll: where the wait before was so short that it pays. While another is
   awake it might take the processor from that one. */
static bool pool_polls(struct srv_pool *p) {
  return atomic_load_explicit(&p->pause_ns, memory_order_relaxed) < p->poll_ns &&
         atomic_load_explicit(&p->awake, memory_order_relaxed) == 1;
}

/* Until something is ready, or the thread is wanted for something else. */
static int pool_sleep(struct srv_pool *p, struct epoll_event *events, int many) {
  struct epoll_event why;
  atomic_fetch_sub_explicit(&p->awake, 1, memory_order_relaxed);
  int n = epoll_wait(p->bed, &why, 1, -1);
  atomic_fetch_add_explicit(&p->awake, 1, memory_order_relaxed);
  if (n != 1 || why.data.ptr != p)
    return 0;
  n = epoll_wait(p->epoll, events, many, 0);
  pool_alarm(p, true);
  return n;
}

/* What is ready, as epoll_wait gives it. */
static int pool_wait(struct srv_pool *p, struct epoll_event *events, int many) {
  int n = epoll_wait(p->epoll, events, many, 0);
  if (n > 0)
    return n;
  int64_t began = pool_now();
  if (pool_polls(p))
    n = pool_poll(p, events, many, began);
  if (n == 0)
    n = pool_sleep(p, events, many);
  atomic_store_explicit(&p->pause_ns, pool_now() - began, memory_order_relaxed);
  return n;
}

/* Waits, and has looked at what is ready: one source, so that others are left to other threads, but
   many where this thread alone is left to look. */
static void pool_look(struct srv_pool *p, int many) {
  struct epoll_event events[POOL_BATCH];
  int n = pool_wait(p, events, many);
  for (int i = 0; i < n; i++) {
    struct srv_source *source = events[i].data.ptr;
    while (atomic_load_explicit(&source->asking, memory_order_acquire))
      sched_yield(); /* that thread is about to return, and touches it until then */
    source->look(source->who);
  }
}

static void *pool_work(void *arg) {
  struct srv_pool *p = arg;
  pthread_mutex_lock(&p->mutex);
  for (;;) {
    if (pool_run(p))
      continue;
    if (p->stopping)
      break;
    int many = p->running == p->workers ? POOL_BATCH : 1;
    p->waiting++;
    pthread_mutex_unlock(&p->mutex);
    pool_look(p, many);
    pthread_mutex_lock(&p->mutex);
    p->waiting--;
  }
  pthread_mutex_unlock(&p->mutex);
  return NULL;
}

static bool pool_prepare(struct srv_pool *p) {
  struct epoll_event help = {.events = EPOLLIN | EPOLLET}, end = {.events = EPOLLIN};
  struct epoll_event alarm = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = p};
  p->epoll = epoll_create1(EPOLL_CLOEXEC);
  p->bed = epoll_create1(EPOLL_CLOEXEC);
  p->help = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  p->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return p->queue && p->epoll >= 0 && p->bed >= 0 && p->help >= 0 && p->end >= 0 &&
         epoll_ctl(p->bed, EPOLL_CTL_ADD, p->help, &help) == 0 &&
         epoll_ctl(p->bed, EPOLL_CTL_ADD, p->end, &end) == 0 &&
         epoll_ctl(p->bed, EPOLL_CTL_ADD, p->epoll, &alarm) == 0;
}

struct srv_pool *srv_pool_new(unsigned workers, unsigned watchers, size_t capacity,
                              unsigned poll_us) {
  unsigned n = workers + watchers;
  struct srv_pool *p = calloc(1, sizeof *p + n * sizeof *p->threads);
  if (!p)
    return NULL;
  p->queue = srv_lanes_new(capacity);
  p->workers = workers;
  p->n_threads = n;
  p->poll_ns = (int64_t)poll_us * 1000;
  p->awake = n;
  pthread_mutex_init(&p->mutex, NULL);
  if (pool_prepare(p))
    return p;
  srv_pool_free(p);
  return NULL;
}

bool srv_pool_start(struct srv_pool *p) {
  while (p->started < p->n_threads &&
         pthread_create(&p->threads[p->started], NULL, pool_work, p) == 0)
    p->started++;
  return p->started == p->n_threads;
}

static bool pool_control(struct srv_pool *p, int what, struct srv_source *source,
                         enum srv_ready ready) {
  uint32_t in = ready & SRV_READABLE ? EPOLLIN : 0, out = ready & SRV_WRITABLE ? EPOLLOUT : 0;
  struct epoll_event event = {.events = EPOLLONESHOT | in | out, .data.ptr = source};
  atomic_store_explicit(&source->asking, true, memory_order_relaxed);
  bool done = epoll_ctl(p->epoll, what, source->fd, &event) == 0;
  atomic_store_explicit(&source->asking, false, memory_order_release);
  return done;
}

bool srv_pool_watch(struct srv_pool *p, struct srv_source *source, enum srv_ready what) {
  return pool_control(p, EPOLL_CTL_ADD, source, what);
}

void srv_pool_await(struct srv_pool *p, struct srv_source *source, enum srv_ready what) {
  pool_control(p, EPOLL_CTL_MOD, source, what);
}

void srv_pool_forget(struct srv_pool *p, const struct srv_source *source) {
  epoll_ctl(p->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

bool srv_pool_add(struct srv_pool *p, unsigned lane, void (*run)(void *item), void *item) {
  pthread_mutex_lock(&p->mutex);
  bool fits =
      !p->stopping && srv_lanes_add(p->queue, lane, (struct srv_lane_item){run, item});
  pthread_mutex_unlock(&p->mutex);
  return fits;
}

bool srv_pool_full(struct srv_pool *p, unsigned lane) {
  return srv_lanes_full(p->queue, lane);
}

void srv_pool_stop(struct srv_pool *p) {
  if (!p)
    return;
  pthread_mutex_lock(&p->mutex);
  p->stopping = true;
  pthread_mutex_unlock(&p->mutex);
  pool_write(p->end);
  while (p->started > 0)
    pthread_join(p->threads[--p->started], NULL);
}

void srv_pool_free(struct srv_pool *p) {
  if (!p)
    return;
  const int all[] = {p->bed, p->epoll, p->help, p->end};
  for (int i = 0; i < 4; i++)
    if (all[i] >= 0)
      close(all[i]);
  pthread_mutex_destroy(&p->mutex);
  srv_lanes_free(p->queue);
  free(p);
}
