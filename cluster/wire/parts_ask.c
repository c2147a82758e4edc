/* parts_ask.c - the parts of requests; see parts.h. */
#include <string.h>

#include "wire/parts.h"

static void ask_put_string(struct wire_out *out, const char *text) {
  wire_put_text(out, text ? text : "", text ? strlen(text) : 0);
}

void wire_target_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, m->target.collection);
  wire_put32(out, m->target.shard);
  wire_put64(out, m->target.schema);
  wire_put64(out, m->target.epoch);
  wire_put64(out, m->target.rev);
  wire_put64(out, m->target.generation);
}

void wire_target_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->target.collection = wire_take32(in);
  m->target.shard = wire_take32(in);
  m->target.schema = wire_take64(in);
  m->target.epoch = wire_take64(in);
  m->target.rev = wire_take64(in);
  m->target.generation = in->at < in->end ? wire_take64(in) : 0;
}

void wire_op_write(const struct wire_message *m, struct wire_out *out) {
  wire_put64(out, m->write.client);
  wire_put64(out, m->write.count);
  wire_put8(out, m->write.kind);
  wire_put8(out, m->write.ack);
  wire_put16(out, 0);
  wire_put32(out, m->write.flags);
}

void wire_op_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->write.client = wire_take64(in);
  m->write.count = wire_take64(in);
  m->write.kind = wire_take8(in);
  m->write.ack = wire_take8(in);
  wire_take16(in);
  m->write.flags = wire_take32(in);
  in->bad |= m->write.ack > 3;
}

void wire_batch_write(const struct wire_message *m, struct wire_out *out) {
  wire_columns_write(out, &m->rows);
}

void wire_batch_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  wire_columns_read(in, mem, &m->rows);
}

/* Texts: how many, the length of each, the bytes of all. */
static void ask_put_strings(struct wire_out *out, const vecdb_string *strings, size_t n) {
  for (size_t i = 0; i < n; i++)
    wire_put32(out, strings[i].length > UINT32_MAX ? UINT32_MAX : (uint32_t)strings[i].length);
  for (size_t i = 0; i < n; i++)
    wire_put(out, strings[i].data, strings[i].length);
}

static vecdb_string *ask_take_strings(struct wire_in *in, struct wire_mem *mem, size_t n) {
  const uint32_t *lengths = wire_take_items(in, n, 4, 4);
  vecdb_string *strings = lengths ? wire_mem_get(mem, n, sizeof *strings) : NULL;
  for (size_t i = 0; strings && i < n; i++)
    strings[i] = (vecdb_string){wire_take(in, lengths[i]), lengths[i]};
  return strings;
}

void wire_keys_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, (uint32_t)m->keys.n);
  wire_put8(out, m->keys.strings != NULL);
  wire_pad(out, 8);
  if (m->keys.strings)
    ask_put_strings(out, m->keys.strings, m->keys.n);
  else
    wire_put(out, m->keys.integers, m->keys.n * sizeof *m->keys.integers);
}

void wire_keys_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  m->keys.n = wire_take_count(in, VECDB_MAX_BATCH_ROWS);
  uint8_t strings = wire_take8(in);
  wire_skip_pad(in, 8);
  in->bad |= strings > 1;
  if (strings)
    m->keys.strings = ask_take_strings(in, mem, m->keys.n);
  else
    m->keys.integers = wire_take_items(in, m->keys.n, sizeof *m->keys.integers, 8);
}

/* ---- Filters: their text and values ---- */

static void ask_put_value(struct wire_out *out, const vecdb_value *v) {
  bool list = v->type == VECDB_ARRAY;
  wire_put8(out, (uint8_t)v->type);
  wire_put8(out, list ? (uint8_t)v->element_type : 0);
  wire_put16(out, 0);
  wire_put32(out, v->type == VECDB_VARCHAR || list ? v->length : 0);
  wire_pad(out, 8);
  if (v->type == VECDB_VARCHAR)
    wire_put(out, v->as.data, v->length);
  else if (list && v->element_type == VECDB_VARCHAR)
    ask_put_strings(out, v->as.data, v->length);
  else if (list)
    wire_put(out, v->as.data, v->length * wire_type_bytes(v->element_type, 0));
  else if (v->type == VECDB_BOOL)
    wire_put64(out, v->as.boolean);
  else
    wire_put64(out, (uint64_t)v->as.integer);
}

