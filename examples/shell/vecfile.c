/* vecfile.c - files of vectors: .npy, .fvecs and .bvecs, read row by row. Whoever made a file may
   have been careless or hostile: nothing in it is believed before it was held against the file's
   size. */
#include "vecfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell.h"

#define NPY_MAGIC       "\x93NUMPY"
#define NPY_HEADER_MOST 65536 /* bytes of the description; NumPy's are below 200 */

static const uint32_t element_bytes[] = {2, 4, 8, 1, 1, 4, 8};

static int vecfile_bytes(const struct vecfile *f, void *buf, size_t n, uint64_t offset,
                         vecdb_error *error) {
  char *at = buf;
  while (n) {
    ssize_t got = pread(f->fd, at, n, (off_t)offset);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_os(error, "%s", f->path);
    if (got == 0)
      return fail(error, VECDB_ERR_CORRUPT, "%s ends too early", f->path);
    at += got;
    n -= (size_t)got;
    offset += (uint64_t)got;
  }
  return VECDB_OK;
}

/* Rows, dim and element are set: checks them against the size of the file. */
static int vecfile_sizes(struct vecfile *f, uint64_t size, vecdb_error *error) {
  if (f->dim == 0 || f->dim > VECDB_MAX_DIM)
    return fail(error, VECDB_ERR_LIMIT, "%s: rows of %" PRIu32 " elements; 1 to %d can be read",
                f->path, f->dim, VECDB_MAX_DIM);
  f->pitch = f->skip + (uint64_t)f->dim * element_bytes[f->element];
  if (f->rows > (size - f->begin) / f->pitch)
    return fail(error, VECDB_ERR_CORRUPT,
                "%s has %" PRIu64 " bytes, too few for %" PRIu64 " rows of %" PRIu64, f->path, size,
                f->rows, f->pitch);
  return VECDB_OK;
}

/* ---- .npy ---- */

/* The text behind 'key': in the description, or NULL. */
static const char *npy_find(const char *header, const char *key) {
  const char *at = strstr(header, key);
  if (!at)
    return NULL;
  at += strlen(key);
  at += strspn(at, " ");
  if (*at != ':')
    return NULL;
  return at + 1 + strspn(at + 1, " ");
}

static int npy_element(struct vecfile *f, const char *header, vecdb_error *error) {
  static const struct {
    const char *name;
    enum vecfile_element element;
  } known[] = {{"'<f2'", VECFILE_F16}, {"'<f4'", VECFILE_F32}, {"'<f8'", VECFILE_F64},
               {"'|i1'", VECFILE_I8},  {"'|u1'", VECFILE_U8},  {"'<i4'", VECFILE_I32},
               {"'<i8'", VECFILE_I64}};
  const char *at = npy_find(header, "'descr'");
  if (!at)
    return fail(error, VECDB_ERR_CORRUPT, "%s does not say its element type", f->path);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strncmp(at, known[i].name, strlen(known[i].name)) == 0) {
      f->element = known[i].element;
      return VECDB_OK;
    }
  return fail(error, VECDB_ERR_UNSUPPORTED,
              "%s has elements of type %.*s; <f2 <f4 <f8 |i1 |u1 <i4 <i8 can be read", f->path,
              (int)strcspn(at, ",}"), at);
}

/* The shape: (rows, dim) or (rows,). */
static int npy_shape(struct vecfile *f, const char *header, vecdb_error *error) {
  const char *at = npy_find(header, "'shape'");
  uint64_t axis[2] = {0, 1};
  size_t n = 0;
  if (!at || *at++ != '(')
    return fail(error, VECDB_ERR_CORRUPT, "%s does not say its shape", f->path);
  for (at += strspn(at, " "); isdigit((unsigned char)*at); at += strspn(at, ", ")) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(at, &end, 10);
    if (errno || n == 2)
      break;
    axis[n++] = value;
    at = end;
  }
  if (*at != ')' || !n)
    return fail(error, VECDB_ERR_UNSUPPORTED, "%s: an array of one or two axes is wanted, not %.*s",
                f->path, (int)strcspn(at, "\n}"), at);
  f->rows = axis[0];
  f->dim = axis[1] > UINT32_MAX ? UINT32_MAX : (uint32_t)axis[1];
  return VECDB_OK;
}

