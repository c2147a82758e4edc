/*
 * test_tokens.c - bearer tokens that must not be believed, each beside one that differs in nothing
 * but the fault and is; key sets that must not be used; and base64 beside a plain encoder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>

#include "base/rng.h"
#include "server/base64.h"
#include "server/config.h"
#include "server/jwt.h"
#include "server/tokentest.h"

#define NOW 1000000100
#define HEADER "{\"alg\":\"ALG\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}"
#define CLAIMS                                                                                  \
  "{\"iss\":\"https://issuer\",\"aud\":\"vecdb\",\"sub\":\"ann\",\"iat\":1000000000,"           \
  "\"nbf\":1000000000,\"exp\":1000003600,\"roles\":[\"reader\"],\"tenant\":\"acme\",\"jti\":\"t1\"}"

static struct token_key keys[TOKEN_KINDS], strangers[TOKEN_KINDS];
static struct srv_jwks *jwks;
static struct srv_jwt_rules rules = {NULL, "https://issuer", "vecdb", "at+jwt,vdb+jwt", "roles",
                                     "tenant", 30, 86400};

static int setup_keys(void **state) {
  static char text[TOKEN_ROOM];
  char error[SRV_CONFIG_ERROR];
  (void)state;
  token_keys(keys);
  token_keys(strangers);
  token_jwks(keys, text);
  jwks = srv_jwks_read(text, strlen(text), error);
  rules.keys = jwks;
  return jwks ? 0 : -1;
}

static int teardown_keys(void **state) {
  (void)state;
  srv_jwks_free(jwks);
  token_keys_free(keys);
  token_keys_free(strangers);
  return 0;
}

/* Whether a token is believed. It is copied to a block of its size, for the address sanitizer. */
static bool believed(const char *token, size_t n) {
  struct srv_jwt jwt;
  const char *why = NULL;
  char *copy = malloc(n ? n : 1);
  memcpy(copy, token, n);
  bool good = srv_jwt_read(&rules, copy, n, NOW, &jwt, &why);
  free(copy);
  return good;
}

/* `text` with the first `find` replaced, into out. */
static void replaced(const char *text, const char *find, const char *with, char *out) {
  const char *at = strstr(text, find);
  if (!at)
    fail_msg("%s is not in %s", find, text);
  sprintf(out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(find));
}

/* The base header for a key. */
static void header_for(const struct token_key *key, const char *text, char *out) {
  char half[TOKEN_ROOM];
  if (strstr(text, "ALG"))
    replaced(text, "ALG", key->algorithm, half);
  else
    strcpy(half, text);
  if (strstr(half, "KID"))
    replaced(half, "KID", key->kid, out);
  else
    strcpy(out, half);
}

/* ---- Faults in what is signed ---------------------------------------------------------------- */

/* In the header or the claims, one text in place of another. The signature is right. */
struct edit {
  bool claims;
  const char *find, *with;
};

