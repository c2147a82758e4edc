/*
 * filter_like.c - `like` patterns. The text between two % is looked for leftmost first, which is
 * enough and never goes back: literals with the table of Knuth, Morris and Pratt (1977), parts with
 * a _ inside naively but of bounded length. Matching is linear in the text.
 */
#include "attr/filter_tree.h"

/* ---- building ---- */

struct filter_like_builder {
  struct filter_binding *binding;
  struct filter_like *like;
  struct filter_text pattern;
  uint32_t at;  /* in the pattern */
  uint32_t pos; /* in the filter's text */
};

static int filter_like_add_piece(struct filter_like_builder *l, uint32_t skip,
                                 struct filter_text literal) {
  struct filter_like *like = l->like;
  if (!VDB_GROW(l->binding->mem, like->pieces, like->pieces_capacity, like->n_pieces + 1))
    return vdb_fail_memory(l->binding->err);
  struct filter_piece piece = {skip, literal};
  like->pieces[like->n_pieces++] = piece;
  like->segments[like->n_segments - 1].n++;
  return VECDB_OK;
}

static int filter_like_add_segment(struct filter_like_builder *l) {
  struct filter_like *like = l->like;
  if (!VDB_GROW(l->binding->mem, like->segments, like->segments_capacity, like->n_segments + 1))
    return vdb_fail_memory(l->binding->err);
  struct filter_segment segment = {(uint32_t)like->n_pieces, 0, FILTER_NONE};
  like->segments[like->n_segments++] = segment;
  return VECDB_OK;
}

/* The literal at l->at, unescaped; its bytes go to the pool. */
static int filter_like_literal(struct filter_like_builder *l, struct filter_text *out) {
  struct vdb_writer *pool = &l->binding->filter->pool;
  out->offset = (uint32_t)pool->n;
  out->length = 0;
  for (; l->at < l->pattern.length; l->at++) {
    uint8_t c = pool->data[l->pattern.offset + l->at];
    if (c == '%' || c == '_')
      break;
    if (c == '\\') {
      if (++l->at == l->pattern.length)
        return vdb_fail_pos(l->binding->err, VECDB_ERR_FILTER, l->pos,
                            "the pattern ends with a backslash that escapes nothing");
      c = pool->data[l->pattern.offset + l->at];
    }
    struct filter_text one;
    VDB_TRY(vdb_filter_pool(l->binding, &c, 1, l->pos, &one));
    out->length++;
  }
  return VECDB_OK;
}

/* The table of a literal: how much of it is still matched when its next byte does not fit. */
static int filter_like_fails(struct filter_like_builder *l, struct filter_segment *segment) {
  struct filter_like *like = l->like;
  struct filter_text literal = like->pieces[segment->first].literal;
  const uint8_t *bytes = l->binding->filter->pool.data + literal.offset;
  if (!VDB_GROW(l->binding->mem, like->fails, like->fails_capacity, like->n_fails + literal.length))
    return vdb_fail_memory(l->binding->err);
  uint32_t *fails = like->fails + like->n_fails;
  segment->fail = (uint32_t)like->n_fails;
  like->n_fails += literal.length;
  fails[0] = 0;
  uint32_t matched = 0;
  for (uint32_t i = 1; i < literal.length; i++) {
    while (matched > 0 && bytes[i] != bytes[matched])
      matched = fails[matched - 1];
    matched += bytes[i] == bytes[matched];
    fails[i] = matched;
  }
  return VECDB_OK;
}

/* Prepares the segments between two %, which are searched for. */
static int filter_like_finish(struct filter_like_builder *l) {
  struct filter_like *like = l->like;
  for (size_t i = 1; i + 1 < like->n_segments; i++) {
    struct filter_segment *segment = &like->segments[i];
    if (segment->n == 1 && like->pieces[segment->first].skip == 0) {
      VDB_TRY(filter_like_fails(l, segment));
      continue;
    }
    uint64_t length = 0;
    for (uint32_t k = 0; k < segment->n; k++)
      length += like->pieces[segment->first + k].skip +
                (uint64_t)like->pieces[segment->first + k].literal.length;
    if (length > FILTER_MAX_LIKE_PART)
      return vdb_fail_pos(l->binding->err, VECDB_ERR_LIMIT, l->pos,
                          "a part with _ between two %% of the pattern is over %u bytes",
                          FILTER_MAX_LIKE_PART);
  }
  return VECDB_OK;
}

/* A run of % and _ is "so many characters, then anything", whatever their order. */
static int filter_like_parse(struct filter_like_builder *l) {
  VDB_TRY(filter_like_add_segment(l));
  while (l->at < l->pattern.length) {
    uint32_t skip = 0;
    bool any = false;
    for (; l->at < l->pattern.length; l->at++) {
      uint8_t c = l->binding->filter->pool.data[l->pattern.offset + l->at];
      if (c != '%' && c != '_')
        break;
      skip += c == '_';
      any = any || c == '%';
    }
    struct filter_text literal = {0, 0};
    if (any) {
      if (skip)
        VDB_TRY(filter_like_add_piece(l, skip, literal));
      VDB_TRY(filter_like_add_segment(l));
      skip = 0;
    }
    VDB_TRY(filter_like_literal(l, &literal));
    if (skip || literal.length)
      VDB_TRY(filter_like_add_piece(l, skip, literal));
  }
  return filter_like_finish(l);
}

