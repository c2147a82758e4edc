/*
 * peers_filtered.cc - hnswlib and USearch under a filter, for peers_filtered.py: their Python
 * packages call Python for each row, or take no predicate, so that these are compiled from the headers
 * of the source packages. A filter is a bitmap of the rows that pass. An index is kept in a file, and
 * read from it if it is there.
 */
#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include <hnswlib/hnswlib.h>
#include <usearch/index_dense.hpp>

namespace us = unum::usearch;

static bool passes(const uint64_t *bits, uint64_t row) {
  return bits[row / 64] >> row % 64 & 1;
}

/* Calls add(row) for each of n rows from several threads. */
template <typename F> static void each(size_t n, size_t threads, F add) {
  std::vector<std::thread> all;
  for (size_t t = 0; t < threads; t++)
    all.emplace_back([=] {
      for (size_t i = t; i < n; i += threads)
        add(i, t);
    });
  for (auto &t : all)
    t.join();
}

struct passing : hnswlib::BaseFilterFunctor {
  const uint64_t *bits;
  explicit passing(const uint64_t *b) : bits(b) {}
  bool operator()(hnswlib::labeltype id) override { return passes(bits, id); }
};

extern "C" {

void *hnswlib_build(const float *x, size_t n, size_t dim, int ip, size_t m, size_t ef_construction,
                    size_t threads, const char *path, int there) {
  hnswlib::SpaceInterface<float> *space;
  if (ip)
    space = new hnswlib::InnerProductSpace(dim);
  else
    space = new hnswlib::L2Space(dim);
  if (there)
    return new hnswlib::HierarchicalNSW<float>(space, path);
  auto *index = new hnswlib::HierarchicalNSW<float>(space, n, m, ef_construction);
  index->addPoint(x, 0);
  each(n - 1, threads, [=](size_t i, size_t) { index->addPoint(x + (i + 1) * dim, i + 1); });
  index->saveIndex(path);
  return index;
}

void hnswlib_search(void *handle, const float *queries, size_t n, size_t dim, size_t k, size_t ef,
                    const uint64_t *bits, int64_t *ids) {
  auto *index = static_cast<hnswlib::HierarchicalNSW<float> *>(handle);
  passing filter(bits);
  index->setEf(std::max(ef, k));
  std::fill(ids, ids + n * k, -1);
  for (size_t q = 0; q < n; q++) {
    auto found = index->searchKnnCloserFirst(queries + q * dim, k, &filter);
    for (size_t i = 0; i < found.size(); i++)
      ids[q * k + i] = int64_t(found[i].second);
  }
}

void *usearch_build(const float *x, size_t n, size_t dim, int ip, size_t m, size_t ef_construction,
                    size_t threads, const char *path, int there) {
  us::metric_punned_t metric(dim, ip ? us::metric_kind_t::ip_k : us::metric_kind_t::l2sq_k,
                             us::scalar_kind_t::f32_k);
  us::index_dense_config_t config(m, ef_construction, 64);
  auto *index = new us::index_dense_t(us::index_dense_t::make(metric, config));
  if (there)
    return index->load(path) ? index : nullptr;
  if (!index->try_reserve(us::index_limits_t(n, threads)))
    return nullptr;
  each(n, threads, [=](size_t i, size_t t) { index->add(i, x + i * dim, t).error.release(); });
  index->save(path);
  return index;
}

void usearch_search(void *handle, const float *queries, size_t n, size_t dim, size_t k, size_t ef,
                    const uint64_t *bits, int64_t *ids) {
  auto *index = static_cast<us::index_dense_t *>(handle);
  index->change_expansion_search(std::max(ef, k));
  std::fill(ids, ids + n * k, -1);
  for (size_t q = 0; q < n; q++) {
    auto found = index->filtered_search(queries + q * dim, k,
                                        [=](us::default_key_t row) { return passes(bits, row); });
    for (size_t i = 0; i < found.size(); i++)
      ids[q * k + i] = int64_t(found[i].member.key);
  }
}
}
