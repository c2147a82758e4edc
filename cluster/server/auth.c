/* auth.c - see auth.h. */
#include "server/auth.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "server/auth_cache.h"
#include "server/base64.h"
#include "server/failures.h"
#include "server/handlers.h"
#include "server/observe.h"
#include "server/secure_file.h"
#include "server/server.h"

enum { AUTH_FILES = 3 };

/* What the files said at one time. Calls that began with it keep it. */
struct auth_rules {
  _Atomic unsigned holders;
  struct srv_policy *policy;
  struct srv_jwks *jwks;     /* NULL: no tokens are taken */
  struct srv_api_keys *keys; /* NULL: no keys are */
  struct srv_auth_cache cache;
};

struct srv_auth {
  struct srv_server *server;
  bool required;
  pthread_mutex_t mutex; /* of `rules` */
  struct auth_rules *rules;
  pthread_mutex_t reading; /* of `stamps`: one thread reads files at a time */
  struct srv_file_stamp stamps[AUTH_FILES];
  struct srv_quotas *quotas;
  struct srv_failures *failures;
  _Atomic int64_t looked; /* the second in which the files were looked at last */
};

/* ---- Rules ----------------------------------------------------------------------------------- */

static void rules_release(struct auth_rules *rules) {
  if (!rules || atomic_fetch_sub(&rules->holders, 1) > 1)
    return;
  srv_auth_cache_end(&rules->cache);
  srv_policy_free(rules->policy);
  srv_jwks_free(rules->jwks);
  srv_api_keys_free(rules->keys);
  free(rules);
}

static struct auth_rules *auth_hold(struct srv_auth *auth) {
  pthread_mutex_lock(&auth->mutex);
  struct auth_rules *rules = auth->rules;
  atomic_fetch_add(&rules->holders, 1);
  pthread_mutex_unlock(&auth->mutex);
  return rules;
}

/* The text of a file that the settings name; true with NULL where they name none. */
static bool auth_text(const char *path, bool secret, char **text, size_t *n, char *error) {
  *text = *path ? srv_secure_file(path, secret, n, error) : NULL;
  return *text || !*path;
}

static bool auth_read_policy(struct auth_rules *rules, const char *path, char *error) {
  char *text;
  size_t n;
  if (!auth_text(path, false, &text, &n, error))
    return false;
  rules->policy = srv_policy_read(path, text, error);
  free(text);
  return rules->policy != NULL;
}

static bool auth_read_jwks(struct auth_rules *rules, const char *path, char *error) {
  char *text, why[SRV_CONFIG_ERROR];
  size_t n;
  if (!auth_text(path, false, &text, &n, error))
    return false;
  if (!text)
    return true;
  rules->jwks = srv_jwks_read(text, n, why);
  free(text);
  if (!rules->jwks)
    snprintf(error, SRV_CONFIG_ERROR, "%.200s: %.400s", path, why);
  return rules->jwks != NULL;
}

static bool auth_read_keys(struct auth_rules *rules, const char *path, char *error) {
  char *text;
  size_t n;
  if (!auth_text(path, true, &text, &n, error))
    return false;
  if (!text)
    return true;
  rules->keys = srv_api_keys_read(path, text, error);
  free(text);
  return rules->keys != NULL;
}

static struct auth_rules *auth_read(const struct srv_config *config, char *error) {
  struct auth_rules *rules = calloc(1, sizeof *rules);
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (!rules)
    return NULL;
  rules->holders = 1;
  srv_auth_cache_begin(&rules->cache);
  if (auth_read_policy(rules, config->policy_file, error) &&
      auth_read_jwks(rules, config->jwks_file, error) &&
      auth_read_keys(rules, config->keys_file, error))
    return rules;
  rules_release(rules);
  return NULL;
}

/* ---- Files that change ----------------------------------------------------------------------- */

static void auth_stamp(const struct srv_config *config, struct srv_file_stamp *out) {
  const char *const paths[AUTH_FILES] = {config->policy_file, config->jwks_file,
                                         config->keys_file};
  for (int i = 0; i < AUTH_FILES; i++)
    srv_file_stamp(paths[i], &out[i]);
}