static const void *ask_take_list(struct wire_in *in, struct wire_mem *mem, const vecdb_value *v) {
  if (v->element_type < VECDB_BOOL || v->element_type > VECDB_VARCHAR) {
    in->bad = true;
    return NULL;
  }
  if (v->element_type == VECDB_VARCHAR)
    return ask_take_strings(in, mem, v->length);
  const uint8_t *list = wire_take_items(in, v->length, wire_type_bytes(v->element_type, 0), 8);
  for (size_t i = 0; list && v->element_type == VECDB_BOOL && i < v->length; i++)
    in->bad |= list[i] > 1;
  return list;
}

static void ask_take_value(struct wire_in *in, struct wire_mem *mem, vecdb_value *v) {
  v->type = wire_take8(in);
  v->element_type = wire_take8(in);
  wire_take16(in);
  v->length = wire_take32(in);
  wire_skip_pad(in, 8);
  if (v->type > VECDB_ARRAY)
    in->bad = true;
  else if (v->type == VECDB_VARCHAR)
    v->as.data = wire_take(in, v->length);
  else if (v->type == VECDB_ARRAY)
    v->as.data = ask_take_list(in, mem, v);
  else if (v->type == VECDB_BOOL)
    v->as.boolean = wire_take64(in) != 0;
  else
    v->as.integer = (int64_t)wire_take64(in);
}

void wire_filter_write(const struct wire_message *m, struct wire_out *out) {
  const vecdb_filter *f = &m->filter;
  wire_put_text(out, f->text, f->text && !f->length ? strlen(f->text) : f->length);
  wire_put32(out, (uint32_t)f->n_params);
  for (size_t i = 0; i < f->n_params; i++) {
    ask_put_string(out, f->params[i].name);
    ask_put_value(out, &f->params[i].value);
  }
}

void wire_filter_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  m->filter.text = wire_take_text(in, VECDB_MAX_FILTER_BYTES, &m->filter.length);
  m->filter.n_params = wire_take_count(in, VECDB_MAX_FILTER_NODES);
  /* A parameter takes 16 bytes at least, so that few bytes cannot ask for much memory. */
  if (m->filter.n_params > (size_t)(in->end - in->at) / 16)
    in->bad = true;
  if (in->bad)
    return;
  vecdb_param *params = wire_mem_get(mem, m->filter.n_params, sizeof *params);
  for (size_t i = 0; params && i < m->filter.n_params && !in->bad; i++) {
    params[i].name = wire_take_text(in, VECDB_MAX_NAME, NULL);
    ask_take_value(in, mem, &params[i].value);
  }
  m->filter.params = params;
}

/* ---- The rest ---- */

void wire_fields_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, m->fields.n);
  for (uint32_t i = 0; i < m->fields.n; i++)
    ask_put_string(out, m->fields.names[i]);
}

void wire_fields_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  m->fields.n = wire_take_count(in, VECDB_MAX_FIELDS);
  const char **names = wire_mem_get(mem, m->fields.n, sizeof *names);
  for (uint32_t i = 0; names && i < m->fields.n; i++)
    names[i] = wire_take_text(in, VECDB_MAX_NAME, NULL);
  m->fields.names = names;
}

void wire_vectors_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_search *s = &m->search;
  ask_put_string(out, s->field);
  wire_put32(out, s->k);
  wire_put32(out, s->ef);
  wire_put32(out, s->nprobe);
  wire_put32(out, (uint32_t)s->plan);
  wire_put_float(out, s->recall);
  struct wire_column column = {"", s->type, 0, s->dim, s->queries, 0, NULL, NULL};
  wire_columns_write(out, &(struct wire_columns){s->n_queries, 1, &column, NULL});
}