static const struct edit edits[] = {
    /* Algorithms that are none, another key's, or symmetric */
    {false, "\"ALG\"", "\"none\""},
    {false, "\"ALG\"", "\"None\""},
    {false, "\"ALG\"", "\"NONE\""},
    {false, "\"ALG\"", "\"nOnE\""},
    {false, "\"ALG\"", "\"HS256\""},
    {false, "\"ALG\"", "\"HS512\""},
    {false, "\"ALG\"", "\"PS256\""},
    {false, "\"ALG\"", "\"RS512\""},
    {false, "\"ALG\"", "\"ES384\""},
    {false, "\"ALG\"", "\"ES256K\""},
    {false, "\"ALG\"", "\"Ed25519\""},
    {false, "\"ALG\"", "\"rs256\""},
    {false, "\"ALG\"", "\"\""},
    {false, "\"ALG\"", "null"},
    {false, "\"ALG\"", "[\"ALG\"]"},
    {false, "\"ALG\"", "\"ALG \""},
    {false, "\"ALG\"", "\"none\",\"alg\":\"ALG\""},
    {false, "\"alg\":\"ALG\",", ""},
    /* Names of keys */
    {false, "\"KID\"", "\"\""},
    {false, "\"KID\"", "\"../../etc/passwd\""},
    {false, "\"KID\"", "\"/dev/null\""},
    {false, "\"KID\"", "\"x' or '1'='1\""},
    {false, "\"KID\"", "\"https://evil.example/key\""},
    {false, "\"KID\"", "\"KID\\u0000\""},
    {false, "\"KID\"", "\" KID\""},
    {false, "\"KID\"", "\"unknown\""},
    {false, "\"KID\"", "1"},
    {false, "\"KID\"", "null"},
    {false, "\"KID\"", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""},
    {false, "\"kid\":\"KID\",", ""},
    {false, "\"kid\"", "\"kid\":\"KID\",\"kid\""},
    /* Keys that a token brings or points to, and members that change what it means */
    {false, "\"typ\"", "\"jku\":\"https://evil.example/jwks\",\"typ\""},
    {false, "\"typ\"", "\"x5u\":\"https://evil.example/cert\",\"typ\""},
    {false, "\"typ\"", "\"x5c\":[\"MIIB\"],\"typ\""},
    {false, "\"typ\"", "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},\"typ\""},
    {false, "\"typ\"", "\"crit\":[\"exp\"],\"typ\""},
    {false, "\"typ\"", "\"crit\":[],\"typ\""},
    {false, "\"typ\"", "\"b64\":false,\"typ\""},
    {false, "\"typ\"", "\"zip\":\"DEF\",\"typ\""},
    {false, "\"typ\"", "\"enc\":\"A256GCM\",\"typ\""},
    {false, "\"typ\"", "\"unknown\":\"x\",\"typ\""},
    {false, "\"typ\"", "\"x5t\":1,\"typ\""},
    /* Types */
    {false, "at+jwt", "JWT"},
    {false, "at+jwt", "id+jwt"},
    {false, "at+jwt", ""},
    {false, "at+jwt", "at+jwt,vdb+jwt"},
    {false, "\"at+jwt\"", "[\"at+jwt\"]"},
    {false, ",\"typ\":\"at+jwt\"", ""},
    {false, "\"typ\"", "\"typ\":\"at+jwt\",\"typ\""},
    /* The header is no plain object */
    {false, "{", "[{"},
    {false, "}", "}x"},
    {false, "{", " {"},
    {false, "{", "\xef\xbb\xbf{"},
    {false, "}", ",}"},
    {false, "\"typ\"", "'typ'"},
    {false, "at+jwt", "at+jwt\xff"},
    /* Times */
    {true, ",\"exp\":1000003600", ""},
    {true, "1000003600", "\"1000003600\""},
    {true, "1000003600", "1000003600.5"},
    {true, "1000003600", "1e10"},
    {true, "1000003600", "null"},
    {true, "1000003600", "0"},
    {true, "1000003600", "-1"},
    {true, "1000003600", "1000000070"},
    {true, "1000003600", "1000086401"},
    {true, "1000003600", "9223372036854775807"},
    {true, "1000003600", "99999999999999999999999"},
    {true, "\"iat\":1000000000", "\"iat\":1000000131"},
    {true, "\"iat\":1000000000", "\"iat\":1000003600"},
    {true, "\"iat\":1000000000", "\"iat\":999000000"},
    {true, "\"iat\":1000000000", "\"iat\":-9223372036854775807"},
    {true, "\"iat\":1000000000", "\"iat\":\"1000000000\""},
    {true, "\"iat\":1000000000,", ""},
    {true, "\"nbf\":1000000000", "\"nbf\":1000000131"},
    {true, "\"nbf\":1000000000", "\"nbf\":\"1000000000\""},
    {true, "\"nbf\":1000000000", "\"nbf\":null"},
    {true, "\"nbf\":1000000000", "\"nbf\":1.5"},
    /* From whom, and for whom */
    {true, "\"iss\":\"https://issuer\",", ""},
    {true, "https://issuer", "https://issuer/"},
    {true, "https://issuer", "https://ISSUER"},
    {true, "https://issuer", ""},
    {true, "\"https://issuer\"", "[\"https://issuer\"]"},
    {true, "\"iss\"", "\"iss\":\"https://evil\",\"iss\""},
    {true, "\"aud\":\"vecdb\",", ""},
    {true, "\"vecdb\"", "\"other\""},
    {true, "\"vecdb\"", "\"vecdb2\""},
    {true, "\"vecdb\"", "[]"},
    {true, "\"vecdb\"", "[\"other\"]"},
    {true, "\"vecdb\"", "[\"vecdb\",1]"},
    {true, "\"vecdb\"", "{\"vecdb\":\"vecdb\"}"},
    {true, "\"vecdb\"", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"vecdb\"]"},
    {true, "\"vecdb\"", "null"},
    /* Who, and what they are */
    {true, "\"sub\":\"ann\",", ""},
    {true, "\"ann\"", "\"\""},
    {true, "\"ann\"", "7"},
    {true, "\"ann\"", "\"ann\\nerror forged\""},
    {true, "\"ann\"", "\"ann\\u0000bob\""},
    {true, "\"t1\"", "7"},
    {true, "\"t1\"", "\"\""},
    {true, "[\"reader\"]", "[\"reader\",1]"},
    {true, "[\"reader\"]", "{\"reader\":true}"},
    {true, "[\"reader\"]", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]"},
    {true, "\"acme\"", "[\"acme\"]"},
    {true, "\"acme\"", "null"},
    {true, "\"acme\"", "\"\""},
    {true, "\"acme\"", "1.5"},
    {true, "\"tenant\"", "\"tenant\":\"other\",\"tenant\""},
    /* The claims are no plain object */
    {true, "{", "[{"},
    {true, "}", "}}"},
    {true, "{", "{\"deep\":[[[[[[[[[1]]]]]]]]],"},
    {true, "\"sub\"", "sub"},
};

