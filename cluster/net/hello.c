/* hello.c - who both sides of a connection are; see hello.h. */
#include "net/hello.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meta/key.h"

const char *net_reason_name(enum net_reason reason) {
  static const char *const names[] = {
      [NET_OK] = "ok",
      [NET_REFUSED_VERSION] = "no version of the protocol that both speak",
      [NET_REFUSED_CLUSTER] = "another cluster",
      [NET_REFUSED_NODE] = "an unknown node",
      [NET_REFUSED_CERTIFICATE] = "the certificate is another node's",
      [NET_REFUSED_BUSY] = "too many connections",
      [NET_BAD_FRAME] = "damaged data",
      [NET_BAD_TLS] = "TLS failed",
      [NET_NO_CONNECTION] = "no connection",
      [NET_SILENT] = "no sign of life",
      [NET_SLOW] = "the peer does not read",
      [NET_CLOSED] = "closed",
      [NET_NO_MEMORY] = "out of memory",
  };
  return names[reason];
}

static void hello_put(uint8_t *at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t hello_take(const uint8_t *at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++)
    value |= (uint64_t)at[i] << 8 * i;
  return value;
}

void hello_write(const struct hello *hello, uint8_t out[HELLO_BYTES]) {
  out[0] = hello->version_min;
  out[1] = hello->version_max;
  out[2] = hello->class;
  out[3] = 0;
  hello_put(out + 4, hello->node, 4);
  memcpy(out + 8, hello->cluster.bytes, 16);
  memcpy(out + 24, hello->store.bytes, 16);
  hello_put(out + 40, hello->incarnation, 8);
  hello_put(out + 48, hello->features, 8);
}

bool hello_read(const void *data, size_t n, struct hello *out) {
  const uint8_t *in = data;
  if (n < HELLO_BYTES)
    return false;
  *out = (struct hello){.version_min = in[0],
                        .version_max = in[1],
                        .class = in[2],
                        .node = (uint32_t)hello_take(in + 4, 4),
                        .incarnation = hello_take(in + 40, 8),
                        .features = hello_take(in + 48, 8)};
  memcpy(out->cluster.bytes, in + 8, 16);
  memcpy(out->store.bytes, in + 24, 16);
  return out->version_min >= 1 && out->version_min <= out->version_max &&
         out->class < NET_CLASSES && out->node > 0;
}

static enum net_reason hello_say(enum net_reason reason, char *why, const char *text) {
  snprintf(why, HELLO_WHY, "%s", text);
  return reason;
}

static enum net_reason hello_judge_identity(const struct hello *theirs,
                                            const struct hello_check *check, char *why) {
  char ours[33], other[33];
  if (!doc_uuid_same(theirs->cluster, check->own->cluster)) {
    doc_uuid_text(check->own->cluster, ours);
    doc_uuid_text(theirs->cluster, other);
    snprintf(why, HELLO_WHY, "node %u belongs to cluster %s, this is %s", theirs->node, other,
             ours);
    return NET_REFUSED_CLUSTER;
  }
  if (check->certified && (check->certificate_node != theirs->node ||
                           !doc_uuid_same(check->certificate_cluster, theirs->cluster))) {
    snprintf(why, HELLO_WHY, "it says that it is node %u, its certificate is node %u's",
             theirs->node, check->certificate_node);
    return NET_REFUSED_CERTIFICATE;
  }
  if (theirs->node == check->own->node)
    return hello_say(NET_REFUSED_NODE, why, "a node with this node's own id");
  if (check->expected && theirs->node != check->expected) {
    snprintf(why, HELLO_WHY, "node %u was called, node %u answers", check->expected, theirs->node);
    return NET_REFUSED_NODE;
  }
  return NET_OK;
}

enum net_reason hello_judge(const struct hello *theirs, const struct hello_check *check,
                            uint8_t *version, char *why) {
  const struct hello *own = check->own;
  uint8_t high = theirs->version_max < own->version_max ? theirs->version_max : own->version_max;
  uint8_t low = theirs->version_min > own->version_min ? theirs->version_min : own->version_min;
  if (high < low) {
    snprintf(why, HELLO_WHY, "node %u speaks versions %u to %u, node %u %u to %u", theirs->node,
             theirs->version_min, theirs->version_max, own->node, own->version_min,
             own->version_max);
    return NET_REFUSED_VERSION;
  }
  *version = high;
  return hello_judge_identity(theirs, check, why);
}

bool hello_uri_read(const char *uri, struct doc_uuid *cluster, uint32_t *node) {
  char id[33], again[96];
  if (strncmp(uri, "vdb://", 6) != 0 || strlen(uri) < 6 + 32 + 7)
    return false;
  memcpy(id, uri + 6, 32);
  id[32] = 0;
  if (!doc_uuid_parse(id, cluster) || sscanf(uri + 38, "/node/%" SCNu32, node) != 1)
    return false;
  hello_uri_write(*cluster, *node, again);
  return strcmp(again, uri) == 0; /* nothing before, within or behind that was not read */
}

void hello_uri_write(struct doc_uuid cluster, uint32_t node, char out[96]) {
  char id[33];
  doc_uuid_text(cluster, id);
  snprintf(out, 96, "vdb://%s/node/%u", id, node);
}
