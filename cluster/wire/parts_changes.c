/* parts_changes.c - the parts of a request for what has changed, and of its answer; see parts.h. */
#include "wire/parts.h"

static void changes_put_position(struct wire_out *out, const struct wire_position *p) {
  wire_put64(out, p->seq);
  wire_put64(out, p->epoch);
  wire_put64(out, p->chain);
}

static struct wire_position changes_take_position(struct wire_in *in) {
  struct wire_position p;
  p.seq = wire_take64(in);
  p.epoch = wire_take64(in);
  p.chain = wire_take64(in);
  return p;
}

void wire_since_write(const struct wire_message *m, struct wire_out *out) {
  changes_put_position(out, &m->since.after);
  wire_put32(out, m->since.entries);
  wire_put32(out, m->since.now);
}

void wire_since_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  (void)mem;
  m->since.after = changes_take_position(in);
  m->since.entries = wire_take32(in);
  uint32_t now = wire_take32(in);
  m->since.now = now != 0;
  in->bad |= now > 1;
}

void wire_changed_write(const struct wire_message *m, struct wire_out *out) {
  const struct wire_changed *c = &m->changed;
  changes_put_position(out, &c->position);
  wire_put64(out, c->schema);
  wire_put8(out, c->all);
  wire_put8(out, c->more);
  wire_put16(out, 0);
  wire_put32(out, c->n_filters);
  for (uint32_t i = 0; i < c->n_filters; i++) {
    const struct wire_message one = {.filter = c->filters[i]};
    wire_pad(out, 8);
    wire_filter_write(&one, out);
  }
}

void wire_changed_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m) {
  enum { CHANGES_FILTER = 16 }; /* bytes that each takes at least */
  struct wire_changed *c = &m->changed;
  c->position = changes_take_position(in);
  c->schema = wire_take64(in);
  uint8_t all = wire_take8(in), more = wire_take8(in);
  wire_take16(in);
  c->all = all != 0;
  c->more = more != 0;
  c->n_filters = wire_take_count(in, WIRE_FILTERS);
  if (c->n_filters > (size_t)(in->end - in->at) / CHANGES_FILTER + 1 || all > 1 || more > 1)
    in->bad = true;
  vecdb_filter *filters = in->bad ? NULL : wire_mem_get(mem, c->n_filters + 1, sizeof *filters);
  for (uint32_t i = 0; filters && i < c->n_filters && !in->bad; i++) {
    struct wire_message one = {0};
    wire_skip_pad(in, 8);
    wire_filter_read(in, mem, &one);
    filters[i] = one.filter;
  }
  c->filters = filters;
}