static unsigned edited(const struct token_key *key) {
  static char header[TOKEN_ROOM], claims[TOKEN_ROOM], token[TOKEN_ROOM];
  unsigned n = 0;
  header_for(key, HEADER, header);
  token_make(key, header, CLAIMS, token);
  assert_true(believed(token, strlen(token)));
  for (; n < sizeof edits / sizeof edits[0]; n++) {
    const struct edit *e = &edits[n];
    char text[TOKEN_ROOM];
    replaced(e->claims ? CLAIMS : HEADER, e->find, e->with, text);
    header_for(key, e->claims ? HEADER : text, header);
    strcpy(claims, e->claims ? text : CLAIMS);
    token_make(key, header, claims, token);
    if (believed(token, strlen(token)))
      fail_msg("%s: believed with %s instead of %s", key->algorithm, e->with, e->find);
  }
  return n;
}

/* ---- Faults in the signature, and in how a token is written ---------------------------------- */

/* A token taken apart; a change puts another one together. */
struct broken {
  const struct token_key *key, *stranger;
  char header[TOKEN_ROOM], claims[TOKEN_ROOM]; /* encoded */
  char token[TOKEN_ROOM];
  size_t n_token;
  uint8_t signature[TOKEN_SIGNATURE];
  size_t n;
};

static void put(struct broken *b) {
  strcat(strcat(strcpy(b->token, b->header), "."), b->claims);
  strcat(b->token, ".");
  token_encode(b->token, b->signature, b->n);
  b->n_token = strlen(b->token);
}

static void zeros(struct broken *b) {
  memset(b->signature, 0, b->n);
  put(b);
}

static void none(struct broken *b) {
  b->n = 0;
  put(b);
}

static void shorter(struct broken *b) {
  b->n--;
  put(b);
}

static void longer(struct broken *b) {
  b->signature[b->n++] = 0;
  put(b);
}

static void first_bit(struct broken *b) {
  b->signature[0] ^= 0x80;
  put(b);
}

static void last_bit(struct broken *b) {
  b->signature[b->n - 1] ^= 1;
  put(b);
}

static void first_half_zero(struct broken *b) {
  memset(b->signature, 0, b->n / 2);
  put(b);
}

static void second_half_zero(struct broken *b) {
  memset(b->signature + b->n / 2, 0, b->n / 2);
  put(b);
}