/* The stamps are taken before the files are read: what changes meanwhile is seen the next time. */
static bool auth_read_again(struct srv_auth *auth, char *error) {
  auth_stamp(&auth->server->config, auth->stamps);
  struct auth_rules *fresh = auth_read(&auth->server->config, error);
  if (!fresh)
    return false;
  pthread_mutex_lock(&auth->mutex);
  struct auth_rules *old = auth->rules;
  auth->rules = fresh;
  pthread_mutex_unlock(&auth->mutex);
  rules_release(old);
  return true;
}

bool srv_auth_reload(struct srv_auth *auth, char *error) {
  pthread_mutex_lock(&auth->reading);
  bool good = auth_read_again(auth, error);
  pthread_mutex_unlock(&auth->reading);
  return good;
}

/* Once a second at most, by whichever request comes first. */
static void auth_follow(struct srv_auth *auth, int64_t now) {
  int64_t looked = atomic_load_explicit(&auth->looked, memory_order_relaxed);
  struct srv_file_stamp stamps[AUTH_FILES];
  char error[SRV_CONFIG_ERROR], line[SRV_CONFIG_ERROR + 64];
  if (looked == now || !atomic_compare_exchange_strong(&auth->looked, &looked, now) ||
      pthread_mutex_trylock(&auth->reading) != 0)
    return;
  auth_stamp(&auth->server->config, stamps);
  if (memcmp(stamps, auth->stamps, sizeof stamps) != 0) {
    bool good = auth_read_again(auth, error);
    snprintf(line, sizeof line, good ? "keys and roles have changed, and were read again"
                                     : "keys and roles stay as they were: %s", error);
    srv_log(auth->server, good ? VECDB_LOG_INFO : VECDB_LOG_ERROR, line);
  }
  pthread_mutex_unlock(&auth->reading);
}

/* ---- Identities ------------------------------------------------------------------------------ */

static void identity_add_role(struct srv_identity *who, const char *name, size_t n) {
  char one[SRV_API_KEY_TEXT];
  size_t used = strlen(who->role);
  snprintf(one, sizeof one, "%.*s", (int)n, name);
  snprintf(who->role + used, sizeof who->role - used, "%s%s", used ? "," : "", one);
  const struct srv_role *role = srv_policy_role(who->rules->policy, one);
  if (role && who->n_roles < SRV_JWT_ROLES)
    who->roles[who->n_roles++] = role;
}

static bool auth_by_token(struct srv_auth *auth, const char *token, int64_t now,
                          struct srv_identity *who, int64_t *until, const char **why) {
  const struct srv_config *c = &auth->server->config;
  struct srv_jwt_rules rules = {
      who->rules->jwks, c->issuer, c->audience, c->token_types, c->role_claim, c->tenant_claim,
      (int64_t)c->skew_seconds, (int64_t)c->token_seconds};
  struct srv_jwt jwt;
  if (!srv_jwt_read(&rules, token, strlen(token), now, &jwt, why))
    return false;
  *why = "the token has been revoked";
  if (*jwt.id && srv_policy_is_revoked(who->rules->policy, jwt.id))
    return false;
  snprintf(who->subject, sizeof who->subject, "%s", jwt.subject);
  snprintf(who->tenant, sizeof who->tenant, "%s", jwt.tenant);
  snprintf(who->key, sizeof who->key, "%s", jwt.kid);
  for (unsigned i = 0; i < jwt.n_roles; i++)
    identity_add_role(who, jwt.roles[i], strlen(jwt.roles[i]));
  *until = jwt.expires + rules.skew;
  return true;
}

static bool auth_by_entry(const struct srv_api_key *key, int64_t now, struct srv_identity *who,
                          int64_t *until, const char **why) {
  *why = "the key has expired";
  if (key->expires <= now)
    return false;
  snprintf(who->subject, sizeof who->subject, "%s", key->name);
  snprintf(who->tenant, sizeof who->tenant, "%s", key->tenant);
  snprintf(who->key, sizeof who->key, "%s", key->name);
  for (const char *at = key->roles + strspn(key->roles, ", "); *at; at += strspn(at, ", ")) {
    size_t n = strcspn(at, ", ");
    identity_add_role(who, at, n);
    at += n;
  }
  *until = key->expires;
  return true;
}

