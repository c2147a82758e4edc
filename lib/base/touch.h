/* touch.h - reading mapped memory for nothing but that it is there afterwards. */
#ifndef VDB_TOUCH_H
#define VDB_TOUCH_H

#include "base.h"

enum { VDB_TOUCH_STEP = 4096 }; /* no page is smaller */

VDB_INLINE void vdb_touch(const void *data, size_t n) {
  const volatile uint8_t *bytes = data;
  for (size_t i = 0; i < n; i += VDB_TOUCH_STEP)
    (void)bytes[i];
  if (n > 0)
    (void)bytes[n - 1];
}

#endif
