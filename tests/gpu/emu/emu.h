/* emu.h - what tests of the emulated device set and look at; the module exports the functions. */
#ifndef EMU_H
#define EMU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the n-th call from now that can fail fail, once: allocations, copies, launches; 0: none. */
void emu_fail_at(uint64_t n);
/* Such calls so far. */
uint64_t emu_calls(void);
/* Makes launches wait until they may go on. */
void emu_hold(int hold);
/* Bytes of device memory there are, and are in use; blocks of both memories. */
void emu_memory(size_t bytes);
size_t emu_used(void);
size_t emu_blocks(void);
/* Devices there are; 1 at first. */
void emu_devices(int n);

#ifdef __cplusplus
}
#endif

#endif