/* "KEY", or "NAME:KEY" as Milvus's clients send user and password. */
static bool auth_by_key(const char *text, int64_t now, struct srv_identity *who, int64_t *until,
                        const char **why) {
  const char *colon = strchr(text, ':'), *secret = colon ? colon + 1 : text;
  uint8_t hash[SRV_API_KEY_HASH];
  *why = "no such key";
  if (!who->rules->keys)
    return false;
  srv_sha256(secret, strlen(secret), hash);
  const struct srv_api_key *key = srv_api_keys_find(who->rules->keys, hash, false);
  if (!key || (colon && (strlen(key->name) != (size_t)(colon - text) ||
                         strncmp(key->name, text, (size_t)(colon - text)) != 0)))
    return false;
  return auth_by_entry(key, now, who, until, why);
}

/* Three parts without a colon are a token; no key that we make looks so. */
static bool auth_is_token(const char *text) {
  const char *first = strchr(text, '.'), *second = first ? strchr(first + 1, '.') : NULL;
  return second && !strchr(text, ':');
}

static bool auth_check(struct srv_auth *auth, const char *text, int64_t now,
                       struct srv_identity *who, int64_t *until, const char **why) {
  *why = "longer than a token may be";
  if (strlen(text) > SRV_JWT_BYTES)
    return false;
  return who->rules->jwks && auth_is_token(text) ? auth_by_token(auth, text, now, who, until, why)
                                                 : auth_by_key(text, now, who, until, why);
}

/* Who shows this. What has been found right is remembered, and goes in also while its address has
   to wait for the failures of others there. */
static bool auth_identify(struct srv_call *call, const char *text, int64_t now, const char **why) {
  struct srv_auth *auth = call->server->auth;
  const struct srv_config *config = &call->server->config;
  struct srv_auth_cache *cache = &call->who->rules->cache;
  const struct srv_failure_limits limits = {config->failures, config->failure_seconds};
  uint64_t origin = srv_peer_origin(&call->peer);
  uint8_t hash[SRV_AUTH_CACHE_HASH];
  int64_t until;
  srv_sha256(text, strlen(text), hash);
  if (srv_auth_cache_get(cache, hash, now, call->who))
    return true;
  call->retry_seconds = srv_failures_wait(auth->failures, origin, srv_now_ns());
  if (call->retry_seconds)
    return false;
  bool good = auth_check(auth, text, now, call->who, &until, why);
  if (good)
    srv_auth_cache_put(cache, hash, until, call->who);
  else
    srv_failures_add(auth->failures, origin, &limits, srv_now_ns());
  return good;
}

/* Who has the certificate that the connection has shown. */
static bool auth_by_certificate(const struct srv_call *call, int64_t now, const char **why) {
  const struct srv_api_keys *keys = call->who->rules->keys;
  const struct srv_api_key *found =
      keys ? srv_api_keys_find(keys, call->peer.certificate, true) : NULL;
  int64_t until;
  *why = "nobody is known by this certificate";
  return found && auth_by_entry(found, now, call->who, &until, why);
}

/* ---- Credentials ----------------------------------------------------------------------------- */

/* Milvus's clients send base64 of what others send as it is, and no scheme. */
static const char *auth_decode(struct srv_call *call, const char *text) {
  size_t n = strlen(text), n_out;
  uint8_t *out = n <= 2 * SRV_JWT_BYTES ? srv_arena_take(&call->arena, n + 1) : NULL;
  if (!out || !srv_base64(text, n, out, &n_out) || memchr(out, '\0', n_out))
    return NULL;
  out[n_out] = '\0';
  return (const char *)out;
}

/* The one text that says who asks; NULL with the reason. */
static const char *auth_shown(struct srv_call *call, const struct srv_credentials *shown,
                              const char **why) {
  static const char scheme[] = "Bearer ";
  const char *text = shown->authorization;
  *why = "nothing says who asks";
  if (!text && !shown->api_key)
    return NULL;
  *why = "two headers say who asks";
  if ((text && shown->api_key) || shown->twice)
    return NULL;
  *why = "the header has another form than is known";
  if (!text)
    return shown->api_key;
  if (strncasecmp(text, scheme, sizeof scheme - 1) == 0)
    return text + sizeof scheme - 1 + strspn(text + sizeof scheme - 1, " ");
  return strcmp(call->route->method, SRV_METHOD_GRPC) == 0 ? auth_decode(call, text) : NULL;
}

