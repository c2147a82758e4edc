/* jwt.c - reading tokens; see jwt.h. */
#include "server/jwt.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/base64.h"
#include "server/json_read.h"

enum { JWT_AUDIENCES = 16 };

struct jwt_parts {
  const char *at[3];
  size_t n[3];
};

static bool jwt_split(const char *token, size_t n, struct jwt_parts *out) {
  size_t part = 0;
  out->at[0] = token;
  for (size_t i = 0; i < n; i++) {
    if (token[i] != '.')
      continue;
    if (part == 2)
      return false;
    out->n[part] = (size_t)(token + i - out->at[part]);
    out->at[++part] = token + i + 1;
  }
  out->n[part] = (size_t)(token + n - out->at[part]);
  return part == 2 && out->n[0] && out->n[1] && out->n[2];
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool jwt_is_deep(json_t *json, unsigned depth) {
  const char *key;
  json_t *value;
  size_t i;
  if (depth == 0)
    return true;
  json_object_foreach(json, key, value) {
    if (jwt_is_deep(value, depth - 1))
      return true;
  }
  json_array_foreach(json, i, value) {
    if (jwt_is_deep(value, depth - 1))
      return true;
  }
  return false;
}

/* The object that a part encodes; NULL: none. */
static json_t *jwt_object(const char *text, size_t n) {
  char bytes[SRV_JWT_BYTES];
  size_t n_bytes;
  json_error_t ignored;
  if (!srv_base64url(text, n, (uint8_t *)bytes, &n_bytes) || n_bytes == 0 || bytes[0] != '{')
    return NULL;
  json_t *json = srv_json_read(bytes, n_bytes, &ignored);
  if (json_is_object(json) && !jwt_is_deep(json, SRV_JWT_DEPTH + 1))
    return json;
  json_decref(json);
  return NULL;
}

/* A string that can stand in a log and be compared with a field: not empty, without control
   characters, of fewer than `room` bytes. */
static bool jwt_is_name(json_t *value, size_t room) {
  const char *text = json_string_value(value);
  size_t n = json_string_length(value);
  if (!text || n == 0 || n >= room)
    return false;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
      return false;
  return true;
}

static bool jwt_name(json_t *value, char *out) {
  if (!jwt_is_name(value, SRV_JWT_TEXT))
    return false;
  memcpy(out, json_string_value(value), json_string_length(value) + 1);
  return true;
}

/* ---- The header ------------------------------------------------------------------------------ */

static bool jwt_is_listed(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *at = list; *at;) {
    at += strspn(at, ", ");
    size_t length = strcspn(at, ", ");
    if (length && length == n && strncasecmp(at, word, n) == 0)
      return true;
    at += length;
  }
  return false;
}

/* A type may be written with or without "application/". */
static bool jwt_is_type(const char *list, json_t *value) {
  static const char prefix[] = "application/";
  const char *type = json_string_value(value);
  if (!type)
    return false;
  if (strncasecmp(type, prefix, sizeof prefix - 1) == 0)
    type += sizeof prefix - 1;
  return jwt_is_listed(list, type);
}

/* Members that name keys or change what a token means (jku, jwk, x5c, x5u, crit, b64, zip, enc) are
   not among those known, and what is not known is refused. */
static bool jwt_header_is_plain(json_t *header) {
  static const char *const known[] = {"alg", "kid", "typ", "x5t", "x5t#S256"};
  const char *key;
  json_t *value;
  json_object_foreach(header, key, value) {
    size_t i = 0;
    while (i < sizeof known / sizeof known[0] && strcmp(known[i], key) != 0)
      i++;
    if (i == sizeof known / sizeof known[0] || !json_is_string(value))
      return false;
  }
  return true;
}

/* The key that a header names; NULL with the reason. */
static const struct srv_jwk *jwt_key(const struct srv_jwt_rules *rules, json_t *header,
                                     const char **why) {
  *why = "the header has a member that is not allowed";
  if (!jwt_header_is_plain(header))
    return NULL;
  *why = "\"typ\" is missing or another";
  if (!jwt_is_type(rules->types, json_object_get(header, "typ")))
    return NULL;
  const char *kid = json_string_value(json_object_get(header, "kid"));
  *why = "\"kid\" is missing or malformed";
  if (!kid || !srv_jwk_is_kid(kid))
    return NULL;
  const struct srv_jwk *key = srv_jwks_find(rules->keys, kid);
  *why = "\"kid\" names no key";
  if (!key)
    return NULL;
  const char *algorithm = json_string_value(json_object_get(header, "alg"));
  *why = "\"alg\" is not the algorithm of the key";
  return algorithm && strcmp(algorithm, srv_jwk_algorithm(key)) == 0 ? key : NULL;
}

