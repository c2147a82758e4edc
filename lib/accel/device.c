/* device.c - see device.h. One mutex, held for a few instructions; never while rows are copied or
   compared. One thread copies, begun when rows are first wanted. */
#include "accel/device.h"

#include <stdio.h>
#include <stdlib.h>

#include "accel/together.h"
#include "base/check.h"
#include "os/module.h"
#include "os/thread.h"

#define DEVICE_MODULE "libvecdb_gpu.so"

/* A set is idle when so many others were taken since, and so many times as many as there are. */
enum { DEVICE_IDLE = 16, DEVICE_IDLE_TIMES = 4 };

/* What becomes of the rows of an owner and field. */
enum device_stage {
  DEVICE_WANTED, /* the thread that copies will */
  DEVICE_COPYING,
  DEVICE_READY,
  DEVICE_UNFIT /* not for this device: it is not tried again */
};

struct vdb_device_set {
  struct vdb_device_set *next;
  const void *owner;
  struct vdb_accel_set *rows; /* READY */
  uint64_t bytes;
  uint64_t used; /* when, by the device's counter */
  uint32_t field;
  uint32_t takers;
  struct vdb_together group; /* of its takers */
  size_t query_bytes;
  enum device_stage stage;
  struct vdb_accel_rows from;    /* WANTED, COPYING: what they point to stays the owner's */
  struct vdb_accel_lists lists;  /* of these, if there are any */
};

struct vdb_device {
  struct vdb_env *env;
  const struct vdb_accel_ops *ops;
  struct vdb_mutex mutex; /* of all that follows */
  struct vdb_device_set *sets;
  uint64_t uses;
  struct vdb_device_state state;
  uint32_t number;
  bool told; /* the log of a failure */
  bool background; /* rows are copied by the thread */
  bool begun;      /* it has */
  bool stop;
  struct vdb_thread thread;
  struct vdb_cond wanted; /* rows, or its end */
  struct vdb_cond copied; /* rows, or they could not be */
  struct vdb_cond answered; /* questions of a group */
};

/* ---- Opening --------------------------------------------------------------------------------- */

/* The number in "gpu" or "gpu:N"; -1 if it is neither. */
static int64_t device_number(const char *name) {
  if (strcmp(name, "gpu") == 0)
    return 0;
  if (strncmp(name, "gpu:", 4) != 0 || name[4] < '0' || name[4] > '9')
    return -1;
  char *end;
  unsigned long number = strtoul(name + 4, &end, 10);
  return *end == '\0' && number < 1024 ? (int64_t)number : -1;
}

static int device_find(struct vdb_device *d, const char *module, uint64_t limit, vecdb_error *err) {
  void (*function)(void) = NULL;
  struct vdb_accel_why why = {""};
  struct vdb_accel_device about;
  VDB_TRY(vdb_module_load(module ? module : DEVICE_MODULE, VDB_ACCEL_SYMBOL, &function, err));
  d->ops = ((const struct vdb_accel_ops *(*)(void))function)();
  if (d->ops->version != VDB_ACCEL_VERSION)
    return vdb_fail(err, VECDB_ERR_UNSUPPORTED, "the device module has version %u, not %d",
                    d->ops->version, VDB_ACCEL_VERSION);
  if (d->ops->devices() <= d->number)
    return vdb_fail(err, VECDB_ERR_UNSUPPORTED, "there is no device gpu:%u", d->number);
  if (d->ops->describe(d->number, &about, &why) != VDB_ACCEL_OK)
    return vdb_fail(err, VECDB_ERR_UNSUPPORTED, "gpu:%u: %s", d->number, why.text);
  memcpy(d->state.name, about.name, sizeof d->state.name);
  d->state.limit = limit ? limit : about.free / 10 * 9;
  return VECDB_OK;
}

/* 0 or an errno value. */
static int device_init(struct vdb_device *d) {
  int os = vdb_mutex_init(&d->mutex);
  if (os != 0)
    return os;
  os = vdb_cond_init(&d->wanted);
  if (os != 0)
    goto no_wanted;
  os = vdb_cond_init(&d->copied);
  if (os != 0)
    goto no_copied;
  os = vdb_cond_init(&d->answered);
  if (os == 0)
    return 0;
  vdb_cond_destroy(&d->copied);
no_copied:
  vdb_cond_destroy(&d->wanted);
no_wanted:
  vdb_mutex_destroy(&d->mutex);
  return os;
}