static int npy_open(struct vecfile *f, uint64_t size, vecdb_error *error) {
  unsigned char head[12];
  if (size < sizeof head)
    return fail(error, VECDB_ERR_CORRUPT, "%s is too short for an .npy file", f->path);
  int status = vecfile_bytes(f, head, sizeof head, 0, error);
  if (status)
    return status;
  if (memcmp(head, NPY_MAGIC, 6) != 0)
    return fail(error, VECDB_ERR_CORRUPT, "%s is no .npy file", f->path);
  if (head[6] < 1 || head[6] > 3)
    return fail(error, VECDB_ERR_UNSUPPORTED, "%s is of version %d of the .npy format", f->path,
                head[6]);
  uint32_t length = head[8] | (uint32_t)head[9] << 8;
  f->begin = 10;
  if (head[6] > 1) {
    length |= (uint32_t)head[10] << 16 | (uint32_t)head[11] << 24;
    f->begin = 12;
  }
  if (length > NPY_HEADER_MOST || length > size - f->begin)
    return fail(error, VECDB_ERR_CORRUPT, "%s: a header of %" PRIu32 " bytes", f->path, length);
  char *header = mem_new(length + 1, 1);
  status = vecfile_bytes(f, header, length, f->begin, error);
  f->begin += length;
  if (!status)
    status = npy_element(f, header, error);
  const char *order = npy_find(header, "'fortran_order'");
  if (!status && (!order || strncmp(order, "False", 5) != 0))
    status = fail(error, VECDB_ERR_UNSUPPORTED, "%s is in Fortran's order", f->path);
  if (!status)
    status = npy_shape(f, header, error);
  free(header);
  return status ? status : vecfile_sizes(f, size, error);
}

/* ---- .fvecs, .bvecs ---- */

static int xvecs_open(struct vecfile *f, uint64_t size, vecdb_error *error) {
  int32_t dim;
  if (size < sizeof dim)
    return fail(error, VECDB_ERR_CORRUPT, "%s is too short for a vector", f->path);
  int status = vecfile_bytes(f, &dim, sizeof dim, 0, error);
  if (status)
    return status;
  f->skip = sizeof dim;
  f->dim = dim < 0 ? 0 : (uint32_t)dim;
  status = vecfile_sizes(f, size, error); /* with no rows yet */
  if (status)
    return status;
  if (size % f->pitch)
    return fail(error, VECDB_ERR_CORRUPT,
                "%s: %" PRIu64 " bytes are no whole number of rows of %" PRIu64, f->path, size,
                f->pitch);
  f->rows = size / f->pitch;
  return VECDB_OK;
}

int vecfile_open(const char *path, struct vecfile *out, vecdb_error *error) {
  memset(out, 0, sizeof *out);
  out->path = path;
  const char *dot = strrchr(path, '.');
  bool npy = dot && strcasecmp(dot, ".npy") == 0;
  bool fvecs = dot && strcasecmp(dot, ".fvecs") == 0;
  out->fd = -1;
  if (!npy && !fvecs && !(dot && strcasecmp(dot, ".bvecs") == 0))
    return fail(error, VECDB_ERR_UNSUPPORTED, "%s: vectors are read from .npy, .fvecs and .bvecs",
                path);
  out->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (out->fd < 0)
    return fail_os(error, "%s", path);
  struct stat info;
  int status = VECDB_OK;
  if (fstat(out->fd, &info) != 0)
    status = fail_os(error, "%s", path);
  else if (!S_ISREG(info.st_mode))
    status = fail(error, VECDB_ERR_UNSUPPORTED, "%s is no plain file", path);
  out->element = fvecs ? VECFILE_F32 : VECFILE_U8;
  if (!status)
    status = npy ? npy_open(out, (uint64_t)info.st_size, error)
                 : xvecs_open(out, (uint64_t)info.st_size, error);
  if (status)
    vecfile_close(out);
  return status;
}

void vecfile_close(struct vecfile *file) {
  if (file->fd >= 0)
    close(file->fd);
  file->fd = -1;
}

/* ---- Rows ---- */

int vecfile_suits(const struct vecfile *file, const vecdb_field *field, vecdb_error *error) {
  if (field->type < VECDB_FLOAT_VECTOR || field->type == VECDB_SPARSE_VECTOR)
    return fail(error, VECDB_ERR_TYPE, "field '%s' is no vector that a file could fill",
                field->name);
  bool binary = field->type == VECDB_BINARY_VECTOR;
  uint32_t dim = binary ? field->dim / 8 : field->dim;
  if (binary && file->element != VECFILE_U8)
    return fail(error, VECDB_ERR_TYPE, "%s: binary vectors are read as bytes, of type |u1",
                file->path);
  if (file->dim != dim)
    return fail(error, VECDB_ERR_DIMENSION, "%s has rows of %" PRIu32 " elements, '%s' of %" PRIu32,
                file->path, file->dim, field->name, dim);
  return VECDB_OK;
}

