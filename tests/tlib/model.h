/*
 * model.h - a naive model of a database for the crash, fault and random tests. A row is a key
 * number and a stamp, and the values of all its fields follow from its stamp; so a state of the
 * whole database is a few arrays of numbers that can be copied, compared and kept for later.
 *
 *   state of a database:  model_load   reads all there is, checks each value against its stamp
 *   two states the same:  model_same
 *   answers to questions: probe.h
 *
 * Functions that check return false on a difference and leave a text in model_trouble().
 */
#ifndef MODEL_H
#define MODEL_H

#include "base/rng.h"
#include "vecdb.h"

enum {
  MODEL_COLLS = 3,     /* names of collections in use: "c0" to "c2" */
  MODEL_VARIANTS = 24, /* schemas */
  MODEL_BATCH = 64,    /* rows of a batch, at most */
  MODEL_DIM = 4,
  MODEL_DIM2 = 16,     /* of the second vector field */
  MODEL_TEXT = 40,
  MODEL_FIELDS = 10,
  MODEL_COLUMNS = MODEL_FIELDS + 1, /* with the extra field */
  MODEL_TICK_MS = 1000, /* rows expire in the middle of a tick of the clock */
  MODEL_EXTRAS = 120    /* extra fields that a collection may have had */
};

/* What is in one field of a row; see model_values. */
struct model_row {
  int64_t w; /* the stamp */
  int32_t n;
  bool n_null;
  char s[MODEL_TEXT];
  bool s_null;
  double d;
  bool flag;
  bool tags_null;
  int64_t x; /* when it expires */
  bool x_null;
  int32_t e; /* the extra field: a number, or one of the others, which follow from it */
  bool e_null;
  char e_text[8];
  uint32_t n_tags;
  int32_t tags[4];
  float v[MODEL_DIM];
  uint8_t u[2 * MODEL_DIM2]; /* as the field's type says; model_u for its numbers */
};

struct model_coll {
  bool exists;
  uint32_t variant;
  uint32_t extra;  /* which extra field it has; 0: none. Odd ones are texts or JSON */
  uint32_t extras; /* how many it has had; not compared */
  bool renamed;    /* that is called e2, not e */
  bool expires;    /* rows go by field x */
  uint64_t born;    /* tells collections of the same name apart; not compared */
  uint64_t *stamps; /* one per key number; 0: no such row */
};

struct model {
  uint32_t n_keys;
  struct model_coll colls[MODEL_COLLS];
};

/* What a check found, for messages. */
const char *model_trouble(void);
/* Sets that text; always false. */
bool model_differs(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- states ---- */
void model_init(struct model *m, uint32_t n_keys);
void model_fini(struct model *m);
/* Into a model of the same number of keys. */
void model_copy(struct model *to, const struct model *from);
bool model_same_coll(const struct model *a, const struct model *b, uint32_t coll);
bool model_same(const struct model *a, const struct model *b);
uint64_t model_count(const struct model *m, uint32_t coll);
const char *model_name(uint32_t coll);

/* ---- schemas and rows ---- */
struct model_schema {
  vecdb_schema schema;
  vecdb_field fields[MODEL_FIELDS];
  char text[32];
};
/* Fills in the schema of a variant; `s` must stay where it is. */
void model_schema_make(struct model_schema *s, uint32_t variant);
bool model_text_keys(uint32_t variant);
/* Of field v and, 0 where there is none, of u. */
int32_t model_metric(uint32_t variant);
int32_t model_type2(uint32_t variant);
/* Stamps are numbers below 2^28 when they are given; then they also say what becomes of the row. */
/* That of a row written while the collection has that extra field, and so with a value in it. */
uint64_t model_stamp(const struct model_coll *coll, uint64_t stamp);
/* That of a row after an update by `by`, as which all fields but flag, v, u and the extra one then
   are. */
uint64_t model_updated(uint64_t stamp, uint64_t by);
/* Whether the row has expired at that tick, in a collection whose rows do. */
bool model_expired(const struct model_coll *coll, uint64_t stamp, uint64_t tick);
/* Takes expired rows out. */
void model_expire(struct model *m, uint64_t tick);
const char *model_extra_name(const struct model_coll *coll);
/* VECDB_INT32, VECDB_VARCHAR or VECDB_JSON. */
int32_t model_extra_type(uint32_t extra);
/* The field to be added as that extra one. */
vecdb_field model_extra_field(uint32_t extra);
/* The values of the row with that stamp, and with the extra field if the collection has one. */
void model_row_of(const struct model_coll *coll, uint64_t stamp, struct model_row *out);
/* As model_row_of without an extra field. */
void model_values(uint32_t variant, uint64_t stamp, struct model_row *out);
/* Key number k as a key; the order of keys is that of their numbers. */
int64_t model_key(uint32_t k);
size_t model_key_text(uint32_t k, char out[MODEL_TEXT]);
/* The number of a key, or -1. */
int64_t model_key_number(uint32_t variant, const vecdb_value *key);

/* Columns of a batch, with what they point to. */
struct model_batch {
  vecdb_batch batch;
  vecdb_column columns[MODEL_COLUMNS];
  uint32_t n;
  struct model_row rows[MODEL_BATCH];
  int64_t ids[MODEL_BATCH];
  char key_text[MODEL_BATCH][MODEL_TEXT];
  const char *key_at[MODEL_BATCH];
  const char *s_at[MODEL_BATCH];
  const void *tags_at[MODEL_BATCH];
  uint32_t tags_n[MODEL_BATCH];
  uint8_t n_valid[MODEL_BATCH], s_valid[MODEL_BATCH], tags_valid[MODEL_BATCH];
  uint8_t x_valid[MODEL_BATCH], e_valid[MODEL_BATCH];
  const char *e_at[MODEL_BATCH];
  char e_json[MODEL_BATCH][24]; /* with white space and a key that comes twice */
  vecdb_string strings[MODEL_BATCH];
  vecdb_keys keys; /* of the rows, for get and delete */
};
/* Rows with these key numbers and stamps; stamps NULL: only the keys are wanted. */
void model_batch_make(struct model_batch *b, const struct model_coll *coll, const uint32_t *keys,
                      const uint64_t *stamps, uint32_t n);
/* Leaves the columns that updates change, and the key. */
void model_batch_light(struct model_batch *b);

/* ---- comparing ---- */
/* Whether row `i` of a table is the row of that stamp in all the columns there are. */
bool model_check_row(const struct model_coll *coll, const vecdb_rows *rows, size_t i,
                     uint64_t stamp);
/* Reads the whole database into `out` (initialised). */
bool model_load(vecdb *db, struct model *out);

#endif