static void halves_swapped(struct broken *b) {
  uint8_t half[TOKEN_SIGNATURE];
  memcpy(half, b->signature, b->n / 2);
  memmove(b->signature, b->signature + b->n / 2, b->n / 2);
  memcpy(b->signature + b->n / 2, half, b->n / 2);
  put(b);
}

/* The order of P-256's group, where r and s must be below it. */
static const char order[] = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";

static void half_is_order(struct broken *b, size_t at) {
  BIGNUM *n = NULL;
  BN_hex2bn(&n, order);
  BN_bn2binpad(n, b->signature + at, 32);
  BN_free(n);
  put(b);
}

static void r_is_order(struct broken *b) {
  half_is_order(b, 0);
}

static void s_is_order(struct broken *b) {
  half_is_order(b, b->n / 2);
}

static void all_ones(struct broken *b) {
  memset(b->signature, 0xff, b->n);
  put(b);
}

static void by_stranger(struct broken *b) {
  put(b);
  *strrchr(b->token, '.') = '\0';
  b->n = token_sign(b->stranger, b->token, b->signature);
  put(b);
}

static void of_other_text(struct broken *b) {
  b->n = token_sign(b->key, "other", b->signature);
  put(b);
}

/* What an ECDSA library makes by itself. */
static void in_der(struct broken *b) {
  ECDSA_SIG *pair = ECDSA_SIG_new();
  uint8_t *at = b->signature;
  ECDSA_SIG_set0(pair, BN_bin2bn(b->signature, 32, NULL), BN_bin2bn(b->signature + 32, 32, NULL));
  b->n = (size_t)i2d_ECDSA_SIG(pair, &at);
  ECDSA_SIG_free(pair);
  put(b);
}

/* The public key as the secret of an HMAC. */
static void keyed_by_public(struct broken *b) {
  uint8_t *der = NULL;
  unsigned n;
  int n_der = i2d_PUBKEY(b->key->key, &der);
  char header[256];
  sprintf(header, "{\"alg\":\"HS256\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}", b->key->kid);
  b->header[0] = '\0';
  token_encode(b->header, header, strlen(header));
  strcat(strcat(strcpy(b->token, b->header), "."), b->claims);
  HMAC(EVP_sha256(), der, n_der, (const uint8_t *)b->token, strlen(b->token), b->signature, &n);
  OPENSSL_free(der);
  b->n = n;
  put(b);
}

static void claims_of_another(struct broken *b) {
  const char *other = "{\"iss\":\"https://issuer\",\"aud\":\"vecdb\",\"sub\":\"root\",\"iat\":"
                      "1000000000,\"exp\":1000003600,\"roles\":[\"admin\"]}";
  b->claims[0] = '\0';
  token_encode(b->claims, other, strlen(other));
  put(b);
}

static void insert(struct broken *b, size_t at, const char *text) {
  size_t n = strlen(text);
  memmove(b->token + at + n, b->token + at, b->n_token - at + 1);
  memcpy(b->token + at, text, n);
  b->n_token += n;
}

static void padded(struct broken *b) {
  put(b);
  insert(b, b->n_token, "==");
}

static void header_padded(struct broken *b) {
  put(b);
  insert(b, strlen(b->header), "=");
}

static void blank_behind(struct broken *b) {
  put(b);
  insert(b, b->n_token, " ");
}

static void blank_before(struct broken *b) {
  put(b);
  insert(b, 0, " ");
}

static void line_within(struct broken *b) {
  put(b);
  insert(b, strlen(b->header) + 1, "\n");
}

static void dot_before(struct broken *b) {
  put(b);
  insert(b, 0, ".");
}

static void dot_behind(struct broken *b) {
  put(b);
  insert(b, b->n_token, ".");
}

static void four_parts(struct broken *b) {
  put(b);
  insert(b, b->n_token, ".AAAA");
}

static void five_parts(struct broken *b) {
  put(b);
  insert(b, b->n_token, ".AAAA.AAAA");
}

static void two_parts(struct broken *b) {
  put(b);
  *strrchr(b->token, '.') = '\0';
  b->n_token = strlen(b->token);
}

