/* vecfile.h - files of vectors: .npy, .fvecs and .bvecs, read row by row. */
#ifndef SHELL_VECFILE_H
#define SHELL_VECFILE_H

#include <stddef.h>
#include <stdint.h>

#include "vecdb.h"

enum vecfile_element { /* of a file */
                       VECFILE_F16,
                       VECFILE_F32,
                       VECFILE_F64,
                       VECFILE_I8,
                       VECFILE_U8,
                       VECFILE_I32,
                       VECFILE_I64
};

struct vecfile {
  int fd;
  const char *path; /* borrowed */
  enum vecfile_element element;
  uint64_t rows;
  uint32_t dim;
  uint64_t begin; /* of the first row */
  uint64_t pitch; /* bytes from row to row */
  uint32_t skip;  /* of these, before the elements: the dimension in .fvecs and .bvecs */
};

/*
 * Opens a file; the kind is that of its name. An .npy file is an array of rows and elements, not in
 * Fortran's order; one of a single axis is rows of one element. The sizes of the header are held
 * against that of the file before anything is allocated. Errors: NOT_FOUND, IO; CORRUPT for a file
 * that is cut or no such file; UNSUPPORTED for an element type that cannot be read; LIMIT.
 */
int vecfile_open(const char *path, struct vecfile *out, vecdb_error *error);
void vecfile_close(struct vecfile *file);

/*
 * Reads n rows from row `first` on as vectors of a field's type, packed into `out`. The dimension
 * has been compared. Whole numbers outside of an int8 vector are RANGE; binary vectors are given as
 * bytes.
 */
int vecfile_read(struct vecfile *file, uint64_t first, size_t n, int32_t type, void *out,
                 vecdb_error *error);
/* DIMENSION or TYPE unless the rows are such vectors. */
int vecfile_suits(const struct vecfile *file, const vecdb_field *field, vecdb_error *error);

#endif
