/*
 * secure_file.h - small files that say who may do what: read whole, and only when nobody else could
 * have written them (or, where they hold secrets, read them).
 */
#ifndef SRV_SECURE_FILE_H
#define SRV_SECURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { SRV_SECURE_FILE = 1024 * 1024 }; /* bytes of one, at most */

/* The text, NUL-terminated and without a NUL in it, to be freed. NULL with a sentence in `error`
   (SRV_CONFIG_ERROR bytes). */
char *srv_secure_file(const char *path, bool secret, size_t *n, char *error);

/* What tells that a file has changed; of one that is not there, zeros. */
struct srv_file_stamp {
  uint64_t inode;
  int64_t size, seconds, nanoseconds;
};
void srv_file_stamp(const char *path, struct srv_file_stamp *out);

/* Reads a text of [sections] with key = value, and lines that begin with ; or # for people. `take`
   returns false, with a sentence in `error`, for what is wrong: that ends the reading, and the line
   is named. */
typedef bool srv_ini_take(void *user, const char *section, const char *key, const char *value,
                          char *error);
bool srv_ini_read(const char *path, const char *text, srv_ini_take *take, void *user, char *error);

#endif
