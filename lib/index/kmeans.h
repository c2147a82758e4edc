/*
 * kmeans.h - k-means over f32 rows, seeded and parallel, with the same result for any number of
 * workers: rows are assigned one by one, and each centroid is summed over its rows in their order.
 *
 * Many centroids are found from few: rows are clustered into about sqrt(k) groups first, each group
 * into its share of the k centroids, and then all rows are assigned to all centroids in a few last
 * rounds (Lloyd 1982). Each begins with rows far from each other (k-means++). A centroid that no
 * row is nearest to takes half of the largest cluster.
 */
#ifndef VDB_KMEANS_H
#define VDB_KMEANS_H

#include "base/err.h"
#include "base/mem.h"
#include "base/par.h"

struct vdb_kmeans {
  struct vdb_mem *mem;
  const struct vdb_par *par;
  const float *rows;   /* n rows of dim floats, one behind the other; finite */
  uint32_t n;
  uint32_t dim;
  uint32_t k;          /* 1 to n */
  uint32_t iterations; /* last rounds over all rows; 0: 2 */
  uint32_t sample;     /* rows per centroid to learn from, taken evenly at random; 0: 256 */
  uint64_t seed;
  bool spherical;      /* centroids have length 1, and rows go where the inner product is largest */
  bool balanced;       /* large clusters cost more, so that sizes come nearer to each other */
  /* Told rounds done now and then, from the calling thread; true cancels. NULL: none. */
  bool (*progress)(void *arg, uint64_t done, uint64_t total);
  void *progress_arg;
};

/* `centroids` gets k x dim floats. Errors: NO_MEMORY, CANCELLED, INDEX_PARAM (k is 0 or above n).
   */
VDB_INTERNAL int vdb_kmeans(const struct vdb_kmeans *job, float *centroids, vecdb_error *err);

/* Centroids to look for the nearest in. */
struct vdb_centroids {
  const float *data;   /* k x dim, one behind the other */
  const float *halves; /* half the squared norm of each; NULL: by the largest inner product */
  uint32_t k;
  uint32_t dim;
};

/* halves[i] = |data[i]|^2 / 2. */
VDB_INTERNAL void vdb_centroid_halves(const float *data, uint32_t k, uint32_t dim, float *halves);
/*
 * The `near` nearest centroids of each of n rows, nearest first, ties to the lower number:
 * ids[i * near + j], and in `keys` (unless NULL), likewise, halves[c] - <row, c> (without halves
 * -<row, c>), so that |row - c|^2 = |row|^2 + 2 key. near is 1 to min(k, 64). Parallel over rows.
 * NO_MEMORY.
 */
VDB_INTERNAL int vdb_centroids_nearest(struct vdb_mem *mem, const struct vdb_par *par,
                                       const struct vdb_centroids *c, const float *rows, size_t n,
                                       uint32_t near, uint32_t *ids, float *keys);

#endif