static void no_header(struct broken *b) {
  b->header[0] = '\0';
  put(b);
}

static void no_claims(struct broken *b) {
  b->claims[0] = '\0';
  put(b);
}

static void nothing(struct broken *b) {
  b->n_token = 0;
}

static void nul_within(struct broken *b) {
  put(b);
  b->token[b->n_token / 2] = '\0';
}

static void plain_alphabet(struct broken *b) {
  put(b);
  insert(b, b->n_token - 4, "++//");
}

/* The bits of the last digit that stand for no byte: another text of the same signature. */
static void other_spelling(struct broken *b) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  put(b);
  char *last = &b->token[b->n_token - 1];
  *last = digits[(size_t)(strchr(digits, *last) - digits) ^ 1];
}

static void cut(struct broken *b) {
  put(b);
  b->n_token--;
}

/* Signed well, but longer than a token may be. */
static void too_long(struct broken *b) {
  static char claims[TOKEN_ROOM];
  int n = sprintf(claims, "%.*s,\"pad\":\"", (int)strlen(CLAIMS) - 1, CLAIMS);
  memset(claims + n, 'x', SRV_JWT_BYTES);
  strcpy(claims + n + SRV_JWT_BYTES, "\"}");
  b->claims[0] = '\0';
  token_encode(b->claims, claims, strlen(claims));
  strcat(strcat(strcpy(b->token, b->header), "."), b->claims);
  b->n = token_sign(b->key, b->token, b->signature);
  put(b);
}

static void (*const changes[])(struct broken *b) = {
    zeros,           none,           shorter,        longer,        first_bit,     last_bit,
    first_half_zero, second_half_zero, halves_swapped, r_is_order,  s_is_order,    all_ones,
    by_stranger,     of_other_text,  in_der,         keyed_by_public, claims_of_another, padded,
    header_padded,   blank_behind,   blank_before,   line_within,   dot_before,    dot_behind,
    four_parts,      five_parts,     two_parts,      no_header,     no_claims,     nothing,
    nul_within,      plain_alphabet, other_spelling, cut,           too_long,
};

static void take_apart(struct broken *b, const struct token_key *key,
                       const struct token_key *stranger) {
  char header[TOKEN_ROOM];
  memset(b, 0, sizeof *b);
  b->key = key;
  b->stranger = stranger;
  header_for(key, HEADER, header);
  token_encode(b->header, header, strlen(header));
  token_encode(b->claims, CLAIMS, strlen(CLAIMS));
  strcat(strcat(strcpy(b->token, b->header), "."), b->claims);
  b->n = token_sign(key, b->token, b->signature);
}

static unsigned changed(const struct token_key *key, const struct token_key *stranger) {
  static struct broken b;
  unsigned n = 0;
  for (; n < sizeof changes / sizeof changes[0]; n++) {
    take_apart(&b, key, stranger);
    put(&b);
    if (!believed(b.token, b.n_token))
      fail_msg("%s: the sound token before change %u is not believed", key->algorithm, n);
    changes[n](&b);
    if (believed(b.token, b.n_token))
      fail_msg("%s: believed after change %u", key->algorithm, n);
  }
  return n;
}

static void test_bad_tokens(void **state) {
  (void)state;
  unsigned n = 0;
  for (int k = 0; k < TOKEN_KINDS; k++)
    n += edited(&keys[k]) + changed(&keys[k], &strangers[k]);
  assert_true(n >= 250);
  print_message("%u bad tokens, none believed\n", n);
}

/* ---- Tokens that are sound ------------------------------------------------------------------- */

