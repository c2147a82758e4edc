/* simmodel.c - seen and durable state of a simulated disk; see simmodel.h. */
#include "tlib/simmodel.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* ---- Memory ---------------------------------------------------------------------------------- */

void *simmodel_alloc(size_t size) {
  void *block = calloc(1, size ? size : 1);
  if (!block)
    abort();
  return block;
}

void *simmodel_resize(void *block, size_t size) {
  void *moved = realloc(block, size ? size : 1);
  if (!moved)
    abort();
  return moved;
}

static char *simmodel_text(const char *text) {
  if (!text)
    return NULL;
  size_t n = strlen(text) + 1;
  return memcpy(simmodel_alloc(n), text, n);
}

static uint8_t *simmodel_copy(const void *data, size_t n) {
  uint8_t *copy = simmodel_alloc(n);
  if (n)
    memcpy(copy, data, n);
  return copy;
}

uint8_t *simmodel_bytes(struct simmodel_buffer *buffer) {
  return (uint8_t *)buffer + SIMMODEL_WIDE;
}

static struct simmodel_buffer *simmodel_buffer_new(size_t capacity) {
  size_t size = (capacity + 2 * SIMMODEL_WIDE - 1) / SIMMODEL_WIDE * SIMMODEL_WIDE;
  struct simmodel_buffer *buffer = aligned_alloc(SIMMODEL_WIDE, size);
  if (!buffer)
    abort();
  buffer->refs = 1;
  buffer->capacity = capacity;
  return buffer;
}

