/*
 * auth.h - who asks, and whether they may. Every request comes here once, with its headers and
 * before its body (srv_authorize); what it may do to rows is guard.h's. Files are read again when
 * they change and on SIGHUP; a request keeps the rules that it began with.
 */
#ifndef SRV_AUTH_H
#define SRV_AUTH_H

#include "server/api_keys.h"
#include "server/jwt.h"
#include "server/policy.h"
#include "server/quota.h"

struct srv_auth;
struct auth_rules;

struct srv_identity {
  char subject[SRV_JWT_TEXT];    /* "sub" of a token, or the name of an API key */
  char tenant[SRV_API_KEY_TEXT]; /* "": bound to none */
  char role[SRV_API_KEY_TEXT];   /* names, separated by commas */
  char key[SRV_JWK_KID + 1];     /* "kid" of a token, or the name of an API key */
  const struct srv_role *roles[SRV_JWT_ROLES]; /* those that the policy knows */
  unsigned n_roles;
  struct auth_rules *rules; /* which `roles` belong to */
};

/* What a client showed to say who it is; each NULL: nothing. */
struct srv_credentials {
  const char *authorization; /* "Bearer " and a token or key; over gRPC also base64 of one */
  const char *api_key;       /* a key, in the header that Qdrant's clients use */
  bool twice;                /* one of them came more than once */
};

/* Reads the files that the settings name. NULL with a sentence in `error` (SRV_CONFIG_ERROR
   bytes). */
struct srv_auth *srv_auth_start(struct srv_server *server, char *error);
/* No call may be under way. NULL is fine. */
void srv_auth_stop(struct srv_auth *auth);
/* Reads the files again. False with a sentence: then everything is as it was. Any thread. */
bool srv_auth_reload(struct srv_auth *auth, char *error);
/* Whether clients must say who they are. */
bool srv_auth_is_required(const struct srv_auth *auth);
/* Whether a socket may be listened on: others than loopback only when clients must say who they
   are, or the operator has taken the risk. False with a sentence. */
bool srv_auth_may_listen(const struct srv_auth *auth, int fd, char *error);

/* Sets call->who. False after answering 401, 403 or 429: the body is not to be read then, and the
   reason is in call->denied. The call's route, arguments and error shape are set before. */
bool srv_authorize(struct srv_call *call, const struct srv_credentials *shown);
/* Whether one of the identity's roles allows this; collection NULL: on any. */
bool srv_identity_may(const struct srv_identity *who, enum srv_permission permission,
                      const char *collection);
/* Counts rows that the call reads or writes. */
void srv_auth_rows(struct srv_call *call, uint64_t n);
/* Gives back call->who and call->quota. */
void srv_auth_leave(struct srv_call *call);

#endif
