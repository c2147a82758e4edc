/*
 * device.h - the device of a database, and the rows that are on it. Rows of a segment are copied to
 * the device when the first search wants them there, and leave it with their segment, or when
 * others need the room and they have not been asked for in a while. A thread copies them, and the
 * processor searches meanwhile; without such a thread the search that wants them does, and waits.
 *
 * What goes wrong with a device is counted, logged the first time, answered by the processor: no
 * error of it reaches a search.
 */
#ifndef VDB_DEVICE_H
#define VDB_DEVICE_H

#include "accel/accel.h"
#include "os/env.h"

struct vdb_device;     /* NULL where a function takes one: none */
struct vdb_device_set; /* rows on it */

struct vdb_device_options {
  const char *name;   /* NULL or "cpu": none, "auto": the first there is or none, "gpu": the first,
                         "gpu:N": that one */
  const char *module; /* the library to load, NULL: libvecdb_gpu.so */
  uint64_t limit;     /* bytes of the device's memory for rows, 0: nine tenths of what is free */
  bool background;    /* rows may be copied by a thread */
};
/* Opens the device; *out is NULL where there is to be none. Errors: OPTION for another name;
   UNSUPPORTED when there is no module or no such device (not of "auto"); NO_MEMORY. */
VDB_INTERNAL int vdb_device_open(struct vdb_env *env, const struct vdb_device_options *options,
                                 struct vdb_device **out, vecdb_error *err);
VDB_INTERNAL void vdb_device_close(struct vdb_device *device);

/* The rows of `owner` and field, to be given back; NULL: they are not there, or not yet, or cannot
   be now. `owner` is any address that stays the same until vdb_device_forget, as does all that
   `rows` points to but rows->lists itself. Any thread. */
VDB_INTERNAL struct vdb_device_set *vdb_device_take(struct vdb_device *device, const void *owner,
                                                    uint32_t field,
                                                    const struct vdb_accel_rows *rows);
VDB_INTERNAL void vdb_device_give(struct vdb_device *device, struct vdb_device_set *set);
/* Frees the rows of an owner, none of which is taken; waits while they are copied. */
VDB_INTERNAL void vdb_device_forget(struct vdb_device *device, const void *owner);

/* Ask as accel.h says, scans and walks of few queries together with those of other threads
   (together.h); false: the device could not. */
VDB_INTERNAL bool vdb_device_scan(struct vdb_device *device, struct vdb_device_set *set,
                                  const struct vdb_accel_ask *ask);
VDB_INTERNAL bool vdb_device_walk(struct vdb_device *device, struct vdb_device_set *set,
                                  const struct vdb_accel_ask *ask);

/* What it has done. */
struct vdb_device_state {
  char name[128];
  uint64_t limit;
  uint64_t bytes;    /* of rows on it */
  uint64_t sets;
  uint64_t queries;  /* answered */
  uint64_t evicted;  /* sets */
  uint64_t failures; /* of calls of the module */
  uint64_t busy_ns;  /* in them, summed over callers */
  uint64_t waiting;  /* questions, for others before them */
  uint64_t together; /* questions that were answered with others */
};
/* False: there is no device. */
VDB_INTERNAL bool vdb_device_look(struct vdb_device *device, struct vdb_device_state *out);

#endif