VDB_INTERNAL int vdb_filter_like_build(struct filter_binding *b, struct filter_text pattern,
                                       uint32_t pos, uint32_t *out) {
  struct vdb_filter *filter = b->filter;
  if (pattern.length > VECDB_MAX_VARCHAR)
    return vdb_fail_pos(b->err, VECDB_ERR_LIMIT, pos, "the pattern is longer than %d bytes",
                        VECDB_MAX_VARCHAR);
  if (!VDB_GROW(b->mem, filter->likes, filter->likes_capacity, filter->n_likes + 1))
    return vdb_fail_memory(b->err);
  struct filter_like *like = &filter->likes[filter->n_likes];
  memset(like, 0, sizeof *like);
  like->source = pattern;
  *out = (uint32_t)filter->n_likes++; /* from here on freed with the filter */
  struct filter_like_builder l = {b, like, pattern, 0, pos};
  return filter_like_parse(&l);
}

VDB_INTERNAL void vdb_filter_like_free(struct vdb_mem *mem, struct filter_like *like) {
  vdb_free(mem, like->pieces);
  vdb_free(mem, like->segments);
  vdb_free(mem, like->fails);
}

VDB_INTERNAL struct filter_text vdb_filter_like_prefix(const struct filter_like *like, bool *whole,
                                                       bool *exact) {
  const struct filter_segment *first = &like->segments[0];
  struct filter_text prefix = {0, 0};
  bool plain = first->n == 0 || (first->n == 1 && like->pieces[first->first].skip == 0);
  if (first->n > 0 && like->pieces[first->first].skip == 0)
    prefix = like->pieces[first->first].literal;
  *exact = plain && like->n_segments == 1;
  *whole = plain && like->n_segments == 2 && like->segments[1].n == 0;
  return prefix;
}

/* ---- matching ---- */

static bool filter_like_continuation(uint8_t c) {
  return (c & 0xc0) == 0x80;
}

/* Matches a segment's pieces at `at`; the place behind them, or NULL. */
static const uint8_t *filter_like_forward(const struct filter_like *like, const uint8_t *pool,
                                          const struct filter_segment *segment, const uint8_t *at,
                                          const uint8_t *end) {
  for (uint32_t i = 0; i < segment->n; i++) {
    const struct filter_piece *piece = &like->pieces[segment->first + i];
    for (uint32_t skip = piece->skip; skip > 0; skip--) {
      if (at == end)
        return NULL;
      for (at++; at < end && filter_like_continuation(*at);)
        at++;
    }
    if (piece->literal.length == 0)
      continue;
    if (piece->literal.length > (size_t)(end - at) ||
        memcmp(at, pool + piece->literal.offset, piece->literal.length) != 0)
      return NULL;
    at += piece->literal.length;
  }
  return at;
}

/* Matches the last segment so that it ends at `end`; where it starts, or NULL when before `start`.
 */
static const uint8_t *filter_like_backward(const struct filter_like *like, const uint8_t *pool,
                                           const struct filter_segment *segment,
                                           const uint8_t *start, const uint8_t *end) {
  for (uint32_t i = segment->n; i-- > 0;) {
    const struct filter_piece *piece = &like->pieces[segment->first + i];
    size_t length = piece->literal.length;
    if (length > (size_t)(end - start) ||
        (length && memcmp(end - length, pool + piece->literal.offset, length) != 0))
      return NULL;
    end -= piece->literal.length;
    for (uint32_t skip = piece->skip; skip > 0; skip--) {
      if (end == start)
        return NULL;
      for (end--; end > start && filter_like_continuation(*end);)
        end--;
    }
  }
  return end;
}

/* The place behind the first occurrence of a literal, or NULL. */
static const uint8_t *filter_like_find(const uint8_t *literal, uint32_t n, const uint32_t *fails,
                                       const uint8_t *at, const uint8_t *end) {
  uint32_t matched = 0;
  while (at < end) {
    if (matched == 0) {
      at = memchr(at, literal[0], (size_t)(end - at));
      if (!at)
        return NULL;
    }
    while (matched > 0 && *at != literal[matched])
      matched = fails[matched - 1];
    matched += *at++ == literal[matched];
    if (matched == n)
      return at;
  }
  return NULL;
}

static const uint8_t *filter_like_search(const struct filter_like *like, const uint8_t *pool,
                                         const struct filter_segment *segment, const uint8_t *at,
                                         const uint8_t *end) {
  if (segment->fail != FILTER_NONE) {
    struct filter_text literal = like->pieces[segment->first].literal;
    return filter_like_find(pool + literal.offset, literal.length, like->fails + segment->fail, at,
                            end);
  }
  for (; at < end; at++) {
    const uint8_t *behind = filter_like_forward(like, pool, segment, at, end);
    if (behind)
      return behind;
  }
  return NULL;
}

VDB_INTERNAL bool vdb_filter_like_match(const struct filter_like *like, const uint8_t *pool,
                                        struct vdb_bytes text) {
  static const uint8_t empty[1];
  if (text.n == 0)
    text.data = empty;
  const uint8_t *end = text.data + text.n;
  const uint8_t *at = filter_like_forward(like, pool, &like->segments[0], text.data, end);
  size_t last = like->n_segments - 1;
  if (!at || last == 0)
    return at && at == end;
  end = filter_like_backward(like, pool, &like->segments[last], at, end);
  if (!end)
    return false;
  for (size_t i = 1; i < last; i++) {
    at = filter_like_search(like, pool, &like->segments[i], at, end);
    if (!at)
      return false;
  }
  return true;
}