/* Texts in place of others that leave a token sound: the rules are not stricter than they say. */
static const struct edit sound[] = {
    {false, "at+jwt", "vdb+jwt"},
    {false, "at+jwt", "application/at+jwt"},
    {false, "at+jwt", "AT+JWT"},
    {false, "\"typ\"", "\"x5t\":\"abc\",\"typ\""},
    {true, "1000003600", "1000000071"},
    {true, "1000003600", "1000086400"},
    {true, "\"iat\":1000000000", "\"iat\":1000000130"},
    {true, "\"nbf\":1000000000", "\"nbf\":1000000130"},
    {true, "\"nbf\":1000000000,", ""},
    {true, "\"vecdb\"", "[\"other\",\"vecdb\"]"},
    {true, "\"roles\":[\"reader\"],", ""},
    {true, "[\"reader\"]", "\"reader\""},
    {true, "[\"reader\"]", "[]"},
    {true, "[\"reader\"]", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]"},
    {true, "\"tenant\":\"acme\",", ""},
    {true, "\"acme\"", "-7"},
    {true, ",\"jti\":\"t1\"", ""},
    {true, "{", "{\"deep\":[[[[[[[1]]]]]]],"},
    {true, "{", "{\"\xc3\xa9\":\"\\u00e9\","},
};

static void test_sound_tokens(void **state) {
  (void)state;
  static char text[TOKEN_ROOM], header[TOKEN_ROOM], token[TOKEN_ROOM];
  for (int k = 0; k < TOKEN_KINDS; k++) {
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
      const struct edit *e = &sound[i];
      replaced(e->claims ? CLAIMS : HEADER, e->find, e->with, text);
      header_for(&keys[k], e->claims ? HEADER : text, header);
      token_make(&keys[k], header, e->claims ? text : CLAIMS, token);
      if (!believed(token, strlen(token)))
        fail_msg("%s: not believed with %s", keys[k].algorithm, e->with);
    }
  }
}

static void test_what_is_said(void **state) {
  (void)state;
  static char header[TOKEN_ROOM], token[TOKEN_ROOM];
  struct srv_jwt jwt;
  const char *why;
  header_for(&keys[TOKEN_EC], HEADER, header);
  token_make(&keys[TOKEN_EC], header, CLAIMS, token);
  assert_true(srv_jwt_read(&rules, token, strlen(token), NOW, &jwt, &why));
  assert_string_equal(jwt.subject, "ann");
  assert_string_equal(jwt.tenant, "acme");
  assert_string_equal(jwt.id, "t1");
  assert_string_equal(jwt.kid, "ec.1");
  assert_int_equal(jwt.n_roles, 1);
  assert_string_equal(jwt.roles[0], "reader");
  assert_int_equal(jwt.expires, 1000003600);
  assert_false(srv_jwt_read(&rules, token, strlen(token), jwt.expires + 30, &jwt, &why));
}

/* Every one of a token's bits counts. */
static void test_each_byte(void **state) {
  (void)state;
  static char header[TOKEN_ROOM], token[TOKEN_ROOM];
  header_for(&keys[TOKEN_ED], HEADER, header);
  token_make(&keys[TOKEN_ED], header, CLAIMS, token);
  size_t n = strlen(token);
  for (size_t i = 0; i < n; i++) {
    char kept = token[i];
    token[i] = (char)(kept ^ (1 << i % 7));
    assert_false(believed(token, n));
    token[i] = kept;
  }
  assert_true(believed(token, n));
}

/* ---- Key sets -------------------------------------------------------------------------------- */

static bool usable(const char *text) {
  char error[SRV_CONFIG_ERROR] = "";
  struct srv_jwks *set = srv_jwks_read(text, strlen(text), error);
  assert_true(set || *error);
  srv_jwks_free(set);
  return set != NULL;
}

/* A set with an RSA key of so many bits and this exponent. */
static bool usable_rsa(unsigned bits, const char *exponent) {
  static char text[TOKEN_ROOM];
  uint8_t modulus[2048];
  memset(modulus, 0xa5, sizeof modulus);
  size_t n = (bits + 7) / 8;
  modulus[0] = (uint8_t)(1u << (bits + 7) % 8);
  sprintf(text, "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"k\", \"e\": \"%s\"", exponent);
  token_member(text, "n", modulus, n);
  strcat(text, "}]}");
  return usable(text);
}

/* A set of one key, or two. */
static void set_of(const char *one, const char *other, char *out) {
  strcat(strcpy(out, "{\"keys\": ["), one);
  if (other)
    strcat(strcat(out, ", "), other);
  strcat(out, "]}");
}

