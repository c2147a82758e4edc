/* message.c - messages: their head, and which parts each kind has; see message.h. */
#include "wire/message.h"

#include <string.h>

#include "wire/parts.h"

enum { MESSAGE_HEAD = 16, MESSAGE_SIZE_AT = 4 };

static const struct message_part {
  void (*write)(const struct wire_message *m, struct wire_out *out);
  void (*read)(struct wire_in *in, struct wire_mem *mem, struct wire_message *m);
} message_parts[WIRE_PARTS] = {
    [WIRE_TARGET] = {wire_target_write, wire_target_read},
    [WIRE_OP] = {wire_op_write, wire_op_read},
    [WIRE_BATCH] = {wire_batch_write, wire_batch_read},
    [WIRE_KEYS] = {wire_keys_write, wire_keys_read},
    [WIRE_FILTER] = {wire_filter_write, wire_filter_read},
    [WIRE_FIELDS] = {wire_fields_write, wire_fields_read},
    [WIRE_VECTORS] = {wire_vectors_write, wire_vectors_read},
    [WIRE_READ] = {wire_level_write, wire_level_read},
    [WIRE_PAGE] = {wire_page_write, wire_page_read},
    [WIRE_NAME] = {wire_name_write, wire_name_read},
    [WIRE_RESULT] = {wire_result_write, wire_result_read},
    [WIRE_HITS] = {wire_hits_write, wire_hits_read},
    [WIRE_FOUND] = {wire_found_write, wire_found_read},
    [WIRE_NUMBER] = {wire_number_write, wire_number_read},
    [WIRE_STATE] = {wire_state_write, wire_state_read},
    [WIRE_SUMMARY] = {wire_summary_write, wire_summary_read},
    [WIRE_GROUP] = {wire_group_write, wire_group_read},
    [WIRE_OPTIMIZER] = {wire_optimizer_write, wire_optimizer_read},
    [WIRE_SINCE] = {wire_since_write, wire_since_read},
    [WIRE_CHANGED] = {wire_changed_write, wire_changed_read},
    [WIRE_DOCUMENTS_OF] = {wire_documents_write, wire_documents_read},
};

#define P WIRE_HAS
static const struct message_kind {
  uint32_t needs;
  uint32_t may; /* besides */
} message_kinds[WIRE_KINDS] = {
    [WIRE_WRITE] = {P(WIRE_TARGET) | P(WIRE_OP),
                    P(WIRE_BATCH) | P(WIRE_KEYS) | P(WIRE_FILTER) | P(WIRE_OPTIMIZER) |
                        P(WIRE_NAME) | P(WIRE_DOCUMENTS_OF)},
    [WIRE_SEARCH] = {P(WIRE_TARGET) | P(WIRE_VECTORS) | P(WIRE_READ),
                     P(WIRE_FILTER) | P(WIRE_FIELDS) | P(WIRE_GROUP)},
    [WIRE_GET] = {P(WIRE_TARGET) | P(WIRE_KEYS) | P(WIRE_READ), P(WIRE_FIELDS)},
    [WIRE_QUERY] = {P(WIRE_TARGET) | P(WIRE_PAGE) | P(WIRE_READ),
                    P(WIRE_FILTER) | P(WIRE_FIELDS) | P(WIRE_KEYS)},
    [WIRE_COUNT] = {P(WIRE_TARGET) | P(WIRE_READ), P(WIRE_FILTER)},
    [WIRE_EXPLAIN] = {P(WIRE_TARGET) | P(WIRE_VECTORS) | P(WIRE_READ),
                      P(WIRE_FILTER) | P(WIRE_FIELDS)},
    [WIRE_SPARSE] = {P(WIRE_TARGET) | P(WIRE_KEYS) | P(WIRE_FIELDS) | P(WIRE_READ),
                     P(WIRE_FILTER)},
    [WIRE_STATS] = {P(WIRE_TARGET), 0},
    [WIRE_COMPACT] = {P(WIRE_TARGET), 0},
    [WIRE_MAP] = {P(WIRE_NAME), 0},
    [WIRE_CREATE] = {P(WIRE_NAME), 0},
    [WIRE_DROP] = {P(WIRE_NAME), 0},
    [WIRE_ALTER] = {P(WIRE_NAME), 0},
    [WIRE_RESHAPE] = {P(WIRE_NAME), 0},
    [WIRE_EXPIRE] = {P(WIRE_NAME), 0},
    [WIRE_NUMBERS] = {P(WIRE_NUMBER), 0},
    [WIRE_CHANGES] = {P(WIRE_TARGET) | P(WIRE_READ) | P(WIRE_SINCE), 0},
    [WIRE_LIST] = {0, 0},
    [WIRE_CANCEL] = {0, 0},
    [WIRE_ANSWER] = {P(WIRE_RESULT), P(WIRE_HITS) | P(WIRE_BATCH) | P(WIRE_FOUND) | P(WIRE_NUMBER) |
                                         P(WIRE_STATE) | P(WIRE_SUMMARY) | P(WIRE_DOCUMENTS_OF) |
                                         P(WIRE_CHANGED) | P(WIRE_KEYS)},
};
#undef P

const uint64_t *wire_push_expected(const struct wire_message *m) {
  const struct wire_column *c = m->rows.n_columns == 3 ? &m->rows.columns[2] : NULL;
  return c && m->write.kind == WIRE_PUSH && !strcmp(c->name, WIRE_VERSION_COLUMN) &&
                 c->type == VECDB_INT64 && !c->valid
             ? c->data
             : NULL;
}

