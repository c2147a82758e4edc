/* client.c - opening and closing, sessions, names of codes; see vecdb_client.h. */
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/session.h"
#include "meta/key.h"

enum { CLIENT_TIMEOUT_MS = 10000 };

_Static_assert((int)VECDB_CLIENT_NOT_PRIMARY == (int)WIRE_NOT_PRIMARY &&
                   (int)VECDB_CLIENT_NO_NODE == (int)WIRE_NO_NODE,
               "the public codes are those of the wire");

static int client_error(vecdb_error *error, int code, const char *words) {
  if (error) {
    *error = (vecdb_error){.code = code, .row = -1, .position = -1};
    snprintf(error->message, sizeof error->message, "%s", words);
  }
  return code;
}

const char *vecdb_client_code_name(int code) {
  static const char *const names[] = {
      "VECDB_CLIENT_NOT_PRIMARY", "VECDB_CLIENT_NO_REPLICA",  "VECDB_CLIENT_OVERLOADED",
      "VECDB_CLIENT_UNAVAILABLE", "VECDB_CLIENT_UNKNOWN",     "VECDB_CLIENT_NOT_FRESH",
      "VECDB_CLIENT_LOST",        "VECDB_CLIENT_OLD_OP",      "VECDB_CLIENT_SCHEMA",
      "VECDB_CLIENT_PROTOCOL",    "VECDB_CLIENT_SOME_SHARDS", "VECDB_CLIENT_NO_NODE",
  };
  int i = code - VECDB_CLIENT_NOT_PRIMARY;
  return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : "";
}

int vecdb_client_level_parse(const char *name) { return name ? wire_level_parse(name) : -1; }

/* ---- Sessions ---- */

vecdb_client_session *vecdb_client_session_new(void) {
  return calloc(1, sizeof(vecdb_client_session));
}

void vecdb_client_session_free(vecdb_client_session *session) {
  if (session)
    router_session_free(&session->seen);
  free(session);
}

/* ---- Opening ---- */

/* "1@10.0.0.1:7000,..." */
static bool client_nodes(vecdb_client *c, const char *text) {
  uint32_t n = 0;
  while (*text) {
    char address[DOC_TEXT_MAX];
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    size_t length = strcspn(end, ",");
    if (!id || id >= WIRE_CLIENT || *end != '@' || length < 2 || length >= sizeof address)
      return false;
    memcpy(address, end + 1, length - 1);
    address[length - 1] = 0;
    if (!links_add(c->links, (uint32_t)id, address))
      return false;
    n++;
    text = end + length + (end[length] == ',');
  }
  return n > 0;
}

/* Random numbers that tell this client from others. */
static bool client_random(void *out, size_t n) { return getrandom(out, n, 0) == (ssize_t)n; }

static int client_connect(vecdb_client *c, const vecdb_client_options *o, vecdb_error *error) {
  char why[HELLO_WHY];
  uint64_t random[2];
  struct net_config config = {
      .ca_file = o->ca_file, .cert_file = o->cert_file, .key_file = o->key_file};
  if (!client_random(random, sizeof random))
    return client_error(error, VECDB_ERR_IO, "no random numbers");
  config.self.node = o->id ? o->id : WIRE_CLIENT | (uint32_t)random[0];
  config.self.incarnation = random[1];
  memcpy(config.self.store.bytes, random, sizeof random);
  if (!doc_uuid_parse(o->cluster ? o->cluster : "", &config.self.cluster))
    return client_error(error, VECDB_ERR_ARGUMENT, "the cluster's id is 32 hex digits");
  if (!(config.self.node & WIRE_CLIENT))
    return client_error(error, VECDB_ERR_ARGUMENT, "ids of clients are 2147483649 and above");
  const struct links_handler handler = client_links(c);
  c->links = links_open(&config, &handler, why);
  if (!c->links)
    return client_error(error, VECDB_ERR_IO, why);
  if (!o->nodes || !client_nodes(c, o->nodes))
    return client_error(error, VECDB_ERR_ARGUMENT,
                        "nodes are ID@address:port, with commas between");
  const struct router_host host = client_host(c);
  const struct router_options options = {.client = o->writer ? o->writer : random[1] | 1,
                                         .seed = random[0],
                                         .numbered = o->writer != 0};
  c->router = router_open(&options, &host);
  return c->router ? VECDB_OK : client_error(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

static void client_free(vecdb_client *c) {
  links_close(c->links);
  router_close(c->router);
  plain_close(c);
  if (c->wake >= 0)
    close(c->wake);
  pthread_mutex_destroy(&c->numbers_mutex);
  pthread_mutex_destroy(&c->mutex);
  free(c);
}

int vecdb_client_open(const vecdb_client_options *o, vecdb_client **out, vecdb_error *error) {
  if (!o || !out)
    return client_error(error, VECDB_ERR_ARGUMENT, "options and out must be given");
  *out = NULL;
  if (o->size != sizeof *o)
    return client_error(error, VECDB_ERR_OPTION, "vecdb_client_options.size is not known");
  vecdb_client *c = calloc(1, sizeof *c);
  if (!c)
    return client_error(error, VECDB_ERR_NO_MEMORY, "out of memory");
  pthread_mutex_init(&c->mutex, NULL);
  pthread_mutex_init(&c->numbers_mutex, NULL);
  c->timeout_ms = o->timeout_ms ? o->timeout_ms : CLIENT_TIMEOUT_MS;
  c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int code = c->wake < 0 ? client_error(error, VECDB_ERR_IO, "no descriptor is left")
                         : client_connect(c, o, error);
  if (!code && pthread_create(&c->thread, NULL, client_thread, c))
    code = client_error(error, VECDB_ERR_NO_MEMORY, "no thread can be made");
  if (code) {
    client_free(c);
    return code;
  }
  *out = c;
  return VECDB_OK;
}

void vecdb_client_close(vecdb_client *c) {
  if (!c)
    return;
  pthread_mutex_lock(&c->mutex);
  c->closing = true;
  pthread_mutex_unlock(&c->mutex);
  eventfd_write(c->wake, 1);
  pthread_join(c->thread, NULL);
  client_free(c);
}