static void test_key_sets(void **state) {
  (void)state;
  static const char *const bad[] = {
      "", "{", "[]", "{}", "{\"keys\": {}}", "{\"keys\": []}", "{\"keys\": [1]}",
      "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"k\", \"k\": \"AAAA\"}]}",
      "{\"keys\": [], \"keys\": []}"};
  static const char *const edited_keys[][2] = {
      {"\"use\": \"sig\"", "\"use\": \"enc\""}, {"\"alg\": \"", "\"alg\": \"X"},
      {"\"kid\": \"", "\"kid\": \"a b\", \"k\": \""}, {"\"kid\"", "\"k\""},
      {"\"kid\"", "\"d\": \"AAAA\", \"kid\""}, {"\"kty\": \"", "\"kty\": \"X"},
      {"\": \"A", "\": \"!A"}};
  static char jwk[TOKEN_ROOM], changed_key[TOKEN_ROOM], text[TOKEN_ROOM];
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(usable(bad[i]));
  for (int k = 0; k < TOKEN_KINDS; k++) {
    token_jwk(&keys[k], jwk);
    set_of(jwk, NULL, text);
    assert_true(usable(text));
    set_of(jwk, jwk, text);
    assert_false(usable(text));
    for (size_t i = 0; i + 1 < sizeof edited_keys / sizeof edited_keys[0]; i++) {
      replaced(jwk, edited_keys[i][0], edited_keys[i][1], changed_key);
      set_of(changed_key, NULL, text);
      if (usable(text))
        fail_msg("a key set is used with %s", edited_keys[i][1]);
    }
  }
  assert_true(usable_rsa(2048, "AQAB"));
  assert_true(usable_rsa(8192, "AQAB"));
  assert_false(usable_rsa(2047, "AQAB"));
  assert_false(usable_rsa(8193, "AQAB"));
  assert_false(usable_rsa(2048, "Aw"));   /* 3 */
  assert_false(usable_rsa(2048, "AQAA")); /* even */
  assert_false(usable_rsa(2048, "AQAAAAE"));
  assert_false(usable_rsa(2048, ""));
}

/* A point beside the curve is no key. */
static void test_point_off_curve(void **state) {
  (void)state;
  static char text[TOKEN_ROOM];
  uint8_t x[32] = {1}, y[32] = {2};
  strcpy(text, "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"kid\": \"k\"");
  token_member(text, "x", x, sizeof x);
  token_member(text, "y", y, sizeof y);
  strcat(text, "}]}");
  assert_false(usable(text));
}

/* ---- base64 ---------------------------------------------------------------------------------- */

/* Whatever is read is what encoding gives, and nothing else is. */
static void test_base64(void **state) {
  (void)state;
  struct vdb_rng rng = {7};
  for (int i = 0; i < 2000; i++) {
    uint8_t bytes[48], out[48];
    char text[80] = "";
    size_t n = vdb_rng_next(&rng) % sizeof bytes, n_out = 99;
    for (size_t b = 0; b < n; b++)
      bytes[b] = (uint8_t)vdb_rng_next(&rng);
    token_encode(text, bytes, n);
    assert_true(srv_base64url(text, strlen(text), out, &n_out));
    assert_int_equal(n_out, n);
    assert_memory_equal(out, bytes, n);
    uint8_t plain[80];
    int n_plain = EVP_EncodeBlock(plain, bytes, (int)n);
    assert_true(srv_base64((char *)plain, (size_t)n_plain, out, &n_out));
    assert_memory_equal(out, bytes, n);
    if (n == 0)
      continue;
    text[vdb_rng_next(&rng) % strlen(text)] = (char)vdb_rng_next(&rng);
    if (srv_base64url(text, strlen(text), out, &n_out)) {
      char again[80] = "";
      token_encode(again, out, n_out);
      assert_string_equal(again, text);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_tokens),  cmocka_unit_test(test_sound_tokens),
      cmocka_unit_test(test_what_is_said), cmocka_unit_test(test_each_byte),
      cmocka_unit_test(test_key_sets),    cmocka_unit_test(test_point_off_curve),
      cmocka_unit_test(test_base64),
  };
  return cmocka_run_group_tests(tests, setup_keys, teardown_keys);
}
