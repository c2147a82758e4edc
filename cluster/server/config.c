/* config.c - settings by name; see config.h. */
#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_key {
  const char *section;
  const char *key;
  size_t offset;      /* in struct srv_config */
  const char *text;   /* built-in value of a text */
  uint64_t number;    /* of a number */
  uint64_t low, high; /* high 0: it is a text */
  bool live;          /* a running server takes a new value */
  const char *help;
};

#define CONFIG_TEXT(section, key, field, value, help) \
  { section, key, offsetof(struct srv_config, field), value, 0, 0, 0, false, help }
#define CONFIG_BYTES_MOST (UINT64_C(1) << 50)
#define CONFIG_NUMBER(section, key, field, value, low, high, help) \
  { section, key, offsetof(struct srv_config, field), NULL, value, low, high, false, help }
#define CONFIG_LIVE(section, key, field, value, low, high, help) \
  { section, key, offsetof(struct srv_config, field), NULL, value, low, high, true, help }

static const struct config_key config_keys[] = {
    CONFIG_TEXT("server", "listen", listen, "127.0.0.1:8000",
                "addresses for HTTP and gRPC, separated by commas; port 0 takes a free one"),
    CONFIG_TEXT("server", "milvus", milvus, "",
                "addresses for gRPC alone, such as 127.0.0.1:19530; empty: none"),
    CONFIG_TEXT("server", "tls_certificate", tls_certificate, "",
                "PEM file with the certificate and those up to a root, or several, separated by"
                " commas, taken by the name that a client asks for; every address then speaks TLS;"
                " empty: none does"),
    CONFIG_TEXT("server", "tls_key", tls_key, "",
                "PEM file with the certificate's key, not encrypted, mode 0600; as many as"
                " certificates"),
    CONFIG_TEXT("server", "tls_client_ca", tls_client_ca, "",
                "PEM file with who has signed clients' certificates; then each client must show"
                " one; empty: none is asked for"),
    CONFIG_NUMBER("server", "network_threads", network_threads, 1, 1, 64,
                  "threads beyond the workers, to read requests while all those are busy"),
    CONFIG_NUMBER("server", "workers", workers, 4, 1, 1024, "threads that run requests"),
    CONFIG_NUMBER("server", "queue", queue, 256, 1, 1000000,
                  "requests that may wait for a worker; more are answered 429"),
    CONFIG_NUMBER("server", "poll_us", poll_us, 200, 0, 100000,
                  "while pauses are shorter, an idle thread waits so long for a request without"
                  " sleeping, unless others want the processor; 0: it sleeps at once"),
    CONFIG_NUMBER("server", "connections", connections, 8192, 1, 1000000,
                  "connections at a time; more are closed at once"),
    CONFIG_LIVE("server", "address_connections", address_connections, 0, 0, 1000000,
                "connections from one address at a time; more are closed at once; 0: no limit"),
    CONFIG_LIVE("server", "body_bytes", body_bytes, 256u << 20, 1024, 4096ull << 20,
                  "largest body of a request; larger ones are answered 413"),
    CONFIG_NUMBER("server", "idle_seconds", idle_seconds, 60, 1, 86400,
                  "a connection that says nothing for so long is closed"),
    CONFIG_NUMBER("server", "request_seconds", request_seconds, 120, 1, 86400,
                  "a request that has not arrived whole by then is cut off"),
    CONFIG_LIVE("server", "least_rate", least_rate, 16384, 1, 1u << 30,
                "bytes of an answer that a client must take each second, beyond request_seconds,"
                " else it is cut off"),
    CONFIG_LIVE("server", "timeout_ms", timeout_ms, 30000, 1, 86400000,
                  "deadline of requests that bring no timeout_ms"),
    CONFIG_LIVE("server", "drain_seconds", drain_seconds, 30, 0, 86400,
                  "when stopping, how long requests in flight may take"),
    CONFIG_LIVE("server", "console", console, 1, 0, 1, "1: a page to look at, /console"),
    CONFIG_TEXT("database", "path", data, "vecdb-data", "the folder of the database"),
    CONFIG_TEXT("database", "durability", durability, "commit",
                "commit: a write is answered when it is on the disk; interval; off"),
    CONFIG_TEXT("database", "device", device, "cpu",
                "what searches may use: cpu; gpu or gpu:N; auto: a GPU if there is one"),
    CONFIG_TEXT("database", "device_module", device_module, "",
                "the library that drives it; empty: libvecdb_gpu.so"),
    CONFIG_TEXT("storage", "key", key_name, "",
                "name of the key that a new database is encrypted with; empty: it is not"),
    CONFIG_TEXT("storage", "key_file", key_file, "",
                "file of such keys, mode 0600, a line NAME = 64 hexadecimal digits each"),
    CONFIG_TEXT("storage", "key_command", key_command, "",
                "instead: a program that is run with the name and prints the digits"),
    CONFIG_NUMBER("storage", "memory", memory, 0, 0, CONFIG_BYTES_MOST,
                  "bytes that the database may allocate, mapped files aside; 0: no limit"),
    CONFIG_NUMBER("cache", "bytes", cache_bytes, 0, 0, CONFIG_BYTES_MOST,
                  "of these, for results of searches that are asked again, 65536 or more; 0: none"),
    CONFIG_NUMBER("cache", "vector_bytes", cache_vectors, 0, 0, CONFIG_BYTES_MOST,
                  "of these, for blocks of DISK indexes, 1048576 or more; 0: none"),
    CONFIG_TEXT("cluster", "nodes", nodes, "",
                "some nodes of a cluster that has the collections, ID@address:port with commas"
                " between; empty: they are in the database of this server"),
    CONFIG_TEXT("cluster", "id", cluster_id, "", "the cluster's id, 32 hexadecimal digits"),
    CONFIG_TEXT("cluster", "ca", cluster_ca, "",
                "PEM file of who signs the cluster's certificates; empty: no TLS, which works on"
                " loopback alone"),
    CONFIG_TEXT("cluster", "certificate", cluster_certificate, "",
                "PEM file of this server's certificate in the cluster"),
    CONFIG_TEXT("cluster", "key", cluster_key, "", "PEM file of its key"),
    CONFIG_NUMBER("cluster", "client", cluster_client, 0, 0, UINT32_MAX,
                  "the number that the certificate names, of 2147483649 and above; 0: without"
                  " TLS, a random one"),
    CONFIG_NUMBER("cluster", "shards", cluster_shards, 3, 1, 4096,
                  "shards of a collection that is created here"),
    CONFIG_NUMBER("cluster", "replicas", cluster_replicas, 3, 1, 7, "replicas of each of them"),
    CONFIG_TEXT("cluster", "tenant_field", cluster_tenant_field, "",
                "a BOOL, integer or VARCHAR: collections created here that have it lay the rows of"
                " each of its values together, so that filters on it ask one shard; empty: none"),
    CONFIG_TEXT("edge", "collections", edge_collections, "",
                "collections of the cluster, with commas between, or *: then this server has copies"
                " of them in its own database, follows the cluster, and takes no writes; empty:"
                " it asks the cluster"),
    CONFIG_TEXT("edge", "tenants", edge_tenants, "",
                "with commas between: only rows whose security.tenant_field is one of these are"
                " copied; empty: all"),
    CONFIG_NUMBER("edge", "poll_ms", edge_poll_ms, 500, 1, 3600000,
                  "pause between two looks at what has changed"),
    CONFIG_NUMBER("edge", "timeout_ms", edge_call_ms, 3000, 1, 600000,
                  "how long the cluster may take for each answer"),
    CONFIG_LIVE("edge", "max_staleness_ms", edge_staleness_ms, 0, 0, UINT32_MAX,
                "older copies are not read (503), unless a request says what it takes; 0: any"
                " is"),
    CONFIG_TEXT("search", "collection", search_collection, "passages",
                "the collection that POST /search asks"),
    CONFIG_NUMBER("search", "recall_every", recall_every, 0, 0, UINT32_MAX,
                  "of so many searches one is answered exactly, too, in the background, for the"
                  " recall in metrics, which takes a hundredth of a processor at most; 0: none"),
    CONFIG_TEXT("security", "jwks", jwks_file, "",
                "file with the public keys of bearer tokens, a JSON Web Key Set; empty: no tokens"),
    CONFIG_TEXT("security", "issuer", issuer, "", "tokens must be from here (iss)"),
    CONFIG_TEXT("security", "audience", audience, "", "tokens must be for this (aud)"),
    CONFIG_TEXT("security", "token_types", token_types, "at+jwt,vdb+jwt",
                "what tokens may be (typ), separated by commas"),
    CONFIG_TEXT("security", "role_claim", role_claim, "roles",
                "claim of a token with its role or roles"),
    CONFIG_TEXT("security", "tenant_claim", tenant_claim, "tenant",
                "claim of a token with the tenant that it is bound to"),
    CONFIG_LIVE("security", "skew_seconds", skew_seconds, 30, 0, 300,
                "how much the clocks of who made a token and of this machine may differ"),
    CONFIG_LIVE("security", "token_seconds", token_seconds, 86400, 1, 31536000,
                "tokens that live longer are refused"),
    CONFIG_TEXT("security", "keys", keys_file, "",
                "file with hashes of API keys, mode 0600; empty: none"),
    CONFIG_TEXT("security", "policy", policy_file, "",
                "file with roles and tenants' limits; empty: the built-in roles"),
    CONFIG_TEXT("security", "tenant_field", tenant_field, "tenant_id",
                "field that says whose a row is; who is bound to a tenant reaches only its rows"),
    CONFIG_TEXT("security", "require_tenant", require_tenant, "no",
                "yes: who is bound to no tenant, and no administrator, may do nothing"),
    CONFIG_TEXT("security", "tenant_keys", tenant_keys, "no",
                "yes: who is bound to a tenant writes new rows under keys that begin with its name"
                " and a colon, or that the server numbers, so that it learns of no other's keys"),
    CONFIG_TEXT("security", "public_metrics", public_metrics, "no",
                "yes: metrics are told to everybody"),
    CONFIG_TEXT("security", "insecure", insecure, "no",
                "yes: serve other machines though nobody has to say who they are"),
    CONFIG_LIVE("security", "failures", failures, 10, 0, 1000000,
                "log-ins of one address that may fail before it has to wait; 0: it never has to"),
    CONFIG_LIVE("security", "failure_seconds", failure_seconds, 60, 1, 3600,
                "the longest wait; the first is a second, each twice as long as the one before"),
    CONFIG_LIVE("quota", "requests_per_second", requests_per_second, 0, 0, SRV_QUOTA_MOST,
                "requests of one tenant, or of one who is bound to none; 0: no limit"),
    CONFIG_LIVE("quota", "rows_per_second", rows_per_second, 0, 0, SRV_QUOTA_MOST,
                "rows that one tenant's requests read as results, or write; 0: no limit"),
    CONFIG_LIVE("quota", "concurrency", concurrency, 0, 0, SRV_QUOTA_MOST,
                "requests of one tenant at work or waiting; 0: no limit"),
    CONFIG_TEXT("embedding", "url", embed_url, "",
                "base address of an OpenAI-compatible service, such as http://127.0.0.1:8001"),
    CONFIG_TEXT("embedding", "model", embed_model, "all-MiniLM-L6-v2", "the model to ask for"),
    CONFIG_TEXT("embedding", "key", embed_key, "", "sent as a bearer token; empty: none"),
    CONFIG_LIVE("embedding", "timeout_ms", embed_timeout_ms, 10000, 1, 600000,
                  "how long an embedding may take"),
    CONFIG_TEXT("log", "format", log_format, "text", "of the log: text, or json, a line each"),
    CONFIG_TEXT("log", "level", log_level, "info", "of the log: error, warn, info or debug"),
    CONFIG_LIVE("log", "requests", log_requests, 0, 0, 1, "1: each request gets a line"),
    CONFIG_LIVE("log", "slow_ms", log_slow_ms, 1000, 0, 86400000,
                  "a search that takes so long gets a line with its plan, a query with its filter;"
                " 0: none does"),
    CONFIG_TEXT("audit", "path", audit_path, "", "folder of the audit log; empty: none is kept"),
    CONFIG_TEXT("audit", "sync", audit_sync, "interval",
                "commit: an answer leaves when its record is on the disk; interval; off"),
    CONFIG_TEXT("audit", "key_file", audit_key, "",
                "a file of 32 bytes or more: without it nobody can write records that pass"),
    CONFIG_NUMBER("audit", "file_bytes", audit_file_bytes, 64u << 20, 4096, 1ull << 40,
                  "a file of the audit log is followed by a new one at this size"),
};

