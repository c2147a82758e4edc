/* embed.c - asking the embedding service; see embed.h. */
#include "server/embed.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics.h"
#include "server/observe.h"
#include "server/server.h"

enum { EMBED_IDLE = 64, EMBED_ANSWER = 16 * 1024 * 1024 };

struct srv_embed {
  const struct srv_config *config;
  char url[SRV_CONFIG_TEXT + 32];
  struct curl_slist *headers;
  pthread_mutex_t mutex;
  CURL *idle[EMBED_IDLE]; /* each with its open connection */
  unsigned n_idle;
};

struct embed_answer {
  char *text;
  size_t n;
};

struct srv_embed *srv_embed_start(const struct srv_config *config) {
  struct srv_embed *e = calloc(1, sizeof *e);
  if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
    free(e);
    return NULL;
  }
  char key[SRV_CONFIG_TEXT + 32];
  size_t n = strlen(config->embed_url);
  bool slash = n > 0 && config->embed_url[n - 1] == '/';
  e->config = config;
  snprintf(e->url, sizeof e->url, "%s%sv1/embeddings", config->embed_url, slash ? "" : "/");
  e->headers = curl_slist_append(NULL, "Content-Type: application/json");
  snprintf(key, sizeof key, "Authorization: Bearer %s", config->embed_key);
  if (*config->embed_key)
    e->headers = curl_slist_append(e->headers, key);
  pthread_mutex_init(&e->mutex, NULL);
  return e;
}

void srv_embed_stop(struct srv_embed *e) {
  if (!e)
    return;
  while (e->n_idle)
    curl_easy_cleanup(e->idle[--e->n_idle]);
  curl_slist_free_all(e->headers);
  pthread_mutex_destroy(&e->mutex);
  free(e);
  curl_global_cleanup();
}

static CURL *embed_take(struct srv_embed *e) {
  pthread_mutex_lock(&e->mutex);
  CURL *curl = e->n_idle ? e->idle[--e->n_idle] : NULL;
  pthread_mutex_unlock(&e->mutex);
  return curl ? curl : curl_easy_init();
}

static void embed_give(struct srv_embed *e, CURL *curl) {
  pthread_mutex_lock(&e->mutex);
  bool keep = e->n_idle < EMBED_IDLE;
  if (keep)
    e->idle[e->n_idle++] = curl;
  pthread_mutex_unlock(&e->mutex);
  if (!keep)
    curl_easy_cleanup(curl);
}

static size_t embed_collect(char *data, size_t size, size_t n, void *user) {
  struct embed_answer *a = user;
  n *= size;
  if (n > EMBED_ANSWER - a->n)
    return 0;
  char *grown = realloc(a->text, a->n + n + 1);
  if (!grown)
    return 0;
  memcpy(grown + a->n, data, n);
  a->text = grown;
  a->n += n;
  return n;
}

/* Asks; the HTTP status, or 0 with a reason. */
static long embed_ask(struct srv_embed *e, const struct srv_trace *trace, const char *body,
                      struct embed_answer *answer, CURLcode *why) {
  CURL *curl = embed_take(e);
  long status = 0;
  char parent[SRV_TRACEPARENT + 16] = "traceparent: ", state[SRV_TRACESTATE + 16];
  srv_trace_header(trace, parent + strlen(parent));
  snprintf(state, sizeof state, "tracestate: %s", trace->state ? trace->state : "");
  struct curl_slist with_state = {state, e->headers}; /* of this request, before those of all */
  struct curl_slist headers = {parent, trace->state ? &with_state : e->headers};
  *why = CURLE_OUT_OF_MEMORY;
  if (!curl)
    return 0;
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, e->url);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, &headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)e->config->embed_timeout_ms);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, embed_collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
  *why = curl_easy_perform(curl);
  if (*why == CURLE_OK)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  embed_give(e, curl);
  return status;
}

/* The one embedding in an answer of the service, or NULL. */
static json_t *embed_vector(const struct embed_answer *answer) {
  json_t *json = answer->text ? json_loadb(answer->text, answer->n, 0, NULL) : NULL;
  json_t *first = json_array_get(json_object_get(json, "data"), 0);
  json_t *vector = json_object_get(first, "embedding");
  if (!json_is_array(vector))
    vector = NULL;
  json_incref(vector);
  json_decref(json);
  return vector;
}

json_t *srv_embed_text(struct srv_call *call, const char *text) {
  struct srv_embed *e = call->server->embed;
  call->searched = true;
  if (!e) {
    srv_call_fail(call, 501, "NO_EMBEDDING",
                  "text cannot be searched: no embedding service is set"
                  " (embedding.url)");
    return NULL;
  }
  json_t *question = json_pack("{s:s, s:[s], s:s}", "model", e->config->embed_model, "input", text,
                               "encoding_format", "float");
  char *body = question ? json_dumps(question, JSON_COMPACT) : NULL;
  json_decref(question);
  if (!body) {
    srv_call_no_memory(call);
    return NULL;
  }
  struct embed_answer answer = {NULL, 0};
  CURLcode why;
  uint64_t began = srv_now_ns();
  long status = embed_ask(e, &call->trace, body, &answer, &why);
  srv_metrics_embedding(call->server->metrics, srv_now_ns() - began);
  json_t *vector = status == 200 ? embed_vector(&answer) : NULL;
  if (!vector && status == 0)
    srv_call_fail(call, why == CURLE_OPERATION_TIMEDOUT ? 504 : 502, "EMBEDDING",
                  "the embedding service cannot be asked: %s", curl_easy_strerror(why));
  else if (!vector)
    srv_call_fail(call, 502, "EMBEDDING", "the embedding service answered %ld%s", status,
                  status == 200 ? ", but no embedding" : "");
  free(body);
  free(answer.text);
  return vector;
}
