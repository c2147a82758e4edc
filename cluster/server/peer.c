/* peer.c - see peer.h. */
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { PEER_MAPPED = 12 /* bytes before an address of IPv4 */ };

static const uint8_t peer_mapped[PEER_MAPPED] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void srv_peer_of(int fd, struct srv_peer *out) {
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } a = {.any.sa_family = AF_UNSPEC};
  socklen_t n = sizeof a;
  memset(out, 0, sizeof *out);
  if (getpeername(fd, &a.any, &n) != 0)
    return;
  if (a.any.sa_family == AF_INET6)
    memcpy(out->address, &a.six.sin6_addr, sizeof out->address);
  if (a.any.sa_family != AF_INET)
    return;
  memcpy(out->address, peer_mapped, PEER_MAPPED);
  memcpy(out->address + PEER_MAPPED, &a.four.sin_addr, sizeof a.four.sin_addr);
}

static int peer_is_four(const struct srv_peer *peer) {
  return memcmp(peer->address, peer_mapped, PEER_MAPPED) == 0;
}

void srv_peer_text(const struct srv_peer *peer, char *out) {
  static const struct srv_peer unknown;
  *out = '\0';
  if (memcmp(peer->address, unknown.address, sizeof unknown.address) == 0)
    return;
  if (peer_is_four(peer))
    inet_ntop(AF_INET, peer->address + PEER_MAPPED, out, SRV_PEER_TEXT);
  else
    inet_ntop(AF_INET6, peer->address, out, SRV_PEER_TEXT);
}

/* The mapped addresses of IPv4 all begin with zeros, as no customer's of IPv6 do: the half that
   tells of one is free for the other. */
uint64_t srv_peer_origin(const struct srv_peer *peer) {
  uint64_t halves[2];
  memcpy(halves, peer->address, sizeof halves);
  return peer_is_four(peer) ? halves[1] : halves[0] ? halves[0] : halves[1];
}

uint64_t srv_peer_hash(uint64_t origin, uint64_t seed) {
  uint64_t hash = (origin ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
  return ((hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9)) >> 32;
}