VDB_INTERNAL int vdb_device_open(struct vdb_env *env, const struct vdb_device_options *options,
                                 struct vdb_device **out, vecdb_error *err) {
  const char *name = options->name;
  *out = NULL;
  if (!name || strcmp(name, "cpu") == 0)
    return VECDB_OK;
  bool automatic = strcmp(name, "auto") == 0;
  int64_t number = automatic ? 0 : device_number(name);
  if (number < 0)
    return vdb_fail(err, VECDB_ERR_OPTION, "device is \"%.40s\": auto, cpu, gpu or gpu:N", name);
  struct vdb_device *d = vdb_alloc_zero(&env->mem, sizeof *d);
  if (!d)
    return vdb_fail_memory(err);
  d->env = env;
  d->number = (uint32_t)number;
  d->background = options->background;
  int rc = device_find(d, options->module, options->limit, err);
  int os = rc ? 0 : device_init(d);
  if (os != 0)
    rc = vdb_fail_os(err, os, "make", "mutex");
  if (rc == VECDB_OK) {
    *out = d;
    return VECDB_OK;
  }
  vdb_free(&env->mem, d);
  if (!automatic || rc != VECDB_ERR_UNSUPPORTED)
    return rc;
  vdb_log(env, VECDB_LOG_INFO, "no device: %s", err->message);
  *err = (vecdb_error){0};
  return VECDB_OK;
}

VDB_INTERNAL void vdb_device_close(struct vdb_device *d) {
  if (!d)
    return;
  vdb_assert(!d->sets);
  if (d->begun) {
    vdb_mutex_lock(&d->mutex);
    d->stop = true;
    vdb_cond_signal(&d->wanted);
    vdb_mutex_unlock(&d->mutex);
    vdb_thread_join(&d->thread);
  }
  vdb_cond_destroy(&d->answered);
  vdb_cond_destroy(&d->copied);
  vdb_cond_destroy(&d->wanted);
  vdb_mutex_destroy(&d->mutex);
  vdb_free(&d->env->mem, d);
}

VDB_INTERNAL bool vdb_device_look(struct vdb_device *d, struct vdb_device_state *out) {
  if (!d)
    return false;
  vdb_mutex_lock(&d->mutex);
  *out = d->state;
  vdb_mutex_unlock(&d->mutex);
  return true;
}

/* ---- Rows on the device ---------------------------------------------------------------------- */

/* With the mutex. */
static struct vdb_device_set *device_known(struct vdb_device *d, const void *owner,
                                           uint32_t field) {
  struct vdb_device_set *s = d->sets;
  while (s && (s->owner != owner || s->field != field))
    s = s->next;
  return s;
}

/* Whether a set may make room: it has not been asked for while the others were several times. Where
   all sets are in use by turns, the one that is longest unused is the next to be asked for. */
static bool device_idle(const struct vdb_device *d, const struct vdb_device_set *s) {
  return s->stage == DEVICE_READY && s->takers == 0 &&
         d->uses - s->used > DEVICE_IDLE + DEVICE_IDLE_TIMES * d->state.sets;
}

/* Takes idle sets out of the list, longest unused first, until `bytes` more would be below the
   limit; none if that cannot be. Their bytes count until they are dropped. With the mutex. */
static struct vdb_device_set *device_evict(struct vdb_device *d, uint64_t bytes) {
  struct vdb_device_set *out = NULL;
  uint64_t idle = 0, freed = 0;
  for (struct vdb_device_set *s = d->sets; s; s = s->next)
    idle += device_idle(d, s) ? s->bytes : 0;
  if (bytes > d->state.limit || d->state.bytes - idle > d->state.limit - bytes)
    return NULL;
  while (d->state.bytes - freed > d->state.limit - bytes) {
    struct vdb_device_set **oldest = NULL;
    for (struct vdb_device_set **at = &d->sets; *at; at = &(*at)->next)
      if (device_idle(d, *at) && (!oldest || (*at)->used < (*oldest)->used))
        oldest = at;
    struct vdb_device_set *s = *oldest;
    *oldest = s->next;
    s->next = out;
    out = s;
    freed += s->bytes;
    d->state.sets--;
    d->state.evicted++;
  }
  return out;
}

/* Frees sets that are in no list, and then their room. Without the mutex. */
static void device_drop(struct vdb_device *d, struct vdb_device_set *sets) {
  uint64_t freed = 0;
  while (sets) {
    struct vdb_device_set *next = sets->next;
    if (sets->rows)
      d->ops->drop(sets->rows);
    freed += sets->bytes;
    vdb_free(&d->env->mem, sets);
    sets = next;
  }
  vdb_mutex_lock(&d->mutex);
  d->state.bytes -= freed;
  vdb_mutex_unlock(&d->mutex);
}

/* A new entry, its room reserved, to be copied by the caller; NULL: there is none. With the
   mutex. */