enum { CONFIG_N = sizeof config_keys / sizeof config_keys[0] };

static char *config_text(struct srv_config *config, const struct config_key *k) {
  return (char *)config + k->offset;
}

static _Atomic uint64_t *config_number(struct srv_config *config, const struct config_key *k) {
  return (_Atomic uint64_t *)(void *)((char *)config + k->offset);
}

static uint64_t config_number_of(const struct srv_config *config, const struct config_key *k) {
  return *(const _Atomic uint64_t *)(const void *)((const char *)config + k->offset);
}

void srv_config_init(struct srv_config *config) {
  memset(config, 0, sizeof *config);
  for (size_t i = 0; i < CONFIG_N; i++) {
    const struct config_key *k = &config_keys[i];
    if (k->high)
      *config_number(config, k) = k->number;
    else
      snprintf(config_text(config, k), SRV_CONFIG_TEXT, "%s", k->text);
  }
}

static bool config_assign(struct srv_config *config, const struct config_key *k, const char *value,
                          char *error) {
  if (!k->high) {
    if (strlen(value) < SRV_CONFIG_TEXT) {
      snprintf(config_text(config, k), SRV_CONFIG_TEXT, "%s", value);
      return true;
    }
    snprintf(error, SRV_CONFIG_ERROR, "%s.%s is longer than %d bytes", k->section, k->key,
             SRV_CONFIG_TEXT - 1);
    return false;
  }
  char *end;
  errno = 0;
  unsigned long long n = strtoull(value, &end, 10);
  if (isdigit((unsigned char)value[0]) && *end == '\0' && errno == 0 && n >= k->low &&
      n <= k->high) {
    *config_number(config, k) = n;
    return true;
  }
  snprintf(error, SRV_CONFIG_ERROR, "%s.%s is \"%.100s\", not a number from %llu to %llu",
           k->section, k->key, value, (unsigned long long)k->low, (unsigned long long)k->high);
  return false;
}

