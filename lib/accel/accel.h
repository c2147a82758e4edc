/*
 * accel.h - what an accelerator module gives the library: a table of functions, found in a shared
 * library at run time. The library does not depend on a module, nor on what the module is built
 * with; a module includes this header alone.
 *
 * A module keeps rows in the memory of a device and finds candidates among them, by keys that are
 * never above the exact ones. The library scores the candidates with its own kernels, so that its
 * answers have the same bits with a module as without: a scan has missed nothing if the k-th
 * nearest is nearer than the last candidate can be. Else the library scans itself.
 *
 * Of an index with lists the module keeps lists and centroids in place of rows. It finds the lists
 * nearest to a query, and in them the candidates, by the codes; rows stay with the library.
 */
#ifndef VDB_ACCEL_H
#define VDB_ACCEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VDB_ACCEL_VERSION 2
#define VDB_ACCEL_SYMBOL "vdb_accel_table" /* a function: const struct vdb_accel_ops *(void) */

enum {
  VDB_ACCEL_MAX_K = 512,     /* candidates of a query */
  VDB_ACCEL_MAX_DIM = 16384, /* elements of a row */
  VDB_ACCEL_MAX_LINKS = 256, /* of a node */
  VDB_ACCEL_SLOTS = 32       /* of a block of coded rows */
};

/* Elements of rows, as they come from the host. */
enum vdb_accel_elem {
  VDB_ACCEL_F32,
  VDB_ACCEL_F16,
  VDB_ACCEL_BF16,
  VDB_ACCEL_I8,
  VDB_ACCEL_BITS /* packed, eight a byte */
};

/* What keys are: smaller is nearer. */
enum vdb_accel_key {
  VDB_ACCEL_L2,     /* squared distance */
  VDB_ACCEL_DOT,    /* the inner product, negative */
  VDB_ACCEL_COSINE, /* of rows that are scaled by `inv_norms` first, the inner product, negative */
  VDB_ACCEL_HAMMING /* bits that differ */
};

/* Results of the functions below. */
enum vdb_accel_status {
  VDB_ACCEL_OK,
  VDB_ACCEL_NO_DEVICE,
  VDB_ACCEL_NO_MEMORY, /* the device's, or the host's */
  VDB_ACCEL_UNFIT,     /* rows or a question the module does not do */
  VDB_ACCEL_FAILED     /* the driver reported an error */
};

/* A message of the failed call, ending in a zero byte. */
struct vdb_accel_why {
  char text[200];
};

struct vdb_accel_device {
  char name[128];
  uint64_t memory; /* bytes */
  uint64_t free;
};

/* How the rows in lists are coded, in blocks of VDB_ACCEL_SLOTS. */
enum vdb_accel_code {
  VDB_ACCEL_NIBBLES, /* for each of m sub-codes 16 bytes: byte 2i + h has row 8h + i in its low half
                        and row 16 + 8h + i in its high half; f16 add[32]; if rescaled f16
                        rescale[32]. The query's table has 16 bytes for each sub-code */
  VDB_ACCEL_BYTES,   /* for each of m sub-codes 32 bytes, row i's at i; the rest as above. 256 */
  VDB_ACCEL_INTS     /* i8 codes[32][m], f32 add[32], f32 rescale[32]. The table is m i8 */
};

/*
 * Lists of coded rows around centroids. Keys are
 *
 *   of list l       biases[l] + by * scales[l] * <query's code, centroid> + spreads[l]
 *   of a row in it  base + add + rescale * (scale * sum + offset), where base is the list's key
 *                   less its spread, sum that of the look-ups, or the product with the table
 *
 * `by`, scale and offset are the query's; rescale is 1 where blocks have none.
 */
struct vdb_accel_lists {
  const int8_t *centroids; /* of list l at l * stride, which is a multiple of 16 */
  size_t stride;
  const float *scales;
  const float *biases;
  const float *spreads;    /* NULL: zeroes */
  uint32_t n;              /* lists */
  uint32_t n_rows;         /* all rows are below; slots with others are free */
  const uint32_t *starts;  /* list l is blocks starts[l] to starts[l + 1]: ascending, from 0 */
  const uint32_t *rows;    /* of the slots */
  const uint8_t *blocks;
  size_t block_bytes;
  int32_t code;            /* enum vdb_accel_code */
  uint32_t m;              /* nibbles: a multiple of 4, of INTS of 16 */
  int rescaled;            /* not of INTS, which always are */
};