static struct vdb_device_set *device_reserve(struct vdb_device *d, const void *owner,
                                             uint32_t field, uint64_t bytes) {
  if (bytes > d->state.limit || d->state.bytes > d->state.limit - bytes)
    return NULL;
  struct vdb_device_set *s = vdb_alloc_zero(&d->env->mem, sizeof *s);
  if (!s)
    return NULL;
  s->owner = owner;
  s->field = field;
  s->bytes = bytes;
  s->takers = 1;
  s->stage = DEVICE_COPYING;
  s->used = d->uses;
  s->next = d->sets;
  d->sets = s;
  d->state.bytes += bytes;
  d->state.sets++;
  return s;
}

/* Takes an entry out whose rows could not be copied; it stays, without room, where they are not for
   this device whenever it is tried. With the mutex. */
static void device_unreserve(struct vdb_device *d, struct vdb_device_set *s, bool unfit) {
  d->state.failures++;
  d->state.bytes -= s->bytes;
  d->state.sets--;
  s->bytes = 0;
  s->takers = 0;
  s->stage = DEVICE_UNFIT;
  for (struct vdb_device_set **at = &d->sets; !unfit && *at; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      vdb_free(&d->env->mem, s);
      return;
    }
}

/* Copies the rows of an entry that is COPYING. Without the mutex. */
static struct vdb_device_set *device_copy(struct vdb_device *d, struct vdb_device_set *s,
                                          const struct vdb_accel_rows *rows) {
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *copied = NULL;
  uint64_t began = vdb_now_ns(d->env);
  int status = d->ops->load(d->number, rows, &copied, &why);
  vdb_mutex_lock(&d->mutex);
  d->state.busy_ns += vdb_now_ns(d->env) - began;
  s->rows = copied;
  if (status == VDB_ACCEL_OK)
    s->stage = DEVICE_READY;
  else
    device_unreserve(d, s, status == VDB_ACCEL_UNFIT);
  bool tell = status != VDB_ACCEL_OK && !d->told;
  d->told = d->told || tell;
  vdb_cond_broadcast(&d->copied);
  vdb_mutex_unlock(&d->mutex);
  if (tell)
    vdb_log(d->env, VECDB_LOG_WARN, "the processor searches rows: %s", why.text);
  return status == VDB_ACCEL_OK ? s : NULL;
}

static struct vdb_device_set *device_next_wanted(struct vdb_device *d) {
  struct vdb_device_set *s = d->sets;
  while (s && s->stage != DEVICE_WANTED)
    s = s->next;
  return s;
}

/* The thread that copies. */
static void device_copies(void *arg) {
  struct vdb_device *d = arg;
  vdb_mutex_lock(&d->mutex);
  while (!d->stop) {
    struct vdb_device_set *s = device_next_wanted(d);
    if (!s) {
      vdb_cond_wait(&d->wanted, &d->mutex);
      continue;
    }
    s->stage = DEVICE_COPYING;
    vdb_mutex_unlock(&d->mutex);
    device_copy(d, s, &s->from);
    vdb_mutex_lock(&d->mutex);
  }
  vdb_mutex_unlock(&d->mutex);
}

/* Leaves a new entry to the thread; false: there is none, the caller is to copy. With the mutex. */
static bool device_leave(struct vdb_device *d, struct vdb_device_set *s,
                         const struct vdb_accel_rows *rows) {
  if (!d->background)
    return false;
  d->begun = d->begun || vdb_thread_start(&d->thread, device_copies, d) == 0;
  if (!d->begun)
    return false;
  s->from = *rows;
  if (rows->lists) {
    s->lists = *rows->lists;
    s->from.lists = &s->lists;
  }
  s->takers = 0;
  s->stage = DEVICE_WANTED;
  vdb_cond_signal(&d->wanted);
  return true;
}

/* The set if it is known, ready or not; taken if it is ready. With the mutex. */
static struct vdb_device_set *device_find_ready(struct vdb_device *d, const void *owner,
                                                uint32_t field) {
  struct vdb_device_set *s = device_known(d, owner, field);
  if (s && s->stage == DEVICE_READY) {
    s->takers++;
    s->used = d->uses;
  }
  return s;
}