/* ---- Permission ------------------------------------------------------------------------------ */

bool srv_identity_may(const struct srv_identity *who, enum srv_permission permission,
                      const char *collection) {
  if (permission == SRV_PUBLIC || permission == SRV_KNOWN)
    return true;
  for (unsigned i = 0; i < who->n_roles; i++)
    if (srv_role_may(who->roles[i], permission, collection))
      return true;
  return false;
}

/* What only those may who are bound to no tenant: it concerns the rows of all. */
static bool auth_is_common(enum srv_permission permission) {
  return permission == SRV_ADMIN || permission == SRV_OPERATE || permission == SRV_MONITOR;
}

static bool identity_is_admin(const struct srv_identity *who) {
  for (unsigned i = 0; i < who->n_roles; i++)
    if (srv_role_may_all(who->roles[i], SRV_ADMIN))
      return true;
  return false;
}

/* NULL: it may; else why not. */
static const char *auth_forbids(struct srv_call *call) {
  const struct srv_identity *who = call->who;
  const struct srv_config *config = &call->server->config;
  enum srv_permission permission = call->route->permission;
  if (*who->tenant && auth_is_common(permission))
    return "who is bound to a tenant may not do what concerns all";
  if (!*who->tenant && strcmp(config->require_tenant, "yes") == 0 && !identity_is_admin(who))
    return "who is no administrator must be bound to a tenant";
  const char *collection = srv_route_collection(call);
  if (srv_identity_may(who, permission, collection))
    return NULL;
  return collection ? "no role allows this on the collection" : "no role allows this";
}

static bool auth_is_public(const struct srv_call *call) {
  const struct srv_route *route = call->route;
  return route->permission == SRV_PUBLIC ||
         (route->handler == srv_metrics_page &&
          strcmp(call->server->config.public_metrics, "yes") == 0);
}

/* The answer tells nothing of why: that is for logs. */
static bool auth_refuse(struct srv_call *call, int status, const char *why) {
  call->denied = why;
  if (status == 401)
    srv_call_fail(call, 401, "UNAUTHENTICATED", "a valid token or key is needed");
  else
    srv_call_fail(call, 403, "FORBIDDEN", "this is not permitted");
  return false;
}

/* Nothing was looked at, and so the audit log has nothing of it: else who fails could fill it. */
static bool auth_hold_off(struct srv_call *call) {
  srv_call_fail(call, 429, "TOO_MANY_FAILURES",
                "too many log-ins from this address have failed; try again in %u s",
                call->retry_seconds);
  return false;
}

/* A tenant's limits are those of all who are bound to it together. */
static bool auth_within_quota(struct srv_call *call) {
  const struct srv_config *config = &call->server->config;
  const struct srv_identity *who = call->who;
  struct srv_quota limits = {config->requests_per_second, config->rows_per_second,
                             config->concurrency};
  char name[SRV_API_KEY_TEXT + 8];
  snprintf(name, sizeof name, "%s:%s", *who->tenant ? "tenant" : "who",
           *who->tenant ? who->tenant : who->subject);
  srv_policy_quota(who->rules->policy, who->tenant, &limits);
  call->quota = srv_quota_enter(call->server->auth->quotas, name, &limits, srv_now_ns(),
                                &call->retry_seconds);
  if (call->quota)
    return true;
  call->denied = "over the quota";
  if (call->retry_seconds)
    srv_call_fail(call, 429, "QUOTA", "over the quota; try again in %u s", call->retry_seconds);
  else
    srv_call_no_memory(call);
  return false;
}

