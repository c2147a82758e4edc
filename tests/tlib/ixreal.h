/* ixreal.h - the demo's real passages and questions (examples/data) as data of ixtest.h. */
#ifndef IXREAL_H
#define IXREAL_H

#include "ixtest.h"

static inline uint8_t *ix_whole_file(const char *name, size_t *n) {
  FILE *f = fopen(name, "rb");
  if (!f || fseek(f, 0, SEEK_END))
    abort();
  *n = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(*n + !*n);
  if (!bytes || fread(bytes, 1, *n, f) != *n)
    abort();
  fclose(f);
  return bytes;
}

/* So many of the passages, spread over all, and all questions, as type `elem` holds them. The file
   has rows in 8 bits with a scale each, and questions as floats. */
static inline void ix_data_real(struct ix_data *d, enum vdb_elem elem, int32_t metric,
                                uint32_t rows) {
  size_t n_bytes, q_bytes;
  uint8_t *passages = ix_whole_file("examples/data/vectors.bin", &n_bytes);
  uint8_t *questions = ix_whole_file("examples/data/questions.bin", &q_bytes);
  uint32_t n, dim, n_questions;
  memcpy(&n, passages, sizeof n);
  memcpy(&dim, passages + 4, sizeof dim);
  memcpy(&n_questions, questions, sizeof n_questions);
  if (rows > n || n_bytes != 8 + (size_t)n * (4 + dim) ||
      q_bytes != 8 + (size_t)n_questions * dim * sizeof(float))
    abort();
  ix_data_alloc(d, elem, metric, rows, dim);
  float *one = malloc(dim * sizeof *one), scale;
  for (uint32_t i = 0; i < rows; i++) {
    uint32_t from = (uint32_t)((uint64_t)i * n / rows);
    const int8_t *codes = (const int8_t *)passages + 8 + (size_t)n * 4 + (size_t)from * dim;
    memcpy(&scale, passages + 8 + (size_t)from * 4, sizeof scale);
    for (uint32_t k = 0; k < dim; k++)
      one[k] = scale * (float)codes[k];
    ix_encode(d->rows + (size_t)i * d->vecs.stride, one, elem, dim);
  }
  d->n_queries = n_questions;
  free(d->queries);
  d->queries = malloc(n_questions * d->vecs.stride);
  for (uint32_t i = 0; i < n_questions; i++) {
    memcpy(one, questions + 8 + (size_t)i * dim * sizeof *one, dim * sizeof *one);
    ix_encode(d->queries + i * d->vecs.stride, one, elem, dim);
  }
  ix_data_norms(d);
  free(one);
  free(passages);
  free(questions);
}

#endif
