/* parts_answer.c - the parts of answers; see parts.h. */
#include <string.h>

#include "wire/parts.h"

static void answer_put_string(struct wire_out *out, const char *text) {
  size_t n = text ? strlen(text) : 0;
  wire_put_text(out, text ? text : "", n < WIRE_MESSAGE ? n : WIRE_MESSAGE);
}

void wire_result_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_result *r = &m->result;
  wire_put32(out, (uint32_t)r->code);
  wire_put32(out, r->shard);
  wire_put64(out, r->epoch);
  wire_put64(out, r->rev);
  wire_put64(out, r->seq);
  wire_put64(out, r->seq_epoch);
  wire_put32(out, r->node);
  wire_put32(out, r->retry_ms);
  wire_put32(out, r->copies);
  wire_put32(out, r->partial);
  wire_put32(out, r->shards_ok);
  wire_put32(out, r->shards_all);
  wire_put64(out, (uint64_t)r->row);
  wire_put64(out, (uint64_t)r->position);
  answer_put_string(out, r->field);
  answer_put_string(out, r->message);
}

void wire_result_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  struct wire_result *r = &m->result;
  (void)mem;
  r->code = (int32_t)wire_take32(in);
  r->shard = wire_take32(in);
  r->epoch = wire_take64(in);
  r->rev = wire_take64(in);
  r->seq = wire_take64(in);
  r->seq_epoch = wire_take64(in);
  r->node = wire_take32(in);
  r->retry_ms = wire_take32(in);
  r->copies = wire_take32(in);
  r->partial = wire_take32(in) & 1;
  r->shards_ok = wire_take32(in);
  r->shards_all = wire_take32(in);
  r->row = (int64_t)wire_take64(in);
  r->position = (int64_t)wire_take64(in);
  r->field = wire_take_text(in, WIRE_MESSAGE, NULL);
  r->message = wire_take_text(in, WIRE_MESSAGE, NULL);
}

void wire_hits_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_hits *h = &m->hits;
  wire_put32(out, h->n_queries);
  wire_put32(out, h->n);
  wire_put(out, h->counts, h->n_queries * sizeof *h->counts);
  wire_put(out, h->scores, h->n * sizeof *h->scores);
}

void wire_hits_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  struct wire_hits *h = &m->hits;
  uint64_t sum = 0;
  (void)mem;
  h->n_queries = wire_take_count(in, VECDB_MAX_QUERIES);
  h->n = wire_take_count(in, VECDB_MAX_BATCH_ROWS);
  h->counts = wire_take_items(in, h->n_queries, sizeof *h->counts, 4);
  h->scores = wire_take_items(in, h->n, sizeof *h->scores, 4);
  for (uint32_t i = 0; !in->bad && i < h->n_queries; i++)
    sum += h->counts[i];
  in->bad |= sum != h->n;
}

void wire_found_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, m->n_found);
  wire_put(out, m->found, m->n_found);
}

void wire_found_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->n_found = wire_take_count(in, VECDB_MAX_BATCH_ROWS);
  m->found = wire_take(in, m->n_found);
}

void wire_number_write(const struct wire_message *m, struct wire_out *out) {
  wire_put64(out, m->number);
}

void wire_number_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->number = wire_take64(in);
}

void wire_state_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_stats *s = &m->stats;
  wire_put64(out, s->rows);
  wire_put64(out, s->bytes);
  wire_put64(out, s->applied);
  wire_put64(out, s->commit);
  wire_put64(out, s->queue_bytes);
  wire_put32(out, s->queue);
  wire_put32(out, s->role);
  wire_put32(out, s->age_ms);
  wire_put64(out, s->checked);
  wire_put64(out, s->digest);
  wire_put64(out, s->bytes_growing);
  wire_put64(out, s->bytes_index);
  wire_put64(out, s->segments_growing);
  wire_put64(out, s->segments_sealed);
  wire_put64(out, s->segments_indexed);
  wire_put64(out, s->merge_bytes);
  wire_put64(out, s->index_builds);
  wire_put64(out, s->index_build_ns);
}

