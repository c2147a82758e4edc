/*
 * milvus_group.c - searches grouped by a field: limit and offset count groups, which come one after
 * the other, the nearest first. Groups are always full where there are rows for it, so that strict
 * sizes are nothing to ask for.
 */
#include <string.h>
#include <strings.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/milvus_search.h"

bool milvus_group_read(struct milvus_search_run *s) {
  const char *several = milvus_pair(&s->pairs, "group_by_fields");
  const char *name = milvus_pair(&s->pairs, "group_by_field");
  if (several && *several && strcasecmp(several, "false") != 0)
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "searches with group_by_fields are not served");
  if (!name || !*name || strcasecmp(name, "false") == 0)
    return true;
  const vecdb_field *field = srv_schema_field(s->open.schema, name);
  if (!field || milvus_hidden(name))
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "group by field %.255s not exist", name);
  s->group = (vecdb_group_by)VECDB_GROUP_BY_INIT;
  s->group.field = field->name;
  s->group.hits = 1;
  if (!milvus_search_number(s, "group_size", &s->group.hits))
    return false;
  return (s->group.hits > 0 && s->group.hits <= VECDB_MAX_K / s->params.k) ||
         milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "limit + offset groups of group_size are more than "
                     "%d hits", VECDB_MAX_K);
}

/* The fields of the rows, that of the groups among them. */
static bool group_fields(struct milvus_search_run *s) {
  const char **names = srv_arena_array(&s->m->call->arena, s->fields.n + 1, sizeof *names);
  if (!names)
    return milvus_no_memory(s->m);
  for (size_t i = 0; i < s->fields.n; i++)
    names[i] = s->fields.names[i];
  names[s->fields.n] = s->group.field;
  s->params.fields = names;
  s->params.n_fields = s->fields.n + 1;
  return true;
}

/* The hits of the groups after the offset, as those of one list per query. */
static void group_flatten(struct milvus_search_run *s, const vecdb_hit *hits,
                          const uint32_t *counts, struct milvus_hits *out) {
  uint32_t k = s->params.k, size = s->group.hits;
  for (uint32_t q = 0; q < s->params.n_queries; q++) {
    out->counts[q] = 0;
    for (uint32_t g = s->offset; g < k; g++)
      for (uint32_t i = 0; i < counts[q * k + g]; i++)
        out->hits[(size_t)q * k * size + out->counts[q]++] =
            hits[((size_t)q * k + g) * size + i];
  }
  s->params.k = k * size;
  s->offset = 0;
}

bool milvus_group_hits(struct milvus_search_run *s, struct milvus_hits *out) {
  struct srv_arena *arena = &s->m->call->arena;
  size_t groups = (size_t)s->params.n_queries * s->params.k, n = groups * s->group.hits;
  vecdb_error error;
  vecdb_hit *hits = srv_arena_array(arena, n, sizeof *hits);
  uint32_t *counts = srv_arena_array(arena, groups, sizeof *counts);
  out->hits = srv_arena_array(arena, n, sizeof *out->hits);
  out->counts = srv_arena_array(arena, s->params.n_queries, sizeof *out->counts);
  if (!hits || !counts || !out->hits || !out->counts)
    return milvus_no_memory(s->m);
  if (s->ranged)
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "a range search cannot be grouped");
  if (!group_fields(s))
    return false;
  if (srv_guard_search_groups(s->m->call, s->open.collection, &s->params, &s->group, hits, counts,
                              NULL, &out->rows, &error) != VECDB_OK)
    return milvus_error(s->m, &error);
  group_flatten(s, hits, counts, out);
  return true;
}

void milvus_group_write(struct milvus_search_run *s, const struct engine_rows *rows,
                        const uint32_t *pick, size_t n) {
  const struct milvus_fields field = {&s->group.field, 1, NULL, 0};
  milvus_columns_write(s->m, 8, &s->open, &field, rows, pick, n);
}
