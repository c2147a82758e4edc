/*
 * simmodel.h - the state behind simdisk.h, without locks, handles and faults: files and folders as
 * the program sees them, as they are on the disk, and the changes in between. Private to simdisk.
 */
#ifndef SIMMODEL_H
#define SIMMODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIMMODEL_SECTOR = 512, SIMMODEL_WIDE = 64 };

/* Bytes that a file and its mappings share; they follow SIMMODEL_WIDE bytes after the struct. */
struct simmodel_buffer {
  size_t refs;
  size_t capacity;
};

/* A change of a file that is not known to be on the disk, or that follows such a one. */
struct simmodel_op {
  bool resize;           /* to `length`; else a write of n bytes at offset */
  bool firm;             /* synced; still in the list only because an older one is not */
  bool stale;            /* met a failed sync: no later sync makes it firm */
  uint64_t length_before;
  uint64_t length;       /* of the file, after this change */
  uint64_t offset;
  size_t n;
  uint8_t *data;
};

struct simmodel_node;

/* A change of names: node gets the name `to` and loses the name `from`; either may be NULL. */
struct simmodel_name_op {
  struct simmodel_node *node;
  char *from;
  char *to;
};

struct simmodel_names {
  struct simmodel_entry {
    char *name;
    struct simmodel_node *node;
  } *entries;
  size_t n;
};

/* A file or folder. refs counts entries and operations that name it, and the holder's handles. */
struct simmodel_node {
  bool folder;
  bool locked;
  size_t refs;
  size_t index;    /* in the model's list */
  uint64_t id;     /* the same in clones; what a crash seed is mixed with */
  size_t links;    /* names the program sees */
  size_t handles;  /* kept by the holder */
  /* a file */
  struct simmodel_buffer *now; /* NULL: empty */
  uint64_t length;
  uint64_t reserved;
  uint8_t *disk;
  uint64_t disk_length;
  struct simmodel_op *ops;
  size_t n_ops;
  /* a folder */
  struct simmodel_names names;
  struct simmodel_names disk_names;
  struct simmodel_name_op *name_ops;
  size_t n_name_ops;
};

struct simmodel {
  struct simmodel_node **nodes;
  size_t n_nodes;
  uint64_t next_id;
  struct simmodel_node *root;
};

void simmodel_init(struct simmodel *m);
void simmodel_fini(struct simmodel *m);
/* Into an uninitialised model: what `from` sees and has on disk; no handles, no locks. */
void simmodel_clone(struct simmodel *m, const struct simmodel *from);
/* To a state that the disk may be in after a power cut. */
void simmodel_crash(struct simmodel *m, uint64_t seed);
/* Makes all that is seen durable. */
void simmodel_settle(struct simmodel *m);

/* Zeroed memory, or abort. */
void *simmodel_alloc(size_t size);
void *simmodel_resize(void *block, size_t size);
uint8_t *simmodel_bytes(struct simmodel_buffer *buffer);
void simmodel_buffer_drop(struct simmodel_buffer *buffer);
/* A file or folder with one reference. */
struct simmodel_node *simmodel_node_new(struct simmodel *m, bool folder);
void simmodel_node_drop(struct simmodel *m, struct simmodel_node *node);

/* Changes of a file, seen at once and durable with the next sync. */
void simmodel_write(struct simmodel_node *file, const void *data, size_t n, uint64_t offset);
void simmodel_truncate(struct simmodel_node *file, uint64_t length);
void simmodel_sync(struct simmodel_node *file);
void simmodel_sync_failed(struct simmodel_node *file);
/* Makes the file's bytes `data`, seen and on the disk; takes over data (malloc). */
void simmodel_set(struct simmodel_node *file, uint8_t *data, uint64_t length);

/* The node of that name (n bytes), or NULL. */
struct simmodel_node *simmodel_find(const struct simmodel_node *folder, const char *name, size_t n);
/* Moves or makes or takes a name in one folder, seen at once, durable with the next sync_names.
   `from` or `to` may be NULL. A node that had the name `to` loses it. */
void simmodel_name(struct simmodel *m, struct simmodel_node *folder, struct simmodel_node *node,
                   const char *from, const char *to);
void simmodel_sync_names(struct simmodel *m, struct simmodel_node *folder);

#endif
