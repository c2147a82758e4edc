/*
 * jwt.h - bearer tokens: JSON Web Tokens (RFC 7519) that say who asks, by the rules of RFC 8725 and
 * some stricter ones: the key fixes the algorithm, nothing in a token is fetched or taken for a
 * key, and what it must say is checked before anything of it is believed.
 */
#ifndef SRV_JWT_H
#define SRV_JWT_H

#include "server/jwk.h"

enum {
  SRV_JWT_BYTES = 8192, /* of a token, at most */
  SRV_JWT_DEPTH = 8,    /* of its JSON */
  SRV_JWT_TEXT = 128,   /* room for a name, with its NUL */
  SRV_JWT_ROLES = 8
};

struct srv_jwt_rules {
  const struct srv_jwks *keys;
  const char *issuer;   /* "iss" must be this */
  const char *audience; /* "aud" must be or contain this */
  const char *types;    /* of "typ", separated by commas */
  const char *role_claim, *tenant_claim;
  int64_t skew; /* seconds that clocks may differ by */
  int64_t life; /* seconds from "iat" to "exp", at most */
};

/* What a token says. */
struct srv_jwt {
  char subject[SRV_JWT_TEXT];
  char tenant[SRV_JWT_TEXT]; /* "": none */
  char id[SRV_JWT_TEXT];     /* "jti"; "": none */
  char kid[SRV_JWK_KID + 1];
  char roles[SRV_JWT_ROLES][SRV_JWT_TEXT];
  unsigned n_roles;
  int64_t expires; /* seconds since 1970 */
};

/* Reads a token as of the second `now`. False: it is not to be believed, for the reason *why (a
   static text), which is for logs and not for whoever sent it. */
bool srv_jwt_read(const struct srv_jwt_rules *rules, const char *token, size_t n, int64_t now,
                  struct srv_jwt *out, const char **why);

#endif
