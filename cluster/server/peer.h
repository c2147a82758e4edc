/*
 * peer.h - who is at the other end of a connection: the address, as a name in logs and as what is
 * counted as one origin; and the certificate that was shown.
 */
#ifndef SRV_PEER_H
#define SRV_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum { SRV_PEER_TEXT = 46, SRV_PEER_CERTIFICATE = 32 };

struct srv_peer {
  uint8_t address[16]; /* of IPv6, or of IPv4 as IPv6 has it; zeros: not known */
  bool certified;      /* a certificate was shown, and is good: */
  uint8_t certificate[SRV_PEER_CERTIFICATE]; /* its SHA-256 */
};

/* The address; nothing is known of a certificate. */
void srv_peer_of(int fd, struct srv_peer *out);
/* SRV_PEER_TEXT bytes; "" when it is not known. */
void srv_peer_text(const struct srv_peer *peer, char *out);
/* A number for whoever is behind the address: of IPv6 the first half tells, since one customer has
   all of the rest. 0: not known. */
uint64_t srv_peer_origin(const struct srv_peer *peer);
/* Spreads origins over a table, by a seed that nobody outside knows: who shares a place cannot be
   chosen. */
uint64_t srv_peer_hash(uint64_t origin, uint64_t seed);

#endif
