/*
 * base64.h - base64 into bytes, strictly: only the text that encoding those bytes gives is read.
 */
#ifndef SRV_BASE64_H
#define SRV_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The alphabet with - and _, no padding, as tokens have it. `out` has room for n * 3 / 4 bytes, and
 *n_out receives how many there are. */
bool srv_base64url(const char *text, size_t n, uint8_t *out, size_t *n_out);
/* The alphabet with + and /, padded to four with =. */
bool srv_base64(const char *text, size_t n, uint8_t *out, size_t *n_out);

#endif
