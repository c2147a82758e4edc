/* jlog_int.h - records, segments and the state of a log, for the files of jlog alone. */
#ifndef CLUSTER_NODE_JLOG_INT_H
#define CLUSTER_NODE_JLOG_INT_H

#include "node/jlog.h"

enum {
  JLOG_WORDS = 16,
  JLOG_RECORD = JLOG_WORDS * 8, /* bytes before the body */
  JLOG_HEAD = 32,               /* bytes of a segment before its records */
  JLOG_SPARE = 256 * JLOG_RECORD, /* of a segment, kept for records without an entry */
  JLOG_PATH = 4096
};

/* All of the log but the bodies, as of this record. An entry is the one at `last`. */
struct jlog_record {
  uint64_t ordinal; /* counts the log's records, from 1 */
  uint64_t synced;  /* records up to here were durable when this one was made */
  struct rep_state state;
  struct rep_pos base;
  uint64_t last;
  bool has_entry;
  struct rep_entry entry; /* its body lies in the bytes that were read */
};

struct jlog_segment {
  uint64_t number; /* ascending; never used twice */
  vecdb_file *file;
  uint64_t end;    /* where the next record goes */
  uint64_t limit;  /* bytes reserved */
  uint64_t top;    /* largest position of an entry in it */
  uint64_t ordinal; /* of its last record */
  bool named;      /* the folder was synced since it was made */
};

/* Where an entry is. */
struct jlog_slot {
  uint64_t segment; /* number; 0: damaged */
  uint64_t at;
  uint32_t n; /* of the body */
  struct jlog_kept *kept;
};

/* A record in memory; a list, the one used last at its end. */
struct jlog_kept {
  struct jlog_kept *before, *after;
  uint64_t seq;
  size_t n;
  uint8_t *bytes; /* behind this */
};

struct jlog {
  struct jlog_options o;
  char folder[JLOG_PATH];
  struct jlog_segment *segments;
  size_t n_segments, room_segments;
  uint64_t next_number;
  bool fresh;  /* the last segment is of this life */
  bool failed; /* a write or sync failed: nothing is written any more */
  uint64_t ordinal; /* of the last record */
  uint64_t synced;
  uint64_t told; /* `synced` as the last record says it */
  struct rep_state state;
  struct rep_pos base;
  uint64_t last;
  struct jlog_slot *slots; /* of base.seq + 1 to last */
  size_t n_slots, room_slots;
  struct jlog_kept kept; /* ends of the list */
  uint64_t kept_bytes;
  uint8_t *scratch; /* a record to be written */
  size_t scratch_room;
  /* The sync under way. */
  uint64_t sync_ordinal, sync_base, sync_number, sync_told;
  vecdb_file **sync_files;
  size_t n_sync, room_sync;
  bool sync_folder;
  uint64_t clean_number; /* segments before it have nothing unsynced */
};

/* jlog_record.c */
uint64_t jlog_seed(uint64_t id, uint64_t number);
/* Bytes of a record with a body of n. */
size_t jlog_size(uint32_t n);
/* Writes jlog_size(r->entry.n) bytes. */
void jlog_record_write(const struct jlog_record *r, uint64_t seed, uint8_t *out);
/* A record at the beginning of n bytes; its size, or 0: there is none. */
size_t jlog_record_read(const uint8_t *data, size_t n, uint64_t seed, struct jlog_record *out);
void jlog_head_write(uint64_t id, uint64_t number, uint8_t out[JLOG_HEAD]);
bool jlog_head_read(const uint8_t *data, size_t n, uint64_t id, uint64_t number);

/* jlog.c */
bool jlog_segment_path(const struct jlog *j, uint64_t number, char *out);
struct jlog_segment *jlog_segment_of(struct jlog *j, uint64_t number);
/* What a record changes in memory; `number` and `at` say where it is. False: no memory. */
bool jlog_take(struct jlog *j, const struct jlog_record *r, uint64_t number, uint64_t at);
/* Room for one more of an array. False: no memory. */
bool jlog_room(void *array, size_t *room, size_t n, size_t size);

/* jlog_cache.c: keeps a copy of the slot's record, if there is memory; rep_store's read. */
void jlog_keep(struct jlog *j, struct jlog_slot *slot, uint64_t seq, const uint8_t *record);
void jlog_forget(struct jlog *j, struct jlog_slot *slot);
bool jlog_read(void *arg, uint64_t seq, struct rep_entry *out);

/* jlog_open.c */
bool jlog_recover(struct jlog *j, struct jlog_found *found, char *why);

#endif
