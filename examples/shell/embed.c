/* embed.c - text into a vector, by a service with OpenAI's interface. The key of a service that
   wants one is in VECDB_EMBED_KEY of the environment, not in an argument that others could see. */
#include "embed.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

#define ANSWER_MOST     (16u << 20)
#define CONNECT_SECONDS 10L
#define ANSWER_SECONDS  120L

static size_t embed_receive(char *data, size_t size, size_t n, void *user) {
  struct text *answer = user;
  if (n * size > ANSWER_MOST - answer->length)
    return 0;
  text_add(answer, data, n * size);
  return n * size;
}

static int embed_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)user, (void)a, (void)b, (void)c, (void)d;
  return control_cancelled();
}

static int embed_failed(CURL *curl, CURLcode code, const char *url, vecdb_error *error) {
  if (code == CURLE_ABORTED_BY_CALLBACK)
    return fail(error, VECDB_ERR_CANCELLED, "cancelled");
  if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
    return fail(error, VECDB_ERR_NOT_FOUND,
                "no embedding service at %s (set embed URL; `make embeddings` starts one)", url);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_OK)
    return fail(error, VECDB_ERR_IO, "%s answered with status %ld", url, status);
  return fail(error, VECDB_ERR_IO, "%s: %s", url, curl_easy_strerror(code));
}

/* The vector in {"data": [{"embedding": [...]}]}. */
static int embed_answer(const struct text *answer, float **out, size_t *dim, vecdb_error *error) {
  json_t *json = json_loadb(text_string(answer), answer->length, 0, NULL);
  const json_t *vector =
      json_object_get(json_array_get(json_object_get(json, "data"), 0), "embedding");
  size_t n = json_array_size(vector);
  float *floats = n ? mem_new(n, sizeof *floats) : NULL;
  bool numbers = n && n <= VECDB_MAX_DIM;
  for (size_t i = 0; i < n && numbers; i++) {
    const json_t *x = json_array_get(vector, i);
    numbers = json_is_number(x);
    floats[i] = (float)json_number_value(x);
  }
  json_decref(json);
  if (!numbers) {
    free(floats);
    return fail(error, VECDB_ERR_TYPE, "the embedding service's answer holds no vector");
  }
  *out = floats;
  *dim = n;
  return VECDB_OK;
}

static struct curl_slist *embed_headers(void) {
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  const char *key = getenv("VECDB_EMBED_KEY");
  if (key && *key) {
    struct text line = {0};
    text_printf(&line, "Authorization: Bearer %s", key);
    headers = curl_slist_append(headers, text_string(&line));
    text_free(&line);
  }
  return headers;
}

int embed_text(const struct shell *shell, const char *text, float **out, size_t *dim,
               vecdb_error *error) {
  CURL *curl = curl_easy_init();
  if (!curl)
    return fail(error, VECDB_ERR_NO_MEMORY, "libcurl could not start");
  struct text url = {0}, body = {0}, answer = {0};
  size_t n = strlen(shell->embed_url);
  while (n && shell->embed_url[n - 1] == '/')
    n--;
  text_add(&url, shell->embed_url, n);
  text_puts(&url, "/v1/embeddings");
  text_puts(&body, "{\"model\": ");
  put_string(&body, shell->model, strlen(shell->model));
  text_puts(&body, ", \"input\": [");
  put_string(&body, text, strlen(text));
  text_puts(&body, "]}");
  struct curl_slist *headers = embed_headers();
  curl_easy_setopt(curl, CURLOPT_URL, text_string(&url));
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text_string(&body));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, embed_receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, embed_progress);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  int result = code == CURLE_OK && status == 200
                   ? embed_answer(&answer, out, dim, error)
                   : embed_failed(curl, code, text_string(&url), error);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  text_free(&url);
  text_free(&body);
  text_free(&answer);
  return result;
}
