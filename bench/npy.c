/* npy.c - reading .npy files; see npy.h. */
#include "npy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vecdb.h"

static const struct {
  const char *descr;
  size_t bytes;
} npy_types[] = {[NPY_F32] = {"'<f4'", 4}, [NPY_F16] = {"'<f2'", 2}, [NPY_U8] = {"'|u1'", 1},
                 [NPY_I32] = {"'<i4'", 4}};

static void npy_fail(const char *path, const char *what) {
  fprintf(stderr, "%s: %s\n", path, what);
  exit(1);
}

/* Reads the header's dictionary: type and shape. */
static void npy_parse(struct npy *npy, const char *path, const char *header) {
  const char *descr = strstr(header, "'descr':");
  const char *shape = strstr(header, "'shape':");
  if (!descr || !shape || !strstr(header, "'fortran_order': False"))
    npy_fail(path, "not a C-order .npy array");
  size_t type = 0;
  size_t n_types = sizeof npy_types / sizeof npy_types[0];
  while (type < n_types && !strstr(descr, npy_types[type].descr))
    type++;
  if (type == n_types)
    npy_fail(path, "the element type is not float32, float16, uint8 or int32");
  npy->type = (enum npy_type)type;
  if (sscanf(shape, "'shape': (%zu, %zu)", &npy->rows, &npy->columns) != 2)
    npy_fail(path, "the array does not have two dimensions");
}

struct npy npy_open(const char *path) {
  struct npy npy = {NPY_F32, 0, 0, NULL};
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 16)
    npy_fail(path, "cannot be read");
  size_t size = (size_t)st.st_size;
  const uint8_t *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (file == MAP_FAILED || memcmp(file, "\x93NUMPY", 6) != 0)
    npy_fail(path, "not a .npy file");
  close(fd);
  size_t start = file[6] >= 2 ? 12 : 10;
  size_t length = file[8] | (size_t)file[9] << 8;
  char header[1024];
  if (length >= sizeof header || start + length > size)
    npy_fail(path, "the header is too long");
  memcpy(header, file + start, length);
  header[length] = '\0';
  npy_parse(&npy, path, header);
  npy.data = file + start + length;
  if ((size - start - length) / npy_types[npy.type].bytes / npy.columns < npy.rows)
    npy_fail(path, "the file is shorter than its header says");
  return npy;
}

void npy_floats(const struct npy *npy, size_t row, float *out) {
  size_t at = row * npy->columns;
  switch (npy->type) {
  case NPY_F32:
    memcpy(out, (const float *)npy->data + at, npy->columns * sizeof *out);
    break;
  case NPY_F16:
    vecdb_from_float16((const uint16_t *)npy->data + at, out, npy->columns);
    break;
  case NPY_U8:
    for (size_t i = 0; i < npy->columns; i++)
      out[i] = ((const uint8_t *)npy->data)[at + i];
    break;
  case NPY_I32:
    for (size_t i = 0; i < npy->columns; i++)
      out[i] = (float)((const int32_t *)npy->data)[at + i];
    break;
  }
}
