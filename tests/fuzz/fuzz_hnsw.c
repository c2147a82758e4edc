/*
 * fuzz_hnsw.c - the input changes a sound set of HNSW sections: each 8 bytes name a section, a
 * place and a value; a place past the end cuts the section. Opening must refuse the result or give
 * an index that searches within its memory and ends.
 */
#include "../tlib/ixtest.h"

enum { FUZZ_N = 70, FUZZ_DIM = 8, FUZZ_M = 4 };

static struct ix_data fuzz_data;
static struct ix_sections fuzz_sound;

static void fuzz_make(void) {
  struct vdb_mem mem;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&fuzz_data, VDB_F32, VECDB_L2, FUZZ_N, FUZZ_DIM, 2);
  ix_sections_init(&fuzz_sound);
  if (ix_build(&mem, &fuzz_data, 1, FUZZ_M, &fuzz_sound, &err))
    abort();
}

static void fuzz_change(struct ix_sections *all, const uint8_t *change) {
  struct ix_section *s = &all->items[change[0] % all->n];
  uint16_t at;
  uint32_t value;
  memcpy(&at, change + 2, sizeof at);
  memcpy(&value, change + 4, sizeof value);
  size_t place = (size_t)at * 4 % (s->n + 64);
  if (place + sizeof value <= s->n) {
    memcpy(s->data + place, &value, sizeof value);
    return;
  }
  struct ix_section cut = *s;
  cut.data = NULL;
  ix_section_set(&cut, s->data, value % (s->n + 1), NULL, 0);
  free(s->data);
  *s = cut;
}

static void fuzz_search(const struct vdb_index *index, struct vdb_mem *mem, size_t i) {
  vecdb_error err = {0};
  uint64_t allow[2] = {0x1248124812481248, 0x3};
  struct vdb_query_vec q = ix_prepare(&fuzz_data, ix_query(&fuzz_data, i));
  struct vdb_near items[FUZZ_N];
  struct vdb_search s = {.mem = mem, .query = &q, .effort = 30, .top = {items, i ? 10 : FUZZ_N, 0}};
  s.allow = i % 2 ? allow : NULL;
  if (index->ops->search(index, &s, &err))
    abort();
  for (size_t k = 0; k < s.top.n; k++)
    if (items[k].row >= FUZZ_N)
      abort();
  free(q.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (!fuzz_sound.n)
    fuzz_make();
  struct ix_sections all;
  struct vdb_mem mem;
  struct vdb_index *index;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_sections_init(&all);
  all.n = fuzz_sound.n;
  for (size_t i = 0; i < all.n; i++) {
    all.items[i] = fuzz_sound.items[i];
    all.items[i].data = NULL;
    ix_section_set(&all.items[i], fuzz_sound.items[i].data, fuzz_sound.items[i].n, NULL, 0);
  }
  for (size_t at = 0; at + 8 <= size; at += 8)
    fuzz_change(&all, input + at);
  if (ix_open(&mem, &fuzz_data, &all, &index, &err) == VECDB_OK) {
    for (size_t i = 0; i < 4; i++)
      fuzz_search(index, &mem, i);
    index->ops->close(&mem, index);
  }
  if (mem.used != 0)
    abort();
  ix_sections_free(&all);
  return 0;
}
