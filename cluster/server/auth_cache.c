/* auth_cache.c - see auth_cache.h. */
#include "server/auth_cache.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth.h"

struct auth_cached {
  uint8_t hash[SRV_AUTH_CACHE_HASH];
  int64_t until; /* 0: empty */
  uint64_t used; /* the turn */
  struct srv_identity who;
};

void srv_auth_cache_begin(struct srv_auth_cache *cache) {
  pthread_mutex_init(&cache->mutex, NULL);
}

void srv_auth_cache_end(struct srv_auth_cache *cache) {
  for (int i = 0; i < SRV_AUTH_CACHE_SETS; i++)
    free(cache->sets[i]);
  pthread_mutex_destroy(&cache->mutex);
}

bool srv_auth_cache_get(struct srv_auth_cache *cache, const uint8_t *hash, int64_t now,
                        struct srv_identity *who) {
  bool found = false;
  pthread_mutex_lock(&cache->mutex);
  struct auth_cached *set = cache->sets[hash[0]];
  for (int i = 0; set && !found && i < SRV_AUTH_CACHE_WAYS; i++) {
    found = now < set[i].until && CRYPTO_memcmp(set[i].hash, hash, SRV_AUTH_CACHE_HASH) == 0;
    if (found) {
      set[i].used = ++cache->turn;
      *who = set[i].who;
    }
  }
  pthread_mutex_unlock(&cache->mutex);
  return found;
}

void srv_auth_cache_put(struct srv_auth_cache *cache, const uint8_t *hash, int64_t until,
                        const struct srv_identity *who) {
  pthread_mutex_lock(&cache->mutex);
  struct auth_cached *set = cache->sets[hash[0]];
  if (!set)
    set = cache->sets[hash[0]] = calloc(SRV_AUTH_CACHE_WAYS, sizeof *set);
  struct auth_cached *oldest = set;
  for (int i = 1; set && i < SRV_AUTH_CACHE_WAYS; i++)
    if (set[i].used < oldest->used)
      oldest = &set[i];
  if (oldest) {
    memcpy(oldest->hash, hash, SRV_AUTH_CACHE_HASH);
    oldest->until = until;
    oldest->used = ++cache->turn;
    oldest->who = *who;
  }
  pthread_mutex_unlock(&cache->mutex);
}
