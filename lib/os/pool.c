/*
 * pool.c - the pool of threads; see pool.h. A running loop is a record on the stack of its caller,
 * linked into the pool while it wants help. Items are handed out by an atomic counter; joining,
 * leaving and waiting go through the pool's one mutex.
 */
#include "os/pool.h"

#include "base/check.h"

struct pool_loop {
  vdb_par_body body;
  void *arg;
  size_t n;
  _Atomic size_t next; /* the next item to hand out; n or more: none left */
  unsigned limit;      /* workers, the caller among them */
  unsigned joined;     /* worker numbers given out; nobody joins twice, so none is used twice */
  unsigned helpers;    /* pool threads at work on it now */
  struct pool_loop *link;
};

struct vdb_pool {
  struct vdb_mem *mem;
  struct vdb_mutex mutex;    /* over everything below, and `joined`, `helpers`, `link` of loops */
  struct vdb_cond work;      /* a loop came, or the pool ends */
  struct vdb_cond done;      /* some loop lost its last helper */
  struct pool_loop *loops;   /* those that want help */
  bool stop;
  unsigned workers;
  unsigned n_threads;
  struct vdb_thread threads[];
};

/* Does items until none is left. No lock held. */
static void pool_work(struct pool_loop *loop, unsigned worker) {
  for (;;) {
    size_t i = atomic_fetch_add_explicit(&loop->next, 1, memory_order_relaxed);
    if (i >= loop->n)
      return;
    loop->body(loop->arg, i, worker);
  }
}

/* Of the loops with room and items, the one with the fewest workers, or NULL. Mutex held. */
static struct pool_loop *pool_pick(const struct vdb_pool *pool) {
  struct pool_loop *best = NULL;
  for (struct pool_loop *loop = pool->loops; loop; loop = loop->link)
    if (loop->joined < loop->limit && (!best || loop->joined < best->joined) &&
        atomic_load_explicit(&loop->next, memory_order_relaxed) < loop->n)
      best = loop;
  return best;
}

static void pool_thread(void *arg) {
  struct vdb_pool *pool = arg;
  vdb_mutex_lock(&pool->mutex);
  while (!pool->stop) {
    struct pool_loop *loop = pool_pick(pool);
    if (!loop) {
      vdb_cond_wait(&pool->work, &pool->mutex);
      continue;
    }
    unsigned worker = loop->joined++;
    loop->helpers++;
    vdb_mutex_unlock(&pool->mutex);
    pool_work(loop, worker);
    vdb_mutex_lock(&pool->mutex);
    /* From here on the caller may return, and the loop be gone, as soon as the mutex is free. */
    if (--loop->helpers == 0)
      vdb_cond_broadcast(&pool->done);
  }
  vdb_mutex_unlock(&pool->mutex);
}

static void pool_unlink(struct vdb_pool *pool, struct pool_loop *loop) {
  struct pool_loop **at = &pool->loops;
  while (*at != loop)
    at = &(*at)->link;
  *at = loop->link;
}

static void pool_run(const struct vdb_par *par, size_t n, vdb_par_body body, void *arg) {
  struct vdb_pool *pool = par->user;
  if (n <= 1 || par->workers == 1) {
    vdb_par_serial_run(par, n, body, arg);
    return;
  }
  struct pool_loop loop = {.body = body, .arg = arg, .n = n, .limit = par->workers, .joined = 1};
  size_t wanted = vdb_min_size(n, par->workers) - 1;
  vdb_mutex_lock(&pool->mutex);
  loop.link = pool->loops;
  pool->loops = &loop;
  for (size_t i = 0; i < wanted; i++)
    vdb_cond_signal(&pool->work);
  vdb_mutex_unlock(&pool->mutex);

  pool_work(&loop, 0);

  vdb_mutex_lock(&pool->mutex);
  pool_unlink(pool, &loop);
  while (loop.helpers > 0)
    vdb_cond_wait(&pool->done, &pool->mutex);
  vdb_mutex_unlock(&pool->mutex);
}

/* Ends and joins the threads started so far, and frees the pool. */
static void pool_release(struct vdb_pool *pool) {
  vdb_mutex_lock(&pool->mutex);
  vdb_assert(!pool->loops);
  pool->stop = true;
  vdb_cond_broadcast(&pool->work);
  vdb_mutex_unlock(&pool->mutex);
  for (unsigned i = 0; i < pool->n_threads; i++)
    vdb_thread_join(&pool->threads[i]);
  vdb_cond_destroy(&pool->done);
  vdb_cond_destroy(&pool->work);
  vdb_mutex_destroy(&pool->mutex);
  vdb_free(pool->mem, pool);
}

VDB_INTERNAL int vdb_pool_new(struct vdb_env *env, unsigned workers, struct vdb_pool **out,
                              vecdb_error *err) {
  vdb_assert(workers >= 1);
  *out = NULL;
  size_t size = sizeof(struct vdb_pool) + (size_t)(workers - 1) * sizeof(struct vdb_thread);
  struct vdb_pool *pool = vdb_alloc_zero(&env->mem, size);
  if (!pool)
    return vdb_fail_memory(err);
  pool->mem = &env->mem;
  pool->workers = workers;
  int rc = vdb_mutex_init(&pool->mutex);
  if (rc != 0)
    goto fail_mutex;
  rc = vdb_cond_init(&pool->work);
  if (rc != 0)
    goto fail_work;
  rc = vdb_cond_init(&pool->done);
  if (rc != 0)
    goto fail_done;
  while (pool->n_threads < workers - 1) {
    rc = vdb_thread_start(&pool->threads[pool->n_threads], pool_thread, pool);
    if (rc != 0) {
      pool_release(pool);
      return vdb_fail_os(err, rc, "start", "thread");
    }
    pool->n_threads++;
  }
  *out = pool;
  return VECDB_OK;

fail_done:
  vdb_cond_destroy(&pool->work);
fail_work:
  vdb_mutex_destroy(&pool->mutex);
fail_mutex:
  vdb_free(&env->mem, pool);
  return vdb_fail_os(err, rc, "make", "thread pool");
}

VDB_INTERNAL void vdb_pool_free(struct vdb_pool *pool) {
  if (pool)
    pool_release(pool);
}

VDB_INTERNAL struct vdb_par vdb_pool_par(struct vdb_pool *pool, unsigned limit) {
  unsigned workers = limit == 0 ? pool->workers : vdb_min_u32(limit, pool->workers);
  struct vdb_par par = {pool_run, workers, pool};
  return par;
}