VDB_INTERNAL struct vdb_device_set *vdb_device_take(struct vdb_device *d, const void *owner,
                                                    uint32_t field,
                                                    const struct vdb_accel_rows *rows) {
  vdb_mutex_lock(&d->mutex);
  d->uses++;
  struct vdb_device_set *s = device_find_ready(d, owner, field);
  uint64_t bytes = s ? 0 : d->ops->need(rows);
  struct vdb_device_set *idle = s ? NULL : device_evict(d, bytes);
  vdb_mutex_unlock(&d->mutex);
  if (s)
    return s->stage == DEVICE_READY ? s : NULL;
  device_drop(d, idle);
  vdb_mutex_lock(&d->mutex);
  s = device_find_ready(d, owner, field); /* another thread may have begun meanwhile */
  bool ready = s && s->stage == DEVICE_READY, fresh = !s;
  if (fresh)
    s = device_reserve(d, owner, field, bytes);
  if (fresh && s)
    s->query_bytes = rows->elem == VDB_ACCEL_BITS ? (rows->dim + 31) / 32 * sizeof(uint32_t)
                                                  : rows->dim * sizeof(float);
  bool copy = fresh && s && !device_leave(d, s, rows);
  vdb_mutex_unlock(&d->mutex);
  return copy ? device_copy(d, s, rows) : ready ? s : NULL;
}

VDB_INTERNAL void vdb_device_give(struct vdb_device *d, struct vdb_device_set *s) {
  vdb_mutex_lock(&d->mutex);
  vdb_assert(s->takers > 0);
  s->takers--;
  vdb_mutex_unlock(&d->mutex);
}

/* Waits until no rows of the owner are just being copied by the thread. With the mutex. */
static void device_settle(struct vdb_device *d, const void *owner) {
  for (struct vdb_device_set *s = d->sets; s;) {
    bool wait = s->owner == owner && s->stage == DEVICE_COPYING;
    if (wait)
      vdb_cond_wait(&d->copied, &d->mutex);
    s = wait ? d->sets : s->next;
  }
}

VDB_INTERNAL void vdb_device_forget(struct vdb_device *d, const void *owner) {
  struct vdb_device_set *gone = NULL;
  if (!d)
    return;
  vdb_mutex_lock(&d->mutex);
  device_settle(d, owner);
  for (struct vdb_device_set **at = &d->sets; *at;) {
    struct vdb_device_set *s = *at;
    if (s->owner != owner) {
      at = &s->next;
      continue;
    }
    vdb_assert(s->takers == 0);
    *at = s->next;
    s->next = gone;
    gone = s;
    d->state.sets -= s->stage != DEVICE_UNFIT;
  }
  vdb_mutex_unlock(&d->mutex);
  device_drop(d, gone);
}

/* ---- Questions ------------------------------------------------------------------------------- */

/* False: the device could not. */
static bool device_ask(struct vdb_device *d, const struct vdb_device_set *s,
                       bool walk, const struct vdb_accel_ask *ask) {
  struct vdb_accel_why why = {""};
  uint64_t began = vdb_now_ns(d->env);
  int status = (walk ? d->ops->walk : d->ops->scan)(s->rows, ask, &why);
  vdb_mutex_lock(&d->mutex);
  d->state.busy_ns += vdb_now_ns(d->env) - began;
  d->state.queries += status == VDB_ACCEL_OK ? ask->n : 0;
  d->state.failures += status != VDB_ACCEL_OK;
  bool tell = status != VDB_ACCEL_OK && !d->told;
  d->told = d->told || tell;
  vdb_mutex_unlock(&d->mutex);
  if (tell)
    vdb_log(d->env, VECDB_LOG_WARN, "the device failed, the processor searches: %s", why.text);
  return status == VDB_ACCEL_OK;
}

struct device_caller {
  struct vdb_device *device;
  const struct vdb_device_set *set;
};

static bool device_group_call(void *arg, bool walk, const struct vdb_accel_ask *ask) {
  const struct device_caller *c = arg;
  return device_ask(c->device, c->set, walk, ask);
}

static bool device_group(struct vdb_device *d, struct vdb_device_set *s, bool walk,
                         const struct vdb_accel_ask *ask) {
  struct device_caller caller = {d, s};
  const struct vdb_together_how how = {.mem = &d->env->mem,
                                    .mutex = &d->mutex,
                                    .answered = &d->answered,
                                    .waiting = &d->state.waiting,
                                    .together = &d->state.together,
                                    .query_bytes = s->query_bytes,
                                    .walk = walk,
                                    .call = device_group_call,
                                    .arg = &caller};
  return vdb_together_ask(&s->group, &how, ask);
}

VDB_INTERNAL bool vdb_device_scan(struct vdb_device *device, struct vdb_device_set *set,
                                  const struct vdb_accel_ask *ask) {
  return device_group(device, set, false, ask);
}

VDB_INTERNAL bool vdb_device_walk(struct vdb_device *device, struct vdb_device_set *set,
                                  const struct vdb_accel_ask *ask) {
  return device_group(device, set, true, ask);
}