/* Element i of a row as a number. Whole numbers of 64 bits lose what a double cannot hold. */
static double vecfile_number(enum vecfile_element element, const char *row, size_t i) {
  union {
    uint16_t f16;
    float f32;
    double f64;
    int32_t i32;
    int64_t i64;
    int8_t i8;
    uint8_t u8;
  } v;
  float half;
  memcpy(&v, row + i * element_bytes[element], element_bytes[element]);
  switch (element) {
    case VECFILE_F16:
      vecdb_from_float16(&v.f16, &half, 1);
      return (double)half;
    case VECFILE_F32:
      return (double)v.f32;
    case VECFILE_F64:
      return v.f64;
    case VECFILE_I8:
      return v.i8;
    case VECFILE_U8:
      return v.u8;
    case VECFILE_I32:
      return v.i32;
    default:
      return (double)v.i64;
  }
}

/* A row of floats; the quick way for what most files hold. */
static void vecfile_floats(const struct vecfile *f, const char *row, float *out) {
  if (f->element == VECFILE_F32)
    memcpy(out, row, f->dim * sizeof *out);
  else
    for (size_t i = 0; i < f->dim; i++)
      out[i] = (float)vecfile_number(f->element, row, i);
}

static int vecfile_convert(const struct vecfile *f, const char *row, uint64_t number, int32_t type,
                           float *floats, char *out, vecdb_error *error) {
  if (type == VECDB_BINARY_VECTOR || (type == VECDB_INT8_VECTOR && f->element == VECFILE_I8) ||
      (type == VECDB_FLOAT16_VECTOR && f->element == VECFILE_F16)) {
    memcpy(out, row, f->dim * (size_t)element_bytes[f->element]);
    return VECDB_OK;
  }
  if (type == VECDB_INT8_VECTOR) {
    for (size_t i = 0; i < f->dim; i++) {
      double x = vecfile_number(f->element, row, i);
      if (!(x >= INT8_MIN && x <= INT8_MAX) || x != floor(x))
        return fail(error, VECDB_ERR_RANGE, "%s: row %" PRIu64 " holds %g, which is no int8",
                    f->path, number, x);
      ((int8_t *)out)[i] = (int8_t)x;
    }
    return VECDB_OK;
  }
  vecfile_floats(f, row, type == VECDB_FLOAT_VECTOR ? (float *)(void *)out : floats);
  if (type == VECDB_FLOAT16_VECTOR)
    vecdb_to_float16(floats, (uint16_t *)(void *)out, f->dim);
  else if (type == VECDB_BFLOAT16_VECTOR)
    vecdb_to_bfloat16(floats, (uint16_t *)(void *)out, f->dim);
  return VECDB_OK;
}

int vecfile_read(struct vecfile *file, uint64_t first, size_t n, int32_t type, void *out,
                 vecdb_error *error) {
  if (first > file->rows || n > file->rows - first)
    return fail(error, VECDB_ERR_RANGE, "%s has %" PRIu64 " rows", file->path, file->rows);
  size_t width = type == VECDB_FLOAT_VECTOR ? 4 : type >= VECDB_INT8_VECTOR ? 1 : 2;
  size_t bytes = n * (size_t)file->pitch;
  char *rows = mem_new(bytes, 1);
  float *floats = mem_new(file->dim, sizeof *floats);
  int status = vecfile_bytes(file, rows, bytes, file->begin + first * file->pitch, error);
  for (size_t i = 0; i < n && !status; i++) {
    const char *row = rows + i * file->pitch;
    if (file->skip) {
      int32_t dim;
      memcpy(&dim, row, sizeof dim);
      if (dim != (int32_t)file->dim) {
        status = fail(error, VECDB_ERR_CORRUPT,
                      "%s: row %" PRIu64 " says %" PRId32 " elements, the first row %" PRIu32,
                      file->path, first + i, dim, file->dim);
        break;
      }
    }
    status = vecfile_convert(file, row + file->skip, first + i, type, floats,
                             (char *)out + i * file->dim * width, error);
  }
  free(floats);
  free(rows);
  return status;
}
