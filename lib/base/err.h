/*
 * err.h - how errors travel. A function that can fail returns a vecdb_status as int and takes the
 * caller's `vecdb_error *err`, never NULL inside the library. The place that finds the fault calls
 * vdb_fail once; everybody above forwards the code with VDB_TRY.
 */
#ifndef VDB_ERR_H
#define VDB_ERR_H

#include "base.h"

/* Fills err with code and message (row, position, field: none) and returns code. */
VDB_INTERNAL int vdb_fail(vecdb_error *err, int code, const char *format, ...) VDB_PRINTF(3, 4);
/* As vdb_fail, for row `row` of a batch and field `field` (NULL: none). */
VDB_INTERNAL int vdb_fail_at(vecdb_error *err, int code, int64_t row, const char *field,
                             const char *format, ...) VDB_PRINTF(5, 6);
/* As vdb_fail, at byte `position` of a filter text or file. */
VDB_INTERNAL int vdb_fail_pos(vecdb_error *err, int code, int64_t position, const char *format, ...)
    VDB_PRINTF(4, 5);
/* Turns an errno value into a code (ENOSPC and EDQUOT: DISK_FULL, ENOMEM: NO_MEMORY, EBUSY: BUSY,
   EBADMSG: CORRUPT, else IO) with the message "what path: reason". */
VDB_INTERNAL int vdb_fail_os(vecdb_error *err, int os_code, const char *what, const char *path);
/* VECDB_ERR_NO_MEMORY with the standard message. */
VDB_INTERNAL int vdb_fail_memory(vecdb_error *err);

/* Returns from the calling function when `call` does not give VECDB_OK. */
#define VDB_TRY(call)                  \
  do {                                 \
    int vdb_try_rc = (call);           \
    if (VDB_UNLIKELY(vdb_try_rc != 0)) \
      return vdb_try_rc;               \
  } while (0)

#endif
