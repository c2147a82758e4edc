/*
 * qtest.h - a small database for tests of lib/query: random typed rows in real segments, growing
 * and sealed, with deletes and replaced rows, and beside it a plain model that answers the same
 * questions in double precision by looking at every row.
 */
#ifndef QTEST_H
#define QTEST_H

#include "base/rng.h"
#include "query/query.h"
#include "seg/growing.h"
#include "seg/sealed.h"

enum { QT_DIM = 24, QT_WORDS = 8, QT_TAGS = 3, QT_FILTER_NODES = 16 };

struct qt_config {
  int32_t vector_type;
  int32_t metric;
  bool text_keys;
  uint32_t growing;    /* segments */
  uint32_t sealed;     /* segments without vector index */
  uint32_t indexed;    /* segments with */
  uint32_t rows;       /* per segment, about */
  uint32_t deleted;    /* percent of the rows */
  uint32_t index_rows; /* of the snapshot */
  bool far;            /* rows with the flag lie far from all queries (float vectors) */
  uint64_t seed;
  const vecdb_allocator *allocator;
};

/* A row as the model knows it. */
struct qt_row {
  int64_t id;
  char key[24]; /* the key as text */
  int32_t a;    /* 0 to 19, with nulls */
  bool a_null;
  int64_t b;    /* 0 to 999 */
  double d;     /* 0 to 1, with nulls */
  bool d_null;
  bool flag;
  uint32_t s;   /* one of the words */
  uint32_t n_tags;
  uint32_t tags[QT_TAGS];  /* words */
  int32_t numbers[QT_TAGS]; /* as many as tags, 0 to 9 */
  bool live;    /* in the snapshot */
  uint8_t vector[QT_DIM * 4];
  double decoded[QT_DIM * 4]; /* elements; bits for binary vectors */
};

struct qt_db {
  struct qt_config config;
  struct vdb_env env;
  struct vdb_schema *schema;
  struct vdb_snapshot *snapshot;
  vecdb_index_params index[16];
  struct qt_row *rows;
  uint32_t *newest; /* the last row of each key, plus 1 */
  uint32_t n_rows;
  uint32_t capacity;
  uint32_t field; /* number of the vector field */
  uint64_t seq;
  uint64_t next_file;
  struct vdb_rng rng;
};

extern const char *const qt_words[QT_WORDS];

void qt_open(struct qt_db *db, const struct qt_config *config);
/* Everything must have been released: fails on a leak. */
void qt_close(struct qt_db *db);

/* A filter: text for the library, tree for the model. */
enum qt_kind {
  QT_AND, QT_OR, QT_NOT,
  QT_A_LESS, QT_A_IS, QT_A_IN, QT_A_NULL, QT_A_CHAIN, QT_B_MOD, QT_B_BELOW, QT_D_OVER, QT_FLAG,
  QT_S_LIKE, QT_S_IS, QT_NUMBER, QT_TAG, QT_KINDS
};
struct qt_node {
  int kind; /* a qt_kind */
  int left, right; /* nodes; -1: none */
  int64_t x, y;
};
struct qt_filter {
  struct qt_node nodes[QT_FILTER_NODES];
  int n;
  int root;
  char text[1024];
};
/* A random filter with up to `depth` levels of and, or, not. */
void qt_filter_make(struct qt_filter *filter, struct vdb_rng *rng, int depth);
/* Whether a row passes; filter NULL: yes. */
bool qt_passes(const struct qt_filter *filter, const struct qt_row *row);
bool qt_allowed(const struct qt_filter *filter, const struct qt_row *row);
vecdb_filter qt_filter_text(const struct qt_filter *filter);

/* A random query in the form of the field. */
void qt_query(struct qt_db *db, void *out);
/* Bytes of a vector. */
size_t qt_bytes(const struct qt_db *db);
/* The score of a row, in double. */
double qt_score(const struct qt_db *db, const void *query, const struct qt_row *row);
/* Whether smaller scores are nearer. */
bool qt_smaller(const struct qt_db *db);
/* How far scores may be apart and count as equal. */
double qt_slack(double score);

/* A model answer: live rows that pass, nearest first. */
struct qt_answer {
  const struct qt_row **rows;
  double *scores;
  uint32_t n;
};
void qt_answer_make(struct qt_answer *answer, const struct qt_db *db, const void *query,
                    const struct qt_filter *filter);
void qt_answer_free(struct qt_answer *answer);
/* The live row of a key, or NULL. */
const struct qt_row *qt_find(const struct qt_db *db, int64_t id);
/* The number in a key: an INT64 key itself, or what stands in a text key. */
int64_t qt_key_number(const vecdb_value *key);
/* Fails unless the row of a table is this row, in all the columns there are. */
void qt_check_row(const struct qt_db *db, const vecdb_rows *rows, size_t i,
                  const struct qt_row *row);

#endif
