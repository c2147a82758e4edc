/* parts.h - the sections of messages, one pair of functions each. For message.c and the parts. */
#ifndef CLUSTER_WIRE_PARTS_H
#define CLUSTER_WIRE_PARTS_H

#include "wire/message.h"

/* Write the part's fields; read them, faults in `in` or `mem`. */
#define WIRE_PART(name)                                                         \
  void wire_##name##_write(const struct wire_message *m, struct wire_out *out); \
  void wire_##name##_read(struct wire_in *in, struct wire_mem *mem, struct wire_message *m)
WIRE_PART(target);
WIRE_PART(op);
WIRE_PART(batch);
WIRE_PART(keys);
WIRE_PART(filter);
WIRE_PART(fields);
WIRE_PART(vectors);
WIRE_PART(group);
WIRE_PART(level);
WIRE_PART(page);
WIRE_PART(optimizer);
WIRE_PART(name);
WIRE_PART(result);
WIRE_PART(hits);
WIRE_PART(found);
WIRE_PART(number);
WIRE_PART(state);
WIRE_PART(summary);
WIRE_PART(documents);
WIRE_PART(since);
WIRE_PART(changed);
#undef WIRE_PART

#endif
