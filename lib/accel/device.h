/*
 * device.h - the device of a database, and the rows that are on it. Rows of a segment are copied to
 * the device by the first search that wants them there, which waits for it, and leave it with their
 * segment, or when others need the room and they have not been asked for in a while.
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

/* Opens what `name` says: NULL or "cpu" none (*out is NULL), "auto" the first device there is or
   none, "gpu" the first, "gpu:N" that one. `module`: the library to load, NULL: libvecdb_gpu.so.
   `limit`: bytes of the device's memory for rows, 0: nine tenths of what is free. Errors: OPTION
   for another name; UNSUPPORTED when there is no module or no such device (not of "auto");
   NO_MEMORY. */
VDB_INTERNAL int vdb_device_open(struct vdb_env *env, const char *name, const char *module,
                                 uint64_t limit, struct vdb_device **out, vecdb_error *err);
VDB_INTERNAL void vdb_device_close(struct vdb_device *device);

/* The rows of `owner` and field, to be given back; NULL: they are not there and cannot be now.
   `owner` is any address that stays the same until vdb_device_forget. Any thread; one of those that
   ask for the same rows at first copies them, the others get NULL meanwhile. */
VDB_INTERNAL struct vdb_device_set *vdb_device_take(struct vdb_device *device, const void *owner,
                                                    uint32_t field,
                                                    const struct vdb_accel_rows *rows);
VDB_INTERNAL void vdb_device_give(struct vdb_device *device, struct vdb_device_set *set);
/* Frees the rows of an owner; none of them is taken. */
VDB_INTERNAL void vdb_device_forget(struct vdb_device *device, const void *owner);

/* Ask as accel.h says; false: the device could not. */
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
};
/* False: there is no device. */
VDB_INTERNAL bool vdb_device_look(struct vdb_device *device, struct vdb_device_state *out);

#endif
