/* npy.h - reads the arrays of the measurement data: NumPy .npy files, version 1 or 2, C order, two
   dimensions, of float32, float16, uint8 or int32. */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stddef.h>
#include <stdint.h>

enum npy_type { NPY_F32, NPY_F16, NPY_U8, NPY_I32 };

struct npy {
  enum npy_type type;
  size_t rows;
  size_t columns;
  const void *data; /* mapped; packed rows */
};

/* Maps the file. Prints what is wrong and exits with 1 when it cannot be read. */
struct npy npy_open(const char *path);
/* Row `row` as floats, whatever the type; out has room for npy->columns. */
void npy_floats(const struct npy *npy, size_t row, float *out);

#endif
