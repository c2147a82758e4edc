/* err.c - the texts of the error codes and the filling of vecdb_error; see err.h. */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct err_text {
  int code;
  const char *name;
  const char *text;
};

#define ERR_TEXT(code, text) {code, #code, text}
static const struct err_text err_texts[] = {
    ERR_TEXT(VECDB_OK, "success"),
    ERR_TEXT(VECDB_ERR_ARGUMENT, "an argument is missing or contradicts another"),
    ERR_TEXT(VECDB_ERR_OPTION, "an option, flag or struct size is unknown"),
    ERR_TEXT(VECDB_ERR_LIMIT, "a limit is exceeded"),
    ERR_TEXT(VECDB_ERR_NAME, "a name is empty, too long or has forbidden characters"),
    ERR_TEXT(VECDB_ERR_SCHEMA, "the schema is not valid"),
    ERR_TEXT(VECDB_ERR_NOT_FOUND, "it does not exist"),
    ERR_TEXT(VECDB_ERR_EXISTS, "it exists already"),
    ERR_TEXT(VECDB_ERR_UNKNOWN_FIELD, "there is no such field"),
    ERR_TEXT(VECDB_ERR_MISSING_FIELD, "a field without default is missing"),
    ERR_TEXT(VECDB_ERR_TYPE, "a value or operand has the wrong type"),
    ERR_TEXT(VECDB_ERR_DIMENSION, "a vector has the wrong dimension"),
    ERR_TEXT(VECDB_ERR_NOT_FINITE, "a number is NaN or infinite"),
    ERR_TEXT(VECDB_ERR_ZERO_VECTOR, "a zero vector has no direction"),
    ERR_TEXT(VECDB_ERR_OVERFLOW, "the norm of a vector is not finite"),
    ERR_TEXT(VECDB_ERR_NULL_VALUE, "a field that is not nullable is null"),
    ERR_TEXT(VECDB_ERR_TOO_LONG, "a value is longer than its field allows"),
    ERR_TEXT(VECDB_ERR_UTF8, "text is not valid UTF-8"),
    ERR_TEXT(VECDB_ERR_FILTER, "the filter does not parse"),
    ERR_TEXT(VECDB_ERR_FILTER_PARAM, "a filter parameter is missing, unknown or of the wrong type"),
    ERR_TEXT(VECDB_ERR_K, "k is out of range"),
    ERR_TEXT(VECDB_ERR_INDEX_PARAM, "an index parameter is out of range"),
    ERR_TEXT(VECDB_ERR_READ_ONLY, "the database is open for reading only"),
    ERR_TEXT(VECDB_ERR_RANGE, "a number does not fit its field"),
    ERR_TEXT(VECDB_ERR_SPARSE, "the indices of a sparse vector do not ascend"),
    ERR_TEXT(VECDB_ERR_JSON, "a text is not valid JSON"),
    ERR_TEXT(VECDB_ERR_BUSY, "another handle or process has the database open for writing"),
    ERR_TEXT(VECDB_ERR_CLOSED, "the collection was dropped"),
    ERR_TEXT(VECDB_ERR_CANCELLED, "cancelled by the caller"),
    ERR_TEXT(VECDB_ERR_TIMEOUT, "the deadline passed"),
    ERR_TEXT(VECDB_ERR_BUFFER, "the buffer is too small"),
    ERR_TEXT(VECDB_ERR_UNSUPPORTED, "not supported by this build or platform"),
    ERR_TEXT(VECDB_ERR_VERSION, "a row has another version than was expected"),
    ERR_TEXT(VECDB_ERR_NO_MEMORY, "out of memory"),
    ERR_TEXT(VECDB_ERR_IO, "input or output failed"),
    ERR_TEXT(VECDB_ERR_DISK_FULL, "the disk is full"),
    ERR_TEXT(VECDB_ERR_CORRUPT, "a file is damaged"),
    ERR_TEXT(VECDB_ERR_NEWER_FORMAT, "the file was written by a newer version"),
    ERR_TEXT(VECDB_ERR_NOT_A_DATABASE, "the folder is not a database"),
    ERR_TEXT(VECDB_ERR_KEY, "a key is missing, wrong or not wanted"),
    ERR_TEXT(VECDB_ERR_INTERNAL, "an internal invariant failed"),
};

static const struct err_text *err_find(int code) {
  for (size_t i = 0; i < VDB_COUNT(err_texts); i++)
    if (err_texts[i].code == code)
      return &err_texts[i];
  return NULL;
}

VECDB_API const char *vecdb_status_name(int code) {
  const struct err_text *t = err_find(code);
  return t ? t->name : "VECDB_ERR_UNKNOWN";
}

VECDB_API const char *vecdb_status_text(int code) {
  const struct err_text *t = err_find(code);
  return t ? t->text : "an unknown error";
}

static void err_fill(vecdb_error *err, int code, const char *field) {
  err->code = code;
  err->os_code = 0;
  err->row = -1;
  err->position = -1;
  snprintf(err->field, sizeof err->field, "%s", field ? field : "");
}

#define ERR_FORMAT_MESSAGE(err, format)                                \
  do {                                                                 \
    va_list args;                                                      \
    va_start(args, format);                                            \
    vsnprintf((err)->message, sizeof (err)->message, (format), args);  \
    va_end(args);                                                      \
  } while (0)

VDB_INTERNAL int vdb_fail(vecdb_error *err, int code, const char *format, ...) {
  err_fill(err, code, NULL);
  ERR_FORMAT_MESSAGE(err, format);
  return code;
}

VDB_INTERNAL int vdb_fail_at(vecdb_error *err, int code, int64_t row, const char *field,
                             const char *format, ...) {
  err_fill(err, code, field);
  err->row = row;
  ERR_FORMAT_MESSAGE(err, format);
  return code;
}

VDB_INTERNAL int vdb_fail_pos(vecdb_error *err, int code, int64_t position, const char *format,
                              ...) {
  err_fill(err, code, NULL);
  err->position = position;
  ERR_FORMAT_MESSAGE(err, format);
  return code;
}

/* strerror_r comes in two kinds: POSIX fills the buffer, GNU returns the text. */
VDB_INLINE const char *err_reason_posix(int rc, const char *buffer) {
  (void)rc;
  return buffer;
}

VDB_INLINE const char *err_reason_gnu(const char *text, const char *buffer) {
  (void)buffer;
  return text;
}

#define ERR_REASON(call, buffer) \
  _Generic((call), int: err_reason_posix, char *: err_reason_gnu)(call, buffer)

VDB_INTERNAL int vdb_fail_os(vecdb_error *err, int os_code, const char *what, const char *path) {
  int code = VECDB_ERR_IO;
  if (os_code == ENOSPC || os_code == EDQUOT)
    code = VECDB_ERR_DISK_FULL;
  else if (os_code == ENOMEM)
    code = VECDB_ERR_NO_MEMORY;
  else if (os_code == EBUSY)
    code = VECDB_ERR_BUSY;
  else if (os_code == EBADMSG)
    code = VECDB_ERR_CORRUPT;
  char buffer[96] = "unknown error";
  const char *reason = ERR_REASON(strerror_r(os_code, buffer, sizeof buffer), buffer);
  vdb_fail(err, code, "%s %.256s: %s", what, path, reason);
  err->os_code = os_code;
  return code;
}

VDB_INTERNAL int vdb_fail_memory(vecdb_error *err) {
  return vdb_fail(err, VECDB_ERR_NO_MEMORY, "out of memory");
}