/* What a write changes by must be there, and nothing else. */
static bool message_write_good(const struct wire_message *m) {
  uint32_t has = m->has & ~(WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP));
  switch (m->write.kind) {
    case WIRE_INSERT:
    case WIRE_UPSERT:
    case WIRE_UPDATE:
      return has == WIRE_HAS(WIRE_BATCH);
    case WIRE_PUSH:
      return has == WIRE_HAS(WIRE_BATCH) && (m->rows.n_columns == 2 || wire_push_expected(m));
    case WIRE_OPTIMIZE:
      return has == WIRE_HAS(WIRE_OPTIMIZER);
    case WIRE_CHECK:
      return !has;
    case WIRE_FIELDS_ADD:
    case WIRE_RESHAPED:
      return has == WIRE_HAS(WIRE_NAME);
    case WIRE_SPLIT:
      return has == WIRE_HAS(WIRE_DOCUMENTS_OF);
    case WIRE_DELETE:
      return has == WIRE_HAS(WIRE_KEYS);
    case WIRE_DELETE_WHERE:
      return has == WIRE_HAS(WIRE_FILTER);
    default:
      return false;
  }
}

static bool message_kind_known(unsigned kind) {
  return kind == WIRE_CANCEL || kind == WIRE_LIST ||
         (kind < WIRE_KINDS && message_kinds[kind].needs);
}

/* A few bytes must not ask for more hits than one answer can have. */
static bool message_search_good(const struct wire_message *m) {
  const uint64_t hits = m->has & WIRE_HAS(WIRE_GROUP) ? m->group.hits : 1;
  const uint64_t each = hits * m->search.k;
  return each <= VECDB_MAX_K && each * m->search.n_queries <= VECDB_MAX_BATCH_ROWS;
}

static bool message_good(const struct wire_message *m) {
  const struct message_kind *kind = &message_kinds[m->kind];
  if ((m->has & kind->needs) != kind->needs || m->has & ~(kind->needs | kind->may))
    return false;
  if (m->kind == WIRE_WRITE)
    return message_write_good(m);
  if (m->has & WIRE_HAS(WIRE_VECTORS) && !message_search_good(m))
    return false;
  /* Keys of an answer are those that were touched. */
  const uint32_t touched = WIRE_HAS(WIRE_KEYS) | WIRE_HAS(WIRE_CHANGED);
  if (m->kind == WIRE_ANSWER && m->has & touched && (m->has & touched) != touched)
    return false;
  /* Hits have their keys in rows. */
  return !(m->has & WIRE_HAS(WIRE_HITS)) ||
         (m->has & WIRE_HAS(WIRE_BATCH) && m->rows.n_rows == m->hits.n && m->rows.n_columns);
}

void wire_message_write(const struct wire_message *m, struct wire_out *out) {
  wire_put16(out, m->kind);
  wire_put8(out, WIRE_VERSION);
  wire_put8(out, WIRE_VERSION);
  wire_put32(out, 0);
  wire_put64(out, 0);
  for (uint16_t tag = 1; tag < WIRE_PARTS; tag++)
    if (m->has & WIRE_HAS(tag)) {
      size_t section = wire_begin(out, tag, true);
      message_parts[tag].write(m, out);
      wire_end(out, section);
    }
  if (out->status)
    return;
  uint32_t n = (uint32_t)out->n;
  memcpy(out->data + MESSAGE_SIZE_AT, &n, sizeof n);
}

static enum wire_status message_sections(struct wire_in *in, struct wire_mem *mem,
                                         struct wire_message *out) {
  struct wire_in section;
  uint16_t tag;
  bool critical;
  while (wire_next(in, &tag, &critical, &section)) {
    if (tag >= WIRE_PARTS || !tag) {
      if (critical)
        return WIRE_NEWER;
      continue;
    }
    if (out->has & WIRE_HAS(tag))
      return WIRE_BAD;
    out->has |= WIRE_HAS(tag);
    message_parts[tag].read(&section, mem, out);
    if (mem->failed)
      return WIRE_NO_MEMORY;
    if (section.bad)
      return WIRE_BAD;
  }
  return in->bad || !message_good(out) ? WIRE_BAD : WIRE_OK;
}

enum wire_status wire_message_read(const void *data, size_t n, struct wire_mem *mem,
                                   struct wire_message *out) {
  memset(out, 0, sizeof *out);
  if (n < MESSAGE_HEAD || n > WIRE_LIMIT)
    return WIRE_BAD;
  if ((uintptr_t)data % WIRE_ALIGN) {
    void *copy = wire_mem_get(mem, n, 1);
    if (!copy)
      return WIRE_NO_MEMORY;
    data = memcpy(copy, data, n);
  }
  struct wire_in in = {data, data, (const uint8_t *)data + n, false};
  out->kind = wire_take16(&in);
  out->version = wire_take8(&in);
  uint8_t least = wire_take8(&in);
  uint32_t bytes = wire_take32(&in);
  wire_take64(&in);
  if (bytes != n || !out->version || least > out->version)
    return WIRE_BAD;
  if (least > WIRE_VERSION)
    return WIRE_NEWER;
  if (!message_kind_known(out->kind))
    return out->version > WIRE_VERSION ? WIRE_NEWER : WIRE_BAD;
  return message_sections(&in, mem, out);
}
