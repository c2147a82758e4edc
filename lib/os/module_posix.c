/* module_posix.c - see module.h. */
#include "os/module.h"

#include <dlfcn.h>
#include <string.h>

VDB_INTERNAL int vdb_module_load(const char *path, const char *symbol, void (**function)(void),
                                 vecdb_error *err) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  void *at = library ? dlsym(library, symbol) : NULL;
  if (!at) {
    const char *why = dlerror();
    int rc = vdb_fail(err, VECDB_ERR_UNSUPPORTED, "device module %.100s: %.300s", path,
                      why ? why : "it has no table");
    if (library)
      dlclose(library);
    return rc;
  }
  memcpy(function, &at, sizeof at); /* ISO C has no cast from an object to a function */
  return VECDB_OK;
}