bool srv_config_set(struct srv_config *config, const char *section, const char *key,
                    const char *value, char *error) {
  for (size_t i = 0; i < CONFIG_N; i++)
    if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].key, key) == 0)
      return config_assign(config, &config_keys[i], value, error);
  snprintf(error, SRV_CONFIG_ERROR, "there is no setting %.100s.%.100s", section, key);
  return false;
}

struct config_reading {
  struct srv_config *config;
  char *error;
};

static int config_entry(void *user, const char *section, const char *key, const char *value) {
  struct config_reading *reading = user;
  return srv_config_set(reading->config, section, key, value, reading->error);
}

bool srv_config_file(struct srv_config *config, const char *path, char *error) {
  char why[SRV_CONFIG_ERROR] = "a line that is neither a section nor key = value";
  struct config_reading reading = {config, why};
  int line = ini_parse(path, config_entry, &reading);
  if (line == 0)
    return true;
  if (line < 0)
    snprintf(error, SRV_CONFIG_ERROR, "%.200s cannot be read: %s", path, strerror(errno));
  else
    snprintf(error, SRV_CONFIG_ERROR, "%.200s, line %d: %.400s", path, line, why);
  return false;
}

/* VECDBD_SERVER_LISTEN for server.listen. */
static void config_variable(const struct config_key *k, char *name, size_t size) {
  snprintf(name, size, "VECDBD_%s_%s", k->section, k->key);
  for (char *c = name; *c; c++)
    *c = (char)toupper((unsigned char)*c);
}