static bool jwt_is_signed(const struct srv_jwk *key, const struct jwt_parts *parts) {
  uint8_t signature[SRV_JWT_BYTES];
  size_t n;
  return srv_base64url(parts->at[2], parts->n[2], signature, &n) &&
         srv_jwk_verify(key, signature, n, parts->at[0], parts->n[0] + 1 + parts->n[1]);
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static bool jwt_is_audience(json_t *value, const char *audience) {
  size_t i;
  json_t *one;
  bool found = false;
  if (json_is_string(value))
    return strcmp(json_string_value(value), audience) == 0;
  if (json_array_size(value) > JWT_AUDIENCES)
    return false;
  json_array_foreach(value, i, one) {
    if (!json_is_string(one))
      return false;
    found = found || strcmp(json_string_value(one), audience) == 0;
  }
  return found;
}

static bool jwt_second(json_t *claims, const char *name, int64_t *out) {
  json_t *value = json_object_get(claims, name);
  *out = json_integer_value(value);
  return json_is_integer(value) && *out > 0;
}

/* Seconds are compared so that no sum overflows: rules are small, and so is `now`. */
static bool jwt_is_current(const struct srv_jwt_rules *rules, json_t *claims, int64_t now,
                           struct srv_jwt *out, const char **why) {
  int64_t issued, begins;
  *why = "\"exp\" or \"iat\" is missing or no whole second";
  if (!jwt_second(claims, "exp", &out->expires) || !jwt_second(claims, "iat", &issued))
    return false;
  *why = "expired";
  if (out->expires <= now - rules->skew)
    return false;
  *why = "issued in the future";
  if (issued > now + rules->skew)
    return false;
  *why = "\"exp\" is not after \"iat\", or too long after it";
  if (out->expires <= issued || out->expires - issued > rules->life)
    return false;
  if (!json_object_get(claims, "nbf"))
    return true;
  *why = "not valid yet";
  return jwt_second(claims, "nbf", &begins) && begins <= now + rules->skew;
}

/* A role or an array of roles; none is fine. */
static bool jwt_roles(json_t *value, struct srv_jwt *out) {
  size_t i;
  json_t *one;
  if (!value)
    return true;
  if (json_is_string(value))
    return jwt_name(value, out->roles[out->n_roles++]);
  if (!json_is_array(value) || json_array_size(value) > SRV_JWT_ROLES)
    return false;
  json_array_foreach(value, i, one) {
    if (!jwt_name(one, out->roles[out->n_roles++]))
      return false;
  }
  return true;
}

/* A tenant is a name, or a number that stands for itself in decimal. */
static bool jwt_tenant(json_t *value, char *out) {
  if (!json_is_integer(value))
    return !value || jwt_name(value, out);
  snprintf(out, SRV_JWT_TEXT, "%lld", (long long)json_integer_value(value));
  return true;
}

static bool jwt_claims(const struct srv_jwt_rules *rules, json_t *claims, int64_t now,
                       struct srv_jwt *out, const char **why) {
  const char *issuer = json_string_value(json_object_get(claims, "iss"));
  json_t *id = json_object_get(claims, "jti");
  *why = "\"iss\" is missing or another";
  if (!issuer || strcmp(issuer, rules->issuer) != 0)
    return false;
  *why = "\"aud\" is missing or others";
  if (!jwt_is_audience(json_object_get(claims, "aud"), rules->audience))
    return false;
  if (!jwt_is_current(rules, claims, now, out, why))
    return false;
  *why = "\"sub\" or \"jti\" is missing, too long or not a plain text";
  if (!jwt_name(json_object_get(claims, "sub"), out->subject) || (id && !jwt_name(id, out->id)))
    return false;
  *why = "the claim of roles is malformed";
  if (!jwt_roles(json_object_get(claims, rules->role_claim), out))
    return false;
  *why = "the claim of the tenant is malformed";
  return jwt_tenant(json_object_get(claims, rules->tenant_claim), out->tenant);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* Claims are not even parsed before the signature holds. */
static bool jwt_believe(const struct srv_jwt_rules *rules, const struct jwt_parts *parts,
                        json_t *header, int64_t now, struct srv_jwt *out, const char **why) {
  const struct srv_jwk *key = jwt_key(rules, header, why);
  if (!key)
    return false;
  *why = "the signature does not hold";
  if (!jwt_is_signed(key, parts))
    return false;
  snprintf(out->kid, sizeof out->kid, "%s",
           json_string_value(json_object_get(header, "kid")));
  json_t *claims = jwt_object(parts->at[1], parts->n[1]);
  *why = "the claims are no JSON object";
  bool good = claims && jwt_claims(rules, claims, now, out, why);
  json_decref(claims);
  return good;
}

bool srv_jwt_read(const struct srv_jwt_rules *rules, const char *token, size_t n, int64_t now,
                  struct srv_jwt *out, const char **why) {
  struct jwt_parts parts;
  memset(out, 0, sizeof *out);
  *why = "longer than a token may be";
  if (n > SRV_JWT_BYTES)
    return false;
  *why = "not three parts";
  if (!jwt_split(token, n, &parts))
    return false;
  json_t *header = jwt_object(parts.at[0], parts.n[0]);
  *why = "the header is no JSON object";
  bool good = header && jwt_believe(rules, &parts, header, now, out, why);
  json_decref(header);
  return good;
}
