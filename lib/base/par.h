/*
 * par.h - how layers without threads run loops in parallel: through this function type, handed in
 * by the caller. lib/os/pool.c supplies the parallel one; vdb_par_serial the plain one.
 */
#ifndef VDB_PAR_H
#define VDB_PAR_H

#include "base.h"

/* Does item `i`, on worker `worker` (0 to workers - 1; one item at a time on each worker). */
typedef void (*vdb_par_body)(void *arg, size_t i, unsigned worker);

struct vdb_par {
  /* Calls body for every i in [0, n) and returns when all are done. Writes made by the bodies
     happen before the return. */
  void (*run)(const struct vdb_par *par, size_t n, vdb_par_body body, void *arg);
  unsigned workers; /* at least 1 */
  void *user;
};

VDB_INLINE void vdb_par_serial_run(const struct vdb_par *par, size_t n, vdb_par_body body,
                                   void *arg) {
  (void)par;
  for (size_t i = 0; i < n; i++)
    body(arg, i, 0);
}

VDB_INLINE struct vdb_par vdb_par_serial(void) {
  struct vdb_par par = {vdb_par_serial_run, 1, NULL};
  return par;
}

#endif