bool srv_config_environment(struct srv_config *config, char *error) {
  for (size_t i = 0; i < CONFIG_N; i++) {
    char name[64];
    config_variable(&config_keys[i], name, sizeof name);
    const char *value = getenv(name);
    if (value && !config_assign(config, &config_keys[i], value, error))
      return false;
  }
  return true;
}

static bool config_same(const struct srv_config *a, const struct srv_config *b,
                        const struct config_key *k) {
  if (k->high)
    return config_number_of(a, k) == config_number_of(b, k);
  return strcmp((const char *)a + k->offset, (const char *)b + k->offset) == 0;
}

void srv_config_adopt(struct srv_config *running, const struct srv_config *fresh,
                      void (*note)(const char *line)) {
  char line[SRV_CONFIG_TEXT];
  for (size_t i = 0; i < CONFIG_N; i++) {
    const struct config_key *k = &config_keys[i];
    if (config_same(running, fresh, k))
      continue;
    if (k->live) {
      *config_number(running, k) = config_number_of(fresh, k);
      continue;
    }
    snprintf(line, sizeof line, "%s.%s has changed, which takes a restart", k->section, k->key);
    note(line);
  }
}

void srv_config_print(const struct srv_config *config, void (*line)(const char *text)) {
  const char *section = "";
  char text[SRV_CONFIG_TEXT + 128];
  for (size_t i = 0; i < CONFIG_N; i++) {
    const struct config_key *k = &config_keys[i];
    if (strcmp(section, k->section) != 0) {
      snprintf(text, sizeof text, "%s[%s]", i ? "\n" : "", k->section);
      line(text);
      section = k->section;
    }
    snprintf(text, sizeof text, "; %s", k->help);
    line(text);
    const char *at = (const char *)config + k->offset;
    if (k->high)
      snprintf(text, sizeof text, "%s = %llu", k->key,
               (unsigned long long)config_number_of(config, k));
    else
      snprintf(text, sizeof text, "%s = %s", k->key, at);
    line(text);
  }
}
