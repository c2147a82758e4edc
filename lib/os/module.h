/* module.h - shared libraries loaded at run time. Only module_posix.c calls dlopen. */
#ifndef VDB_MODULE_H
#define VDB_MODULE_H

#include "base/err.h"

/* Loads the library at `path`, looked for as the system does if it has no slash, and its function
   `symbol`. It stays loaded, as drivers do not like to go. Errors: UNSUPPORTED, saying what the
   system says. */
VDB_INTERNAL int vdb_module_load(const char *path, const char *symbol, void (**function)(void),
                                 vecdb_error *err);

#endif
