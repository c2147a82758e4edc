/*
 * fuzz_message.c - any bytes as a message between clients and nodes. One that is read is written
 * and read again: both times the bytes are the same. The length in the head is mended first, so
 * that what is behind it is reached.
 */
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The message as its writer has it; false: too large, or no memory. */
static bool message_again(const uint8_t *data, size_t size, struct wire_out *out) {
  struct wire_mem mem = {0};
  struct wire_message m;
  if (wire_message_read(data, size, &mem, &m) != WIRE_OK)
    abort();
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
  wire_mem_free(&mem);
  return out->status == WIRE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = aligned_alloc(WIRE_ALIGN, (size + WIRE_ALIGN) / WIRE_ALIGN * WIRE_ALIGN);
  struct wire_mem mem = {0};
  struct wire_message m;
  if (!copy)
    return 0;
  memcpy(copy, data, size);
  if (size >= 8)
    memcpy(copy + 4, &(uint32_t){(uint32_t)size}, 4);
  if (wire_message_read(copy, size, &mem, &m) == WIRE_OK) {
    struct wire_out once, twice;
    if (message_again(copy, size, &once)) {
      if (!message_again(once.data, once.n, &twice) || once.n != twice.n ||
          memcmp(once.data, twice.data, once.n) != 0)
        abort();
      wire_out_free(&twice);
    }
    wire_out_free(&once);
  }
  wire_mem_free(&mem);
  free(copy);
  return 0;
}
