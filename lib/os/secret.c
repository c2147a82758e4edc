/* secret.c - memory for keys: pages of their own, that core dumps leave out; see crypt.h. */
#include <string.h>
#include <sys/mman.h>

#include "os/crypt.h"

VDB_INTERNAL void vdb_wipe(void *secret, size_t n) { explicit_bzero(secret, n); }

VDB_INTERNAL void *vdb_secret_new(size_t n) {
  void *pages = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return NULL;
#ifdef MADV_DONTDUMP
  madvise(pages, n, MADV_DONTDUMP); /* where it cannot be had, a dump is the host's to guard */
#endif
  return pages;
}

VDB_INTERNAL void vdb_secret_free(void *secret, size_t n) {
  if (!secret)
    return;
  vdb_wipe(secret, n);
  munmap(secret, n);
}
