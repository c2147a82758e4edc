/* code.c - codes of answers in words, and the names of read levels. */
#include <strings.h>

#include "wire/message.h"

static const struct code {
  int code;
  bool again;
  const char *text;
} codes[] = {
    {VECDB_OK, false, "done"},
    {VECDB_ERR_TIMEOUT, false, "the deadline passed"},
    {VECDB_ERR_NO_MEMORY, false, "out of memory"},
    {WIRE_NOT_PRIMARY, true, "another node leads the shard"},
    {WIRE_NO_REPLICA, true, "the node has no replica of the shard"},
    {WIRE_OVERLOADED, true, "the node has too much to do"},
    {WIRE_UNAVAILABLE, true, "the shard cannot answer at the moment"},
    {WIRE_UNKNOWN, true, "the write may have happened or not"},
    {WIRE_NOT_FRESH, true, "the replica is behind what the read may see"},
    {WIRE_LOST, false, "the write that the session saw was cut off with its primary"},
    {WIRE_OLD_OP, false, "the write is from before what the shard remembers of this client"},
    {WIRE_SCHEMA, true, "the collection has another schema by now"},
    {WIRE_PROTOCOL, false, "the message could not be read"},
    {WIRE_SOME_SHARDS, false, "some shards gave no answer"},
    {WIRE_NO_NODE, false, "no node could be reached"},
    {WIRE_STALE_MAP, true, "the shard was split since the map was read"},
};

static const struct code *code_find(int code) {
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i].code == code)
      return &codes[i];
  return NULL;
}

const char *wire_code_text(int code) {
  const struct code *known = code_find(code);
  return known ? known->text : "the node refused the request";
}

bool wire_code_again(int code) {
  const struct code *known = code_find(code);
  return known && known->again;
}

int wire_level_parse(const char *name) {
  static const struct {
    const char *name;
    int level;
  } levels[] = {
      {"local", WIRE_LOCAL},   {"eventually", WIRE_LOCAL}, {"eventual", WIRE_LOCAL},
      {"bounded", WIRE_LOCAL}, {"session", WIRE_SESSION},  {"strong", WIRE_STRONG},
  };
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
    if (!strcasecmp(name, levels[i].name))
      return levels[i].level;
  return -1;
}
