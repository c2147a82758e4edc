/*
 * auth_cache.h - whom credentials that were checked before belong to, so that a client pays for one
 * signature and not for one per request. Of a fixed size: what was used longest ago makes room.
 * Nothing is kept beyond its end, and a cache belongs to one reading of the keys.
 */
#ifndef SRV_AUTH_CACHE_H
#define SRV_AUTH_CACHE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct srv_identity;

enum { SRV_AUTH_CACHE_HASH = 32, SRV_AUTH_CACHE_SETS = 256, SRV_AUTH_CACHE_WAYS = 4 };

struct srv_auth_cache {
  pthread_mutex_t mutex;
  uint64_t turn;
  struct auth_cached *sets[SRV_AUTH_CACHE_SETS]; /* SRV_AUTH_CACHE_WAYS each, when first needed */
};

void srv_auth_cache_begin(struct srv_auth_cache *cache);
void srv_auth_cache_end(struct srv_auth_cache *cache);
/* The identity behind the SHA-256 of a credential, as of the second `now`; false: not known. */
bool srv_auth_cache_get(struct srv_auth_cache *cache, const uint8_t *hash, int64_t now,
                        struct srv_identity *who);
/* Remembers one until that second. */
void srv_auth_cache_put(struct srv_auth_cache *cache, const uint8_t *hash, int64_t until,
                        const struct srv_identity *who);

#endif
