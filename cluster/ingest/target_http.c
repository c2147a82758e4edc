/* target_http.c - rows into a collection of one server, over HTTP; see target.h. */
#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest.h"

enum { HTTP_BYTES = 8 << 20, HTTP_ANSWER = 64 << 10, HTTP_SECONDS = 60 };

struct http_text {
  char *data;
  size_t n;
};

struct http {
  struct ingest_target base;
  CURL *curl;
  struct curl_slist *headers;
  struct http_text body; /* the batch: {"rows": [ROW, ... */
  struct http_text answer;
  uint32_t rows;
};

static bool http_put(struct http_text *t, const char *from, size_t n) {
  char *data = realloc(t->data, t->n + n + 1);
  if (!data)
    return false;
  memcpy(data + t->n, from, n);
  t->data = data;
  t->n += n;
  data[t->n] = 0;
  return true;
}

static size_t http_answered(char *data, size_t size, size_t n, void *user) {
  struct http *t = user;
  return t->answer.n + size * n <= HTTP_ANSWER && http_put(&t->answer, data, size * n) ? size * n
                                                                                        : 0;
}

static int http_add(struct ingest_target *target, const char *data, size_t n,
                    vecdb_error *error) {
  struct http *t = (struct http *)target;
  json_error_t why;
  if (t->rows && t->body.n + n > HTTP_BYTES)
    return INGEST_FULL;
  json_t *object = json_loadb(data, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
  bool good = json_is_object(object);
  json_decref(object);
  if (!good)
    return ingest_fail(error, VECDB_ERR_JSON, "no JSON object: %.200s", object ? "" : why.text);
  const char *head = t->rows ? "," : "{\"rows\":[";
  if (!http_put(&t->body, head, strlen(head)) || !http_put(&t->body, data, n))
    return ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  t->rows++;
  return VECDB_OK;
}

/* What the server says of its refusal. */
static int http_refused(const struct http *t, long status, vecdb_error *error) {
  json_error_t why;
  json_t *json = t->answer.n ? json_loadb(t->answer.data, t->answer.n, 0, &why) : NULL;
  const char *message = "no reason given";
  json_int_t row = -1;
  json_unpack(json, "{s:{s?s, s?I}}", "error", "message", &message, "row", &row);
  ingest_fail(error, VECDB_ERR_ARGUMENT, "status %ld: %.300s", status, message);
  error->row = row;
  json_decref(json);
  return error->code;
}

static int http_write(struct ingest_target *target, uint64_t op, bool *again,
                      vecdb_error *error) {
  struct http *t = (struct http *)target;
  size_t n = t->body.n;
  long status = 0;
  (void)op; /* one server: what comes again replaces itself */
  t->answer.n = 0;
  if (!http_put(&t->body, "]}", 2))
    return ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, t->body.data);
  curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.n);
  CURLcode code = curl_easy_perform(t->curl);
  t->body.n = n;
  curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
  if (!code && status == 200)
    return VECDB_OK;
  *again = code || status == 429 || status >= 500;
  return code ? ingest_fail(error, VECDB_ERR_IO, "%.300s", curl_easy_strerror(code))
              : http_refused(t, status, error);
}

static void http_clear(struct ingest_target *target) {
  struct http *t = (struct http *)target;
  t->body.n = 0;
  t->rows = 0;
}

static void http_close(struct ingest_target *target) {
  struct http *t = (struct http *)target;
  curl_easy_cleanup(t->curl);
  curl_slist_free_all(t->headers);
  free(t->body.data);
  free(t->answer.data);
  free(t);
}

static const struct ingest_target_ops http_ops = {http_add, http_write, http_clear, http_close};

static bool http_header(struct http *t, const char *text) {
  struct curl_slist *more = curl_slist_append(t->headers, text);
  t->headers = more ? more : t->headers;
  return more != NULL;
}

static bool http_prepare(struct http *t, const struct ingest_http *o) {
  char text[4096];
  char *name = t->curl ? curl_easy_escape(t->curl, o->collection, 0) : NULL;
  bool good = name && (size_t)snprintf(text, sizeof text, "%s/v1/collections/%s/rows", o->url,
                                       name) < sizeof text;
  curl_free(name);
  if (!good || curl_easy_setopt(t->curl, CURLOPT_URL, text) ||
      !http_header(t, "Content-Type: application/json"))
    return false;
  if (o->key && ((size_t)snprintf(text, sizeof text, "Authorization: Bearer %s", o->key) >=
                     sizeof text ||
                 !http_header(t, text)))
    return false;
  if (o->ca)
    curl_easy_setopt(t->curl, CURLOPT_CAINFO, o->ca);
  curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, "PUT");
  curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
  curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, http_answered);
  curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, (long)HTTP_SECONDS);
  curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
  return true;
}

struct ingest_target *ingest_http_open(const struct ingest_http *o, vecdb_error *error) {
  struct http *t = calloc(1, sizeof *t);
  if (t) {
    t->base.ops = &http_ops;
    t->curl = curl_easy_init();
    if (http_prepare(t, o))
      return &t->base;
    http_close(&t->base);
  }
  ingest_fail(error, VECDB_ERR_ARGUMENT, "an address or key that is too long, or no memory");
  return NULL;
}