void wire_vectors_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  struct wire_search *s = &m->search;
  struct wire_columns columns;
  s->field = wire_take_text(in, VECDB_MAX_NAME, NULL);
  s->k = wire_take_count(in, VECDB_MAX_K);
  s->ef = wire_take32(in);
  s->nprobe = wire_take32(in);
  s->plan = (int32_t)wire_take_count(in, VECDB_PLAN_CODES);
  s->recall = wire_take_float(in);
  wire_columns_read(in, mem, &columns);
  const struct wire_column *c = columns.columns;
  if (in->bad || columns.n_columns != 1 || !c->data || c->valid || c->type < VECDB_FLOAT_VECTOR ||
      !columns.n_rows || columns.n_rows > VECDB_MAX_QUERIES || !s->k) {
    in->bad = true;
    return;
  }
  s->type = c->type;
  s->dim = c->dim;
  s->n_queries = columns.n_rows;
  s->queries = c->data;
}

void wire_group_write(const struct wire_message *m, struct wire_out *out) {
  ask_put_string(out, m->group.field);
  wire_put32(out, m->group.hits);
}

void wire_group_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->group.field = wire_take_text(in, VECDB_MAX_NAME, NULL);
  m->group.hits = wire_take_count(in, VECDB_MAX_K);
  in->bad |= !m->group.hits;
}

void wire_level_write(const struct wire_message *m, struct wire_out *out) {
  wire_put8(out, m->read.level);
  wire_put8(out, m->read.partial);
  wire_put16(out, 0);
  wire_put32(out, m->read.max_age_ms);
  wire_put64(out, m->read.seq);
  wire_put64(out, m->read.epoch);
}

void wire_level_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->read.level = wire_take8(in);
  m->read.partial = wire_take8(in) & 1;
  wire_take16(in);
  m->read.max_age_ms = wire_take32(in);
  m->read.seq = wire_take64(in);
  m->read.epoch = wire_take64(in);
  in->bad |= m->read.level > WIRE_STRONG;
}

void wire_page_write(const struct wire_message *m, struct wire_out *out) {
  wire_put32(out, m->page.limit);
  wire_put64(out, m->page.offset);
}

void wire_page_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->page.limit = wire_take32(in);
  m->page.offset = wire_take64(in);
}

void wire_name_write(const struct wire_message *m, struct wire_out *out) {
  ask_put_string(out, m->name.name);
  ask_put_string(out, m->name.text);
}

void wire_name_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->name.name = wire_take_text(in, VECDB_MAX_NAME, NULL);
  m->name.text = wire_take_text(in, 2 * WIRE_TEXT_MAX, NULL);
}

void wire_optimizer_write(const struct wire_message *m, struct wire_out *out) {
  const vecdb_optimizer *o = &m->optimizer.optimizer;
  ask_put_string(out, m->optimizer.field);
  wire_put32(out, m->optimizer.none);
  wire_put32(out, (uint32_t)o->kind);
  wire_put32(out, o->window);
  wire_put32(out, o->unit);
  wire_put_float(out, o->rate);
  wire_put_float(out, o->beta1);
  wire_put_float(out, o->beta2);
  wire_put_float(out, o->epsilon);
}

void wire_optimizer_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  vecdb_optimizer *o = &m->optimizer.optimizer;
  (void)mem;
  m->optimizer.field = wire_take_text(in, VECDB_MAX_NAME, NULL);
  uint32_t none = wire_take32(in);
  o->size = sizeof *o;
  o->kind = (int32_t)wire_take32(in);
  o->window = wire_take32(in);
  o->unit = wire_take32(in);
  o->rate = wire_take_float(in);
  o->beta1 = wire_take_float(in);
  o->beta2 = wire_take_float(in);
  o->epsilon = wire_take_float(in);
  m->optimizer.none = none != 0;
  in->bad |= none > 1;
}