/* What nodes of before there was this do not send. */
static uint64_t state_later(struct wire_in *in) {
  return in->at < in->end ? wire_take64(in) : 0;
}

void wire_state_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  struct wire_stats *s = &m->stats;
  (void)mem;
  s->rows = wire_take64(in);
  s->bytes = wire_take64(in);
  s->applied = wire_take64(in);
  s->commit = wire_take64(in);
  s->queue_bytes = wire_take64(in);
  s->queue = wire_take32(in);
  s->role = wire_take32(in);
  s->age_ms = in->at < in->end ? wire_take32(in) : UINT32_MAX;
  s->checked = state_later(in);
  s->digest = state_later(in);
  s->bytes_growing = state_later(in);
  s->bytes_index = state_later(in);
  s->segments_growing = state_later(in);
  s->segments_sealed = state_later(in);
  s->segments_indexed = state_later(in);
  s->merge_bytes = state_later(in);
  s->index_builds = state_later(in);
  s->index_build_ns = state_later(in);
}

void wire_summary_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_summary *s = &m->summary;
  answer_put_string(out, s->field);
  wire_put32(out, s->dim);
  wire_put32(out, s->n);
  wire_put_float(out, s->norm_min);
  wire_put_float(out, s->norm_max);
  wire_pad(out, 8);
  wire_put64(out, s->version);
  wire_put(out, s->rows, s->n * sizeof *s->rows);
  wire_put(out, s->radii, s->n * sizeof *s->radii);
  wire_pad(out, WIRE_ALIGN);
  wire_put(out, s->centroids, (size_t)s->n * s->dim * sizeof *s->centroids);
}

void wire_summary_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  struct wire_summary *s = &m->summary;
  (void)mem;
  s->field = wire_take_text(in, VECDB_MAX_NAME, NULL);
  s->dim = wire_take_count(in, VECDB_MAX_DIM);
  s->n = wire_take_count(in, WIRE_CENTROIDS);
  s->norm_min = wire_take_float(in);
  s->norm_max = wire_take_float(in);
  wire_skip_pad(in, 8);
  s->version = wire_take64(in);
  s->rows = wire_take_items(in, s->n, sizeof *s->rows, 8);
  s->radii = wire_take_items(in, s->n, sizeof *s->radii, 4);
  s->centroids = wire_take_items(in, (size_t)s->n * s->dim, sizeof *s->centroids, WIRE_ALIGN);
}

void wire_documents_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, m->n_documents);
  for (uint32_t i = 0; i < m->n_documents; i++) {
    const struct wire_document *d = &m->documents[i];
    wire_put32(out, d->kind);
    wire_put32(out, d->a);
    wire_put32(out, d->b);
    wire_put64(out, (uint64_t)d->mod);
    wire_put32(out, (uint32_t)d->n);
    wire_put(out, d->text, d->n);
  }
}

void wire_documents_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  enum { ANSWER_DOCUMENT = 24 }; /* bytes that each takes at least */
  m->n_documents = wire_take_count(in, WIRE_DOCUMENTS);
  if (m->n_documents > (size_t)(in->end - in->at) / ANSWER_DOCUMENT)
    in->bad = true;
  if (in->bad)
    return;
  struct wire_document *documents = wire_mem_get(mem, m->n_documents, sizeof *documents);
  for (uint32_t i = 0; documents && i < m->n_documents; i++) {
    struct wire_document *d = &documents[i];
    d->kind = wire_take32(in);
    d->a = wire_take32(in);
    d->b = wire_take32(in);
    d->mod = (int64_t)wire_take64(in);
    d->n = wire_take32(in);
    d->text = wire_take(in, d->n);
  }
  m->documents = documents;
}
