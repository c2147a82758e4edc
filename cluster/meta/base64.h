/* base64.h - bytes as text by RFC 4648, with padding; reading is strict (one text for any bytes).
 */
#ifndef CLUSTER_META_BASE64_H
#define CLUSTER_META_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* How many characters n bytes take. */
size_t base64_length(size_t n);
/* Writes base64_length(n) characters, no NUL. */
void base64_write(const void *data, size_t n, char *out);
/* Writes at most n / 4 * 3 bytes. False: not base64. `out` may be `text`. */
bool base64_read(const char *text, size_t n, void *out, size_t *n_out);

#endif