bool srv_authorize(struct srv_call *call, const struct srv_credentials *shown) {
  struct srv_auth *auth = call->server->auth;
  const char *why;
  if (!auth->required || auth_is_public(call))
    return true;
  int64_t now = (int64_t)time(NULL);
  auth_follow(auth, now);
  const char *text = auth_shown(call, shown, &why);
  bool certified = call->peer.certified && !shown->authorization && !shown->api_key;
  if (!text && !certified)
    return auth_refuse(call, 401, why);
  struct srv_identity *who = srv_arena_take(&call->arena, sizeof *who);
  if (!who) {
    srv_call_no_memory(call);
    return false;
  }
  who->rules = auth_hold(auth);
  call->who = who;
  if (!(text ? auth_identify(call, text, now, &why) : auth_by_certificate(call, now, &why))) {
    srv_auth_leave(call);
    return call->retry_seconds ? auth_hold_off(call) : auth_refuse(call, 401, why);
  }
  why = auth_forbids(call);
  if (call->status) /* the collection's name is none */
    return false;
  return why ? auth_refuse(call, 403, why) : auth_within_quota(call);
}

void srv_auth_rows(struct srv_call *call, uint64_t n) {
  if (call->quota)
    srv_quota_rows(call->server->auth->quotas, call->quota, n);
}

void srv_auth_leave(struct srv_call *call) {
  if (call->quota)
    srv_quota_leave(call->server->auth->quotas, call->quota);
  call->quota = NULL;
  if (call->who)
    rules_release(call->who->rules);
  call->who = NULL;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static bool auth_is_flag(const char *name, const char *value, char *error) {
  if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "security.%s is \"%.60s\", neither yes nor no", name, value);
  return false;
}

static bool auth_settings(const struct srv_config *c, char *error) {
  if (!auth_is_flag("insecure", c->insecure, error) ||
      !auth_is_flag("public_metrics", c->public_metrics, error) ||
      !auth_is_flag("require_tenant", c->require_tenant, error) ||
      !auth_is_flag("tenant_keys", c->tenant_keys, error))
    return false;
  if (!*c->jwks_file || (*c->issuer && *c->audience && *c->token_types))
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "with security.jwks, security.issuer, security.audience and"
           " security.token_types must be set, too: they are what makes a token one for here");
  return false;
}

struct srv_auth *srv_auth_start(struct srv_server *server, char *error) {
  const struct srv_config *config = &server->config;
  if (!auth_settings(config, error))
    return NULL;
  struct srv_auth *auth = calloc(1, sizeof *auth);
  if (!auth) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&auth->mutex, NULL);
  pthread_mutex_init(&auth->reading, NULL);
  auth->server = server;
  auth->quotas = srv_quotas_new();
  auth->failures = srv_failures_new();
  auth->required = *config->jwks_file || *config->keys_file;
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (auth->quotas && auth->failures && srv_auth_reload(auth, error))
    return auth;
  srv_auth_stop(auth);
  return NULL;
}

void srv_auth_stop(struct srv_auth *auth) {
  if (!auth)
    return;
  rules_release(auth->rules);
  srv_quotas_free(auth->quotas);
  srv_failures_free(auth->failures);
  pthread_mutex_destroy(&auth->mutex);
  pthread_mutex_destroy(&auth->reading);
  free(auth);
}

bool srv_auth_is_required(const struct srv_auth *auth) {
  return auth->required;
}

static bool auth_is_loopback(int fd) {
  static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } a = {.any.sa_family = AF_UNSPEC};
  socklen_t n = sizeof a;
  if (getsockname(fd, &a.any, &n) != 0)
    return false;
  if (a.any.sa_family == AF_INET)
    return ntohl(a.four.sin_addr.s_addr) >> 24 == 127;
  return a.any.sa_family == AF_INET6 &&
         (IN6_IS_ADDR_LOOPBACK(&a.six.sin6_addr) ||
          memcmp(a.six.sin6_addr.s6_addr, mapped, sizeof mapped) == 0);
}

bool srv_auth_may_listen(const struct srv_auth *auth, int fd, char *error) {
  if (auth->required || strcmp(auth->server->config.insecure, "yes") == 0 || auth_is_loopback(fd))
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "an address to listen on can be reached from other machines,"
           " and nobody would have to say who they are: set security.keys or security.jwks, or,"
           " where everybody may do everything, security.insecure = yes");
  return false;
}