void simmodel_buffer_drop(struct simmodel_buffer *buffer) {
  if (buffer && --buffer->refs == 0)
    free(buffer);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

struct simmodel_node *simmodel_node_new(struct simmodel *m, bool folder) {
  struct simmodel_node *node = simmodel_alloc(sizeof *node);
  node->folder = folder;
  node->refs = 1;
  node->index = m->n_nodes;
  node->id = ++m->next_id;
  m->nodes = simmodel_resize(m->nodes, (m->n_nodes + 1) * sizeof *m->nodes);
  m->nodes[m->n_nodes++] = node;
  return node;
}

static void simmodel_ops_clear(struct simmodel_node *file) {
  for (size_t i = 0; i < file->n_ops; i++)
    free(file->ops[i].data);
  free(file->ops);
  file->ops = NULL;
  file->n_ops = 0;
}

static void simmodel_names_clear(struct simmodel *m, struct simmodel_names *names) {
  for (size_t i = 0; i < names->n; i++) {
    simmodel_node_drop(m, names->entries[i].node);
    free(names->entries[i].name);
  }
  free(names->entries);
  names->entries = NULL;
  names->n = 0;
}

static void simmodel_name_ops_clear(struct simmodel *m, struct simmodel_node *folder) {
  for (size_t i = 0; i < folder->n_name_ops; i++) {
    simmodel_node_drop(m, folder->name_ops[i].node);
    free(folder->name_ops[i].from);
    free(folder->name_ops[i].to);
  }
  free(folder->name_ops);
  folder->name_ops = NULL;
  folder->n_name_ops = 0;
}

void simmodel_node_drop(struct simmodel *m, struct simmodel_node *node) {
  if (--node->refs > 0)
    return;
  simmodel_names_clear(m, &node->names);
  simmodel_names_clear(m, &node->disk_names);
  simmodel_name_ops_clear(m, node);
  simmodel_ops_clear(node);
  simmodel_buffer_drop(node->now);
  free(node->disk);
  m->nodes[node->index] = m->nodes[--m->n_nodes];
  m->nodes[node->index]->index = node->index;
  free(node);
}

void simmodel_init(struct simmodel *m) {
  memset(m, 0, sizeof *m);
  m->root = simmodel_node_new(m, true);
}

void simmodel_fini(struct simmodel *m) {
  simmodel_node_drop(m, m->root);
  free(m->nodes);
}

/* ---- Bytes of files -------------------------------------------------------------------------- */

/* Sets the length that the program sees; new bytes are zeros. */
static void simmodel_set_length(struct simmodel_node *file, uint64_t length) {
  size_t capacity = file->now ? file->now->capacity : 0;
  if (length > capacity) {
    size_t wanted = (size_t)length > 2 * capacity ? (size_t)length : 2 * capacity;
    struct simmodel_buffer *grown = simmodel_buffer_new(wanted);
    if (file->now)
      memcpy(simmodel_bytes(grown), simmodel_bytes(file->now), (size_t)file->length);
    simmodel_buffer_drop(file->now); /* a mapping keeps the old one */
    file->now = grown;
  }
  if (length > file->length)
    memset(simmodel_bytes(file->now) + file->length, 0, (size_t)(length - file->length));
  file->length = length;
}

static struct simmodel_op *simmodel_op_new(struct simmodel_node *file) {
  file->ops = simmodel_resize(file->ops, (file->n_ops + 1) * sizeof *file->ops);
  struct simmodel_op *op = &file->ops[file->n_ops++];
  memset(op, 0, sizeof *op);
  op->length_before = file->length;
  return op;
}

void simmodel_truncate(struct simmodel_node *file, uint64_t length) {
  if (length == file->length)
    return;
  struct simmodel_op *op = simmodel_op_new(file);
  op->resize = true;
  op->length = length;
  simmodel_set_length(file, length);
}

void simmodel_write(struct simmodel_node *file, const void *data, size_t n, uint64_t offset) {
  if (n == 0)
    return;
  if (offset > file->length)
    simmodel_truncate(file, offset);
  struct simmodel_op *op = simmodel_op_new(file);
  if (offset + n > file->length)
    simmodel_set_length(file, offset + n);
  memcpy(simmodel_bytes(file->now) + offset, data, n);
  op->length = file->length;
  op->offset = offset;
  op->n = n;
  op->data = simmodel_copy(data, n);
}

/* Does the change to the durable bytes. */
static void simmodel_fold(struct simmodel_node *file, const struct simmodel_op *op) {
  if (op->length != file->disk_length) {
    file->disk = simmodel_resize(file->disk, (size_t)op->length);
    if (op->length > file->disk_length)
      memset(file->disk + file->disk_length, 0, (size_t)(op->length - file->disk_length));
    file->disk_length = op->length;
  }
  if (op->n)
    memcpy(file->disk + op->offset, op->data, op->n);
}

void simmodel_sync(struct simmodel_node *file) {
  size_t folded = 0;
  bool waits = false;
  for (size_t i = 0; i < file->n_ops; i++) {
    struct simmodel_op *op = &file->ops[i];
    op->firm = !op->stale;
    waits = waits || op->stale;
    if (!waits) {
      simmodel_fold(file, op);
      free(op->data);
      folded++;
    }
  }
  file->n_ops -= folded;
  if (folded && file->n_ops)
    memmove(file->ops, file->ops + folded, file->n_ops * sizeof *file->ops);
}

void simmodel_sync_failed(struct simmodel_node *file) {
  for (size_t i = 0; i < file->n_ops; i++)
    file->ops[i].stale = !file->ops[i].firm;
}

void simmodel_set(struct simmodel_node *file, uint8_t *data, uint64_t length) {
  simmodel_ops_clear(file);
  free(file->disk);
  file->disk = data;
  file->disk_length = length;
  simmodel_buffer_drop(file->now);
  file->now = NULL;
  file->length = 0;
  simmodel_set_length(file, length);
  if (length)
    memcpy(simmodel_bytes(file->now), data, (size_t)length);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static size_t simmodel_names_at(const struct simmodel_names *names, const char *name, size_t n) {
  size_t i = 0;
  while (i < names->n && (strncmp(names->entries[i].name, name, n) != 0 ||
                          names->entries[i].name[n] != '\0'))
    i++;
  return i;
}

struct simmodel_node *simmodel_find(const struct simmodel_node *folder, const char *name,
                                    size_t n) {
  size_t i = simmodel_names_at(&folder->names, name, n);
  return i < folder->names.n ? folder->names.entries[i].node : NULL;
}

/* Takes the name away, if it is `node`'s (NULL: whosever). */
static void simmodel_names_remove(struct simmodel *m, struct simmodel_names *names,
                                  const char *name, const struct simmodel_node *node) {
  size_t i = simmodel_names_at(names, name, strlen(name));
  if (i == names->n || (node && names->entries[i].node != node))
    return;
  struct simmodel_entry gone = names->entries[i];
  names->entries[i] = names->entries[--names->n];
  free(gone.name);
  simmodel_node_drop(m, gone.node);
}

static void simmodel_names_set(struct simmodel *m, struct simmodel_names *names, const char *name,
                               struct simmodel_node *node) {
  node->refs++;
  simmodel_names_remove(m, names, name, NULL);
  names->entries = simmodel_resize(names->entries, (names->n + 1) * sizeof *names->entries);
  struct simmodel_entry entry = {simmodel_text(name), node};
  names->entries[names->n++] = entry;
}

static void simmodel_names_copy(struct simmodel *m, struct simmodel_names *to,
                                const struct simmodel_names *from) {
  for (size_t i = 0; i < from->n; i++)
    simmodel_names_set(m, to, from->entries[i].name, from->entries[i].node);
}

/* Does one change of names to a table. Holds also where earlier ones were left out. */
static void simmodel_name_apply(struct simmodel *m, struct simmodel_names *names,
                                const struct simmodel_name_op *op) {
  if (op->to)
    simmodel_names_set(m, names, op->to, op->node);
  if (op->from)
    simmodel_names_remove(m, names, op->from, op->node);
}

void simmodel_name(struct simmodel *m, struct simmodel_node *folder, struct simmodel_node *node,
                   const char *from, const char *to) {
  size_t n = (folder->n_name_ops + 1) * sizeof *folder->name_ops;
  folder->name_ops = simmodel_resize(folder->name_ops, n);
  struct simmodel_name_op op = {node, simmodel_text(from), simmodel_text(to)};
  folder->name_ops[folder->n_name_ops++] = op;
  node->refs++;
  struct simmodel_node *replaced = to ? simmodel_find(folder, to, strlen(to)) : NULL;
  if (replaced)
    replaced->links--;
  node->links += to ? 1 : 0;
  node->links -= from ? 1 : 0;
  simmodel_name_apply(m, &folder->names, &op);
}

void simmodel_sync_names(struct simmodel *m, struct simmodel_node *folder) {
  struct simmodel_names old = folder->disk_names;
  memset(&folder->disk_names, 0, sizeof folder->disk_names);
  simmodel_names_copy(m, &folder->disk_names, &folder->names);
  simmodel_names_clear(m, &old);
  simmodel_name_ops_clear(m, folder);
}

/* ---- Clone ----------------------------------------------------------------------------------- */

static void simmodel_clone_file(struct simmodel_node *to, const struct simmodel_node *from) {
  to->reserved = from->reserved;
  simmodel_set_length(to, from->length);
  if (from->length)
    memcpy(simmodel_bytes(to->now), simmodel_bytes(from->now), (size_t)from->length);
  to->disk = simmodel_copy(from->disk, (size_t)from->disk_length);
  to->disk_length = from->disk_length;
  if (from->n_ops == 0)
    return;
  to->ops = simmodel_alloc(from->n_ops * sizeof *to->ops);
  to->n_ops = from->n_ops;
  for (size_t i = 0; i < from->n_ops; i++) {
    to->ops[i] = from->ops[i];
    to->ops[i].data = from->ops[i].data ? simmodel_copy(from->ops[i].data, from->ops[i].n) : NULL;
  }
}

/* Copies names; nodes[i] is the copy of the node with index i. */
static void simmodel_clone_names(struct simmodel *m, struct simmodel_node *to,
                                 const struct simmodel_node *from, struct simmodel_node **nodes) {
  for (size_t i = 0; i < from->names.n; i++) {
    struct simmodel_entry *e = &from->names.entries[i];
    nodes[e->node->index]->links++;
    simmodel_names_set(m, &to->names, e->name, nodes[e->node->index]);
  }
  for (size_t i = 0; i < from->disk_names.n; i++) {
    struct simmodel_entry *e = &from->disk_names.entries[i];
    simmodel_names_set(m, &to->disk_names, e->name, nodes[e->node->index]);
  }
  if (from->n_name_ops == 0)
    return;
  to->name_ops = simmodel_alloc(from->n_name_ops * sizeof *to->name_ops);
  to->n_name_ops = from->n_name_ops;
  for (size_t i = 0; i < from->n_name_ops; i++) {
    const struct simmodel_name_op *op = &from->name_ops[i];
    struct simmodel_name_op copy = {nodes[op->node->index], simmodel_text(op->from),
                                    simmodel_text(op->to)};
    copy.node->refs++;
    to->name_ops[i] = copy;
  }
}

void simmodel_clone(struct simmodel *m, const struct simmodel *from) {
  memset(m, 0, sizeof *m);
  size_t n = from->n_nodes;
  struct simmodel_node **nodes = simmodel_alloc(n * sizeof *nodes);
  for (size_t i = 0; i < n; i++) {
    nodes[i] = simmodel_node_new(m, from->nodes[i]->folder);
    nodes[i]->id = from->nodes[i]->id;
  }
  m->next_id = from->next_id;
  for (size_t i = 0; i < n; i++) {
    if (from->nodes[i]->folder)
      simmodel_clone_names(m, nodes[i], from->nodes[i], nodes);
    else
      simmodel_clone_file(nodes[i], from->nodes[i]);
  }
  m->root = nodes[from->root->index];
  for (size_t i = 0; i < n; i++)
    if (nodes[i] != m->root)
      simmodel_node_drop(m, nodes[i]); /* what only handles held is gone */
  free(nodes);
}

/* ---- Crash ----------------------------------------------------------------------------------- */

/* What becomes of changes that were not synced. */
enum simmodel_mode {
  SIMMODEL_NONE,    /* all lost */
  SIMMODEL_ALL,     /* all kept */
  SIMMODEL_PREFIX,  /* the first ones kept, the next one torn */
  SIMMODEL_SUBSET,  /* any of them kept, some torn */
  SIMMODEL_SECTORS, /* all torn */
  SIMMODEL_MODES
};

static enum simmodel_mode simmodel_mode_of(uint64_t seed, struct vdb_rng *rng) {
  if (seed % 8 == 0)
    return SIMMODEL_NONE;
  if (seed % 8 == 1)
    return SIMMODEL_ALL;
  return (enum simmodel_mode)vdb_rng_below(rng, SIMMODEL_MODES);
}

/* Copies the write's bytes to the image; torn: only some of its sectors. */
static void simmodel_replay_write(uint8_t *image, const struct simmodel_op *op, bool torn,
                                  struct vdb_rng *rng) {
  size_t done = 0;
  while (done < op->n) {
    size_t n = SIMMODEL_SECTOR - (size_t)((op->offset + done) % SIMMODEL_SECTOR);
    if (n > op->n - done)
      n = op->n - done;
    if (!torn || vdb_rng_below(rng, 2))
      memcpy(image + op->offset + done, op->data + done, n);
    done += n;
  }
}

/* The length that the file is found with. Changes from `first` on are those whose lengths may be on
   the disk; before the first of them it was `length`. */
static uint64_t simmodel_pick_length(const struct simmodel_node *file, enum simmodel_mode mode,
                                     uint64_t length, size_t first, struct vdb_rng *rng) {
  uint64_t low = length, high = length;
  for (size_t i = first; i < file->n_ops; i++) {
    low = file->ops[i].length < low ? file->ops[i].length : low;
    high = file->ops[i].length > high ? file->ops[i].length : high;
  }
  uint32_t choice = vdb_rng_below(rng, 4);
  size_t left = file->n_ops - first;
  if (mode == SIMMODEL_NONE || left == 0 || (mode != SIMMODEL_ALL && choice == 0))
    return length;
  if (mode == SIMMODEL_ALL || choice == 1)
    return file->ops[file->n_ops - 1].length;
  if (choice == 2)
    return file->ops[first + vdb_rng_below(rng, (uint32_t)left)].length;
  return low + vdb_rng_next(rng) % (high - low + 1);
}

/* Whether an unsynced change reaches the disk, and whether in part only. */
static bool simmodel_keeps(enum simmodel_mode mode, size_t i, size_t prefix, bool *torn,
                           struct vdb_rng *rng) {
  *torn = mode == SIMMODEL_SECTORS || (mode == SIMMODEL_PREFIX && i == prefix) ||
          (mode == SIMMODEL_SUBSET && vdb_rng_below(rng, 4) == 0);
  switch (mode) {
  case SIMMODEL_NONE:
    return false;
  case SIMMODEL_PREFIX:
    return i <= prefix;
  case SIMMODEL_SUBSET:
    return vdb_rng_below(rng, 2) != 0;
  default:
    return true;
  }
}

static void simmodel_crash_file(struct simmodel_node *file, uint64_t seed) {
  struct vdb_rng rng = {vdb_mix64(seed) ^ vdb_mix64(file->id)};
  enum simmodel_mode mode = simmodel_mode_of(seed, &rng);
  uint64_t room = file->disk_length;
  for (size_t i = 0; i < file->n_ops; i++)
    room = file->ops[i].length > room ? file->ops[i].length : room;
  uint8_t *image = simmodel_alloc((size_t)room);
  /* What no kept change has written reads as zeros or as what was on the disk before. */
  if (vdb_rng_below(&rng, 2))
    for (uint64_t i = file->disk_length; i < room; i++)
      image[i] = (uint8_t)vdb_rng_next(&rng);
  if (file->disk_length)
    memcpy(image, file->disk, (size_t)file->disk_length);

  size_t prefix = vdb_rng_below(&rng, (uint32_t)file->n_ops + 1);
  uint64_t length = file->disk_length;
  size_t first = 0;
  for (size_t i = 0; i < file->n_ops; i++) {
    const struct simmodel_op *op = &file->ops[i];
    bool torn = false;
    if (!op->firm && !simmodel_keeps(mode, i, prefix, &torn, &rng))
      continue;
    if (!op->resize)
      simmodel_replay_write(image, op, torn && !op->firm, &rng);
    else if (op->length > op->length_before)
      memset(image + op->length_before, 0, (size_t)(op->length - op->length_before));
    if (op->firm || (op->resize && op->length < op->length_before)) {
      length = op->length;
      first = i + 1;
    }
  }
  length = simmodel_pick_length(file, mode, length, first, &rng);
  file->reserved = 0;
  file->locked = false;
  simmodel_set(file, image, length);
}

static void simmodel_crash_names(struct simmodel *m, struct simmodel_node *folder, uint64_t seed) {
  struct vdb_rng rng = {vdb_mix64(seed + 0x5eed) ^ vdb_mix64(folder->id)};
  enum simmodel_mode mode = simmodel_mode_of(seed, &rng);
  size_t prefix = vdb_rng_below(&rng, (uint32_t)folder->n_name_ops + 1);
  for (size_t i = 0; i < folder->n_name_ops; i++) {
    bool kept = mode == SIMMODEL_ALL || (mode == SIMMODEL_SUBSET && vdb_rng_below(&rng, 2)) ||
                ((mode == SIMMODEL_PREFIX || mode == SIMMODEL_SECTORS) && i < prefix);
    if (kept)
      simmodel_name_apply(m, &folder->disk_names, &folder->name_ops[i]);
  }
  simmodel_names_clear(m, &folder->names);
  simmodel_names_copy(m, &folder->names, &folder->disk_names);
  simmodel_name_ops_clear(m, folder);
}

/* All nodes, each with a reference, because dropping one may move others in the model's list. */
static struct simmodel_node **simmodel_hold(struct simmodel *m, size_t *n) {
  struct simmodel_node **nodes = simmodel_alloc(m->n_nodes * sizeof *nodes);
  *n = m->n_nodes;
  for (size_t i = 0; i < *n; i++) {
    nodes[i] = m->nodes[i];
    nodes[i]->refs++;
  }
  return nodes;
}

static void simmodel_unhold(struct simmodel *m, struct simmodel_node **nodes, size_t n) {
  for (size_t i = 0; i < n; i++)
    simmodel_node_drop(m, nodes[i]);
  free(nodes);
}

void simmodel_crash(struct simmodel *m, uint64_t seed) {
  size_t n;
  struct simmodel_node **nodes = simmodel_hold(m, &n);
  for (size_t i = 0; i < n; i++) {
    nodes[i]->links = 0;
    if (nodes[i]->folder)
      simmodel_crash_names(m, nodes[i], seed);
    else
      simmodel_crash_file(nodes[i], seed);
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < nodes[i]->names.n; k++)
      nodes[i]->names.entries[k].node->links++;
  simmodel_unhold(m, nodes, n);
}

void simmodel_settle(struct simmodel *m) {
  size_t n;
  struct simmodel_node **nodes = simmodel_hold(m, &n);
  for (size_t i = 0; i < n; i++) {
    if (nodes[i]->folder) {
      simmodel_sync_names(m, nodes[i]);
      continue;
    }
    for (size_t k = 0; k < nodes[i]->n_ops; k++)
      nodes[i]->ops[k].stale = false;
    simmodel_sync(nodes[i]);
  }
  simmodel_unhold(m, nodes, n);
}