/* Rows to be copied to a device, and for walks a graph over them; or, if there are lists, these
   alone. Borrowed for the call. */
struct vdb_accel_rows {
  const struct vdb_accel_lists *lists;
  const void *data;       /* row i at data + i * stride */
  size_t stride;          /* bytes */
  const float *inv_norms; /* COSINE: one a row */
  uint32_t n;
  uint32_t dim;           /* elements; of BITS a multiple of 8 */
  int32_t elem;           /* enum vdb_accel_elem */
  int32_t key;            /* enum vdb_accel_key */
  const uint32_t *links;  /* node i's at links + i * width, UINT32_MAX where there is none; NULL: no
                             graph. All others are below n. */
  uint32_t width;
  const uint32_t *starts; /* nodes from which walks start */
  uint32_t n_starts;
};

/* A question of n queries. */
struct vdb_accel_ask {
  const void *queries;   /* one after another: floats, of length 1 for COSINE; of BITS whole words
                            of four bytes */
  uint32_t n;
  uint32_t k;            /* candidates for each query, at most VDB_ACCEL_MAX_K */
  uint32_t width;        /* walks: rows kept while walking, k to VDB_ACCEL_MAX_K */
  const uint64_t *allow; /* bitmap of the rows that may be found; NULL: all */
  /* The answer, the caller's memory: of query i rows and keys from i * k on, nearest first, equal
     keys by row. A scan's keys are not above those that the library's kernels give, a walk's are
     about as large; under an `allow` it may bring fewer than there are. */
  uint32_t *rows;
  float *keys;
  uint32_t *counts;      /* how many, at most k; of a scan fewer only if no more are allowed */
};

/* How a query is compared with lists and the rows in them. */
struct vdb_accel_form {
  const int8_t *code;   /* `stride` of them */
  const uint8_t *table; /* as the code of the lists says */
  float by;
  float scale;
  float offset;
};

/* A question of n queries about lists. */
struct vdb_accel_look {
  const struct vdb_accel_form *queries;
  uint32_t n;
  uint32_t k;            /* candidates for each query, at most VDB_ACCEL_MAX_K */
  uint32_t probes;       /* lists looked through: the nearest, at most VDB_ACCEL_MAX_K, */
  float reach;           /* whose keys are at most so much above the least one; may be infinite */
  const uint64_t *allow; /* as in vdb_accel_ask */
  /* The answer, as in vdb_accel_ask, but that a row of two lists may come twice. No slot of these
     lists has a key below that of the last candidate and is no candidate. */
  uint32_t *rows;
  float *keys;
  uint32_t *counts;
  uint32_t *blocks;      /* compared, of each query */
};

struct vdb_accel_set; /* rows on a device */

/* All may be called by any number of threads. `why` is filled by calls that fail. */
struct vdb_accel_ops {
  uint32_t version; /* VDB_ACCEL_VERSION */
  const char *name;
  uint32_t (*devices)(void); /* 0 when there is none, or no driver */
  int (*describe)(uint32_t device, struct vdb_accel_device *out, struct vdb_accel_why *why);
  /* Bytes of device memory that load would take. */
  uint64_t (*need)(const struct vdb_accel_rows *rows);
  int (*load)(uint32_t device, const struct vdb_accel_rows *rows, struct vdb_accel_set **out,
              struct vdb_accel_why *why);
  /* No call on the set may be under way. */
  void (*drop)(struct vdb_accel_set *set);
  /* Compares all rows. */
  int (*scan)(struct vdb_accel_set *set, const struct vdb_accel_ask *ask,
              struct vdb_accel_why *why);
  /* Walks the graph, through all rows. */
  int (*walk)(struct vdb_accel_set *set, const struct vdb_accel_ask *ask,
              struct vdb_accel_why *why);
  /* Looks through lists. */
  int (*look)(struct vdb_accel_set *set, const struct vdb_accel_look *look,
              struct vdb_accel_why *why);
};

#ifdef __cplusplus
}
#endif

#endif
