/* main.c - the program vecdb-ingest: what its options say, opened and run; see ingest.h. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest.h"

static const char main_usage[] =
    "usage: vecdb-ingest --state FILE --collection C SOURCE TARGET [OPTION VALUE]...\n"
    "SOURCE   --file FILE (-: standard input) [--follow yes]\n"
    "         --nats URL --stream S [--subject S] [--consumer C] [--nats-ca F] [--nats-creds F]\n"
    "TARGET   --nodes ID@ADDRESS:PORT,... --cluster ID [--ca F --cert F --key F --client ID]\n"
    "         --server http://ADDRESS:PORT [--api-key-file F] [--ca F]\n"
    "OPTIONS  --rows 1000     of a batch, at most\n"
    "         --linger-ms 100 that a batch is waited for\n"
    "         --dead FILE     for what cannot be written; without it that ends the program\n"
    "         --report-ms 10000\n"
    "Rows are lines, or messages, of JSON. README.md of cluster/ingest says the rest.\n";

struct main {
  const char *state, *collection, *dead, *rows, *linger, *report;
  const char *file, *follow;
  struct ingest_nats nats;
  const char *nodes, *cluster, *ca, *cert, *key, *client;
  const char *server, *api_key_file;
  char api_key[1024];
};

static atomic_bool main_stop;

static void main_signal(int signal) {
  (void)signal;
  atomic_store(&main_stop, true);
}

static bool main_parse(int argc, char **argv, struct main *m) {
  const struct {
    const char *name;
    const char **value;
  } options[] = {{"--state", &m->state},
                 {"--collection", &m->collection},
                 {"--dead", &m->dead},
                 {"--rows", &m->rows},
                 {"--linger-ms", &m->linger},
                 {"--report-ms", &m->report},
                 {"--file", &m->file},
                 {"--follow", &m->follow},
                 {"--nats", &m->nats.url},
                 {"--stream", &m->nats.stream},
                 {"--subject", &m->nats.subject},
                 {"--consumer", &m->nats.consumer},
                 {"--nats-ca", &m->nats.ca},
                 {"--nats-creds", &m->nats.credentials},
                 {"--nodes", &m->nodes},
                 {"--cluster", &m->cluster},
                 {"--ca", &m->ca},
                 {"--cert", &m->cert},
                 {"--key", &m->key},
                 {"--client", &m->client},
                 {"--server", &m->server},
                 {"--api-key-file", &m->api_key_file}};
  for (int i = 1; i + 1 < argc; i += 2) {
    size_t k = 0, n = sizeof options / sizeof *options;
    while (k < n && strcmp(argv[i], options[k].name) != 0)
      k++;
    if (k == n)
      return false;
    *options[k].value = argv[i + 1];
  }
  return argc % 2 && m->state && m->collection && !m->file != !m->nats.url &&
         !m->nats.url == !m->nats.stream && !m->nodes != !m->server && !m->nodes == !m->cluster;
}

/* A number from a range; `usual` where none is given. */
static int main_number(const char *text, unsigned long most, uint32_t usual, uint32_t *out,
                       vecdb_error *error) {
  char *end;
  unsigned long n = text ? strtoul(text, &end, 10) : usual;
  *out = (uint32_t)n;
  if (text && (*text < '0' || *text > '9' || *end || n > most))
    return ingest_fail(error, VECDB_ERR_ARGUMENT, "'%.100s' is no number of 0 to %lu", text, most);
  return VECDB_OK;
}

/* The first line of a file, so that a key stands in no list of processes. */
static int main_api_key(struct main *m, vecdb_error *error) {
  if (!m->api_key_file)
    return VECDB_OK;
  FILE *f = fopen(m->api_key_file, "r");
  bool good = f && fgets(m->api_key, sizeof m->api_key, f);
  if (f)
    fclose(f);
  m->api_key[strcspn(m->api_key, "\r\n")] = 0;
  return good ? VECDB_OK : ingest_fail_os(error, m->api_key_file);
}

static struct ingest_target *main_target(struct main *m, uint64_t writer, uint32_t rows,
                                         vecdb_error *error) {
  if (m->server) {
    const struct ingest_http http = {m->server, *m->api_key ? m->api_key : NULL, m->ca,
                                     m->collection};
    return ingest_http_open(&http, error);
  }
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  o.nodes = m->nodes;
  o.cluster = m->cluster;
  o.ca_file = m->ca;
  o.cert_file = m->cert;
  o.key_file = m->key;
  o.writer = writer;
  if (main_number(m->client, UINT32_MAX, 0, &o.id, error))
    return NULL;
  return ingest_cluster_open(&o, m->collection, rows, error);
}

static struct ingest_source *main_source(struct main *m, uint64_t after, vecdb_error *error) {
  if (m->file)
    return ingest_file_open(m->file, m->follow && strcmp(m->follow, "yes") == 0, after, error);
  if (!m->nats.consumer)
    m->nats.consumer = "vecdb";
  return ingest_nats_open(&m->nats, after, error);
}

static int main_run(struct main *m, vecdb_error *error) {
  struct ingest_options o = {.dead = m->dead, .report = stderr, .stop = &main_stop};
  struct ingest_state state;
  int status = main_number(m->rows, VECDB_MAX_BATCH_ROWS, 1000, &o.rows, error);
  if (!status)
    status = main_number(m->linger, 60000, 100, &o.linger_ms, error);
  if (!status)
    status = main_number(m->report, UINT32_MAX, 10000, &o.report_ms, error);
  if (!status && !o.rows)
    status = ingest_fail(error, VECDB_ERR_ARGUMENT, "a batch has at least one row");
  if (!status)
    status = main_api_key(m, error);
  if (!status)
    status = ingest_state_open(&state, m->state, error);
  if (status)
    return status;
  struct ingest_target *target = main_target(m, state.writer, o.rows, error);
  struct ingest_source *source = target ? main_source(m, state.acked, error) : NULL;
  status = source ? ingest_run(&o, source, target, &state, error) : error->code;
  if (source)
    source->ops->close(source);
  if (target)
    target->ops->close(target);
  ingest_state_close(&state);
  return status;
}

int ingest_main(int argc, char **argv) {
  struct main m = {0};
  vecdb_error error = {0};
  if (!main_parse(argc, argv, &m)) {
    fputs(main_usage, stderr);
    return 2;
  }
  struct sigaction action = {.sa_handler = main_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  atomic_store(&main_stop, false);
  if (!main_run(&m, &error))
    return 0;
  const char *name = vecdb_client_code_name(error.code);
  fprintf(stderr, "vecdb-ingest: %s (%s)\n", error.message,
          *name ? name : vecdb_status_name(error.code));
  return 1;
}
