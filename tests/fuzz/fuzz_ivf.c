/*
 * fuzz_ivf.c - the input changes a sound set of IVF sections: its first byte names the way they
 * were made, and then each 8 bytes a section, a place and a value; a place past the end cuts the
 * section. Opening must refuse the result or give an index that searches within its memory and
 * ends.
 */
#include "../tlib/ivftest.h"

enum { FUZZ_N = 70, FUZZ_DIM = 8 };

static struct ix_data fuzz_data;
static struct ix_sections fuzz_sound[VDB_COUNT(ivf_ways)];

static void fuzz_make(void) {
  vecdb_error err = {0};
  ix_data_make(&fuzz_data, VDB_F32, VECDB_L2, FUZZ_N, FUZZ_DIM, 2);
  for (size_t way = 0; way < VDB_COUNT(ivf_ways); way++) {
    struct vdb_mem mem;
    vdb_mem_init(&mem, NULL, 0);
    ix_sections_init(&fuzz_sound[way]);
    if (ivf_build(&mem, &fuzz_data, &ivf_ways[way], 1, &fuzz_sound[way], &err))
      abort();
  }
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
  struct vdb_search s = {.mem = mem, .query = &q, .effort = 4, .top = {items, i ? 10 : FUZZ_N, 0}};
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
  if (!fuzz_sound[0].n)
    fuzz_make();
  if (size == 0)
    return 0;
  size_t way = input[0] % VDB_COUNT(ivf_ways);
  struct ix_sections all;
  struct vdb_mem mem;
  struct vdb_index *index;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_sections_init(&all);
  all.n = fuzz_sound[way].n;
  for (size_t i = 0; i < all.n; i++) {
    const struct ix_section *from = &fuzz_sound[way].items[i];
    all.items[i] = *from;
    all.items[i].data = NULL;
    ix_section_set(&all.items[i], from->data, from->n, NULL, 0);
  }
  for (size_t at = 1; at + 8 <= size; at += 8)
    fuzz_change(&all, input + at);
  if (ivf_open_way(&mem, &fuzz_data, &ivf_ways[way], &all, &index, &err) == VECDB_OK) {
    for (size_t i = 0; i < 4; i++)
      fuzz_search(index, &mem, i);
    index->ops->close(&mem, index);
  }
  if (mem.used != 0)
    abort();
  ix_sections_free(&all);
  return 0;
}
