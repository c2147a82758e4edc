/* visited.c - see visited.h. */
#include "index/visited.h"

VDB_INTERNAL bool vdb_visited_init(struct vdb_visited *v, struct vdb_mem *mem, uint32_t n) {
  v->n_words = n / 64 + 1;
  v->n_touched = 0;
  v->words = vdb_alloc_zero(mem, v->n_words * sizeof *v->words);
  v->touched = vdb_alloc_array(mem, (size_t)v->n_words + 1, sizeof *v->touched);
  if (v->words && v->touched)
    return true;
  vdb_visited_free(v, mem);
  return false;
}

VDB_INTERNAL void vdb_visited_free(struct vdb_visited *v, struct vdb_mem *mem) {
  vdb_free(mem, v->words);
  vdb_free(mem, v->touched);
  v->words = NULL;
  v->touched = NULL;
}

VDB_INTERNAL void vdb_visited_clear(struct vdb_visited *v) {
  for (uint32_t i = 0; i < v->n_touched; i++)
    v->words[v->touched[i]] = 0;
  v->n_touched = 0;
}
