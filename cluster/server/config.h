/*
 * config.h - what an operator can set: built-in values, then a file, then the environment, then the
 * command line, each over the one before. `config_keys` in config.c is the one list of settings;
 * --help and the checks come from it.
 */
#ifndef SRV_CONFIG_H
#define SRV_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_CONFIG_TEXT = 512, SRV_CONFIG_ERROR = 640, SRV_QUOTA_MOST = 1000000000 };

/* Numbers can change while a server runs (srv_config_adopt), so they are atomic. */
struct srv_config {
  char listen[SRV_CONFIG_TEXT];            /* addresses, separated by commas: 127.0.0.1:8000 */
  char milvus[SRV_CONFIG_TEXT];            /* such addresses for Milvus's clients; "": none */
  char tls_certificate[SRV_CONFIG_TEXT];   /* PEM files; "": no TLS */
  char tls_key[SRV_CONFIG_TEXT];           /* their keys' */
  char tls_client_ca[SRV_CONFIG_TEXT];     /* who signs clients' certificates; "": they have none */
  char data[SRV_CONFIG_TEXT];              /* the database folder */
  char durability[SRV_CONFIG_TEXT];        /* commit, interval or off */
  char device[SRV_CONFIG_TEXT];            /* as vecdb_options.device */
  char device_module[SRV_CONFIG_TEXT];     /* as vecdb_options.device_module; "": the usual one */
  char key_name[SRV_CONFIG_TEXT];          /* of what wraps its keys; "": it is not encrypted */
  char key_file[SRV_CONFIG_TEXT];          /* where that is found, by its name ... */
  char key_command[SRV_CONFIG_TEXT];       /* ... or what prints it; "": not */
  char nodes[SRV_CONFIG_TEXT];             /* of a cluster that has the collections; "": none */
  char cluster_id[SRV_CONFIG_TEXT];
  char cluster_ca[SRV_CONFIG_TEXT]; /* PEM files of its TLS; "": it has none */
  char cluster_certificate[SRV_CONFIG_TEXT];
  char cluster_key[SRV_CONFIG_TEXT];
  char edge_collections[SRV_CONFIG_TEXT]; /* of that cluster, which are followed; "": none */
  char edge_tenants[SRV_CONFIG_TEXT];     /* whose rows; "": all */
  char search_collection[SRV_CONFIG_TEXT]; /* of POST /search */
  char jwks_file[SRV_CONFIG_TEXT];   /* public keys of tokens; "": none are taken */
  char issuer[SRV_CONFIG_TEXT];      /* of tokens */
  char audience[SRV_CONFIG_TEXT];    /* what tokens must be for */
  char token_types[SRV_CONFIG_TEXT]; /* of "typ", separated by commas */
  char role_claim[SRV_CONFIG_TEXT];
  char tenant_claim[SRV_CONFIG_TEXT];
  char keys_file[SRV_CONFIG_TEXT];      /* API keys; "": none */
  char policy_file[SRV_CONFIG_TEXT];    /* roles; "": the built-in ones */
  char tenant_field[SRV_CONFIG_TEXT];   /* of rows: whose they are */
  char require_tenant[SRV_CONFIG_TEXT]; /* yes or no */
  char tenant_keys[SRV_CONFIG_TEXT];    /* yes or no */
  char public_metrics[SRV_CONFIG_TEXT]; /* yes or no */
  char insecure[SRV_CONFIG_TEXT];       /* yes or no */
  char embed_url[SRV_CONFIG_TEXT]; /* base of an OpenAI-compatible service; "": no text search */
  char embed_model[SRV_CONFIG_TEXT];
  char embed_key[SRV_CONFIG_TEXT];
  char log_format[SRV_CONFIG_TEXT]; /* text or json */
  char log_level[SRV_CONFIG_TEXT];  /* error, warn, info or debug */
  _Atomic uint64_t requests_per_second; /* 0 here and below: no limit */
  _Atomic uint64_t rows_per_second;
  _Atomic uint64_t concurrency; /* requests of one tenant at a time */
  _Atomic uint64_t failures;        /* log-ins that may fail before an address has to wait */
  _Atomic uint64_t failure_seconds; /* of the longest wait */
  _Atomic uint64_t skew_seconds;  /* that clocks may differ by */
  _Atomic uint64_t token_seconds; /* a token's life, at most */
  _Atomic uint64_t embed_timeout_ms;
  _Atomic uint64_t memory;      /* bytes that the database may allocate; 0: no limit */
  _Atomic uint64_t cache_bytes; /* of these, for results; 0: none */
  _Atomic uint64_t cache_vectors; /* and for blocks of DISK indexes */
  _Atomic uint64_t recall_every; /* of so many searches one is checked; 0: none */
  _Atomic uint64_t network_threads;
  _Atomic uint64_t workers; /* threads that run requests */
  _Atomic uint64_t queue;   /* requests that may wait for a worker */
  _Atomic uint64_t poll_us; /* that a thread waits without sleeping */
  _Atomic uint64_t connections;
  _Atomic uint64_t address_connections; /* of one address; 0: no limit */
  _Atomic uint64_t body_bytes;      /* largest request body */
  _Atomic uint64_t idle_seconds;    /* a connection that says nothing is closed */
  _Atomic uint64_t request_seconds; /* a request must have arrived whole by then */
  _Atomic uint64_t least_rate;      /* bytes of an answer that a client takes each second */
  _Atomic uint64_t timeout_ms;      /* of a request that brings none */
  _Atomic uint64_t cluster_client; /* this server's number in the cluster; 0: any */
  _Atomic uint64_t cluster_shards; /* of collections that are made */
  _Atomic uint64_t cluster_replicas;
  char cluster_tenant_field[SRV_CONFIG_TEXT]; /* "": by the key alone */
  _Atomic uint64_t edge_poll_ms;      /* between two looks at the cluster */
  _Atomic uint64_t edge_call_ms;      /* of each question */
  _Atomic uint64_t edge_staleness_ms; /* of what is read, at most; 0: any */
  char audit_path[SRV_CONFIG_TEXT]; /* folder of the audit log; "": none is kept */
  char audit_sync[SRV_CONFIG_TEXT]; /* commit, interval or off */
  char audit_key[SRV_CONFIG_TEXT];  /* a file; "": the chain has no key */
  _Atomic uint64_t audit_file_bytes;
  _Atomic uint64_t console;         /* 1: it is served */
  _Atomic uint64_t log_requests;    /* 1: a line for each */
  _Atomic uint64_t log_slow_ms;     /* searches that take so long get a line; 0: none */
  _Atomic uint64_t drain_seconds;   /* for requests in flight when stopping */
};

/* The built-in values. */
void srv_config_init(struct srv_config *config);
/* Each reads one source over what is there; false with a sentence in `error` (SRV_CONFIG_ERROR
   bytes) that names the place and what was expected. */
bool srv_config_file(struct srv_config *config, const char *path, char *error);
bool srv_config_environment(struct srv_config *config, char *error);
bool srv_config_set(struct srv_config *config, const char *section, const char *key,
                    const char *value, char *error);
/* Takes those settings of `fresh` that a running server can change into its own, and calls `note`
   with a line for each that differs but takes a restart. Any thread, one at a time. */
void srv_config_adopt(struct srv_config *running, const struct srv_config *fresh,
                      void (*note)(const char *line));
/* Prints each setting with its value and meaning as a file that srv_config_file reads back. */
void srv_config_print(const struct srv_config *config, void (*line)(const char *text));

#endif
