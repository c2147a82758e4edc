/*
 * curve.h - how much of the true neighbours an index finds at which effort, as measured when it was
 * built, and its bytes in the manifest. What measures and reads curves is index/curve.h.
 */
#ifndef VDB_CURVE_H
#define VDB_CURVE_H

#include "base/bytes.h"

enum {
  VDB_CURVE_POINTS = 12,
  VDB_CURVE_SLOTS = 3, /* k of 1, 10 and 100 */
  VDB_CURVE_STRETCHES = 2, /* k up to 10, and of 100 */
  VDB_CURVE_POINT_BYTES = 4 * (2 + 2 * VDB_CURVE_SLOTS) /* without stretches */
};

#define VDB_CURVE_STRETCH_MOST 1e6f

struct vdb_curve_point {
  uint32_t effort;
  float distances;               /* vectors compared, per query of k 10 */
  float recall[VDB_CURVE_SLOTS]; /* mean over the queries; does not fall from point to point */
  float sure[VDB_CURVE_SLOTS];   /* a standard error below it */
  /* vdb_search.stretch with which searches reach as far as, on average, they do without at this
     effort; 0: not measured. Does not fall from point to point. All else is measured with it. */
  float stretch[VDB_CURVE_STRETCHES];
};

struct vdb_curve {
  uint32_t n; /* points, of rising effort; 0: not measured */
  struct vdb_curve_point points[VDB_CURVE_POINTS];
};

VDB_INLINE void vdb_curve_write(struct vdb_writer *w, const struct vdb_curve *curve) {
  vdb_write_u32(w, curve->n);
  for (uint32_t i = 0; i < curve->n; i++) {
    const struct vdb_curve_point *p = &curve->points[i];
    vdb_write_u32(w, p->effort);
    vdb_write_bytes(w, &p->distances, sizeof p->distances);
    vdb_write_bytes(w, p->recall, sizeof p->recall);
    vdb_write_bytes(w, p->sure, sizeof p->sure);
    vdb_write_bytes(w, p->stretch, sizeof p->stretch);
  }
}

VDB_INLINE bool vdb_curve_share(float share) { return share >= 0 && share <= 1; }

/* Files of format 1 have no stretches. */
VDB_INLINE void vdb_curve_read_stretch(struct vdb_reader *r, struct vdb_curve_point *p,
                                       const struct vdb_curve_point *before) {
  const void *floats = vdb_read_bytes(r, sizeof p->stretch);
  if (!floats)
    return;
  memcpy(p->stretch, floats, sizeof p->stretch);
  for (uint32_t k = 0; k < VDB_CURVE_STRETCHES; k++)
    r->bad = r->bad || !(p->stretch[k] >= before->stretch[k] && p->stretch[k] >= 0 &&
                         p->stretch[k] <= VDB_CURVE_STRETCH_MOST);
}

/* What no measurement gives makes the reader bad. */
VDB_INLINE void vdb_curve_read(struct vdb_reader *r, bool stretches, struct vdb_curve *curve) {
  memset(curve, 0, sizeof *curve);
  uint32_t n = vdb_read_count(r, VDB_CURVE_POINT_BYTES);
  r->bad = r->bad || n > VDB_CURVE_POINTS;
  for (uint32_t i = 0; i < n && !r->bad; i++) {
    struct vdb_curve_point *p = &curve->points[i];
    p->effort = vdb_read_u32(r);
    const void *floats = vdb_read_bytes(r, sizeof(float) * (1 + 2 * VDB_CURVE_SLOTS));
    if (!floats)
      return;
    memcpy(&p->distances, floats, sizeof(float) * (1 + 2 * VDB_CURVE_SLOTS));
    const struct vdb_curve_point *before = i ? p - 1 : p;
    bool good = p->effort > (i ? before->effort : 0) && p->distances >= 0;
    for (uint32_t k = 0; k < VDB_CURVE_SLOTS; k++)
      good = good && vdb_curve_share(p->recall[k]) && vdb_curve_share(p->sure[k]) &&
             p->recall[k] >= before->recall[k] && p->sure[k] >= before->sure[k];
    r->bad = r->bad || !good;
    if (stretches)
      vdb_curve_read_stretch(r, p, before);
  }
  curve->n = r->bad ? 0 : n;
}

#endif
