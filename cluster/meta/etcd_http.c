/* etcd_http.c - HTTP exchanges by libcurl behind one epoll descriptor; see etcd_http.h. */
#include "meta/etcd_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- Buffers ---- */

void http_add(struct http_buffer *buffer, const void *data, size_t n) {
  if (buffer->failed || n > buffer->limit - buffer->n) {
    buffer->failed = true;
    return;
  }
  if (n > buffer->capacity - buffer->n) {
    size_t wanted = 2 * (buffer->n + n) + 64;
    char *grown = realloc(buffer->data, wanted);
    if (!grown) {
      buffer->failed = true;
      return;
    }
    buffer->data = grown;
    buffer->capacity = wanted;
  }
  if (n)
    memcpy(buffer->data + buffer->n, data, n);
  buffer->n += n;
}

void http_add_text(struct http_buffer *buffer, const char *text) {
  http_add(buffer, text, strlen(text));
}

void http_drop(struct http_buffer *buffer, size_t n) {
  memmove(buffer->data, buffer->data + n, buffer->n - n);
  buffer->n -= n;
}

void http_free(struct http_buffer *buffer) {
  free(buffer->data);
  *buffer = (struct http_buffer){.limit = buffer->limit};
}

/* ---- Between libcurl and epoll ---- */

static int http_on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *known) {
  struct http *http = arg;
  (void)curl;
  struct epoll_event event = {.data.fd = fd};
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, &event);
    return 0;
  }
  if (what != CURL_POLL_OUT)
    event.events |= EPOLLIN;
  if (what != CURL_POLL_IN)
    event.events |= EPOLLOUT;
  if (known)
    return epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event);
  curl_multi_assign(http->multi, fd, http);
  if (epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
    return 0;
  return errno == EEXIST ? epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) : -1;
}

static int http_on_timer(CURLM *multi, long ms, void *arg) {
  struct http *http = arg;
  (void)multi;
  http->timer_us = ms < 0 ? INT64_MAX : http->now_us + 1000 * (int64_t)ms;
  return 0;
}

static size_t http_on_data(char *data, size_t size, size_t n, void *arg) {
  struct http_call *call = arg;
  http_add(&call->in, data, size * n);
  return call->in.failed ? 0 : size * n;
}

/* ---- Opening ---- */

static bool http_say(char *why, const char *text) {
  snprintf(why, ETCD_WHY, "%s", text);
  return false;
}

/* Splits the list at its commas. */
static bool http_endpoints(struct http *http, const char *list, char *why) {
  while (list && *list) {
    size_t n = strcspn(list, ",");
    if (strncmp(list, "http://", 7) != 0 && strncmp(list, "https://", 8) != 0)
      return http_say(why, "an endpoint of etcd begins with http:// or https://");
    if (http->n_endpoints == ETCD_ENDPOINTS_MAX)
      return http_say(why, "too many endpoints of etcd");
    char *copy = strndup(list, n);
    if (!copy)
      return http_say(why, "out of memory");
    if (n && copy[n - 1] == '/')
      copy[n - 1] = 0;
    http->endpoints[http->n_endpoints++] = copy;
    list += n + (list[n] == ',');
  }
  return http->n_endpoints > 0 || http_say(why, "no endpoint of etcd is given");
}

static bool http_copy(char **to, const char *from) {
  *to = from ? strdup(from) : NULL;
  return !from || *to;
}

static bool http_headers(struct http *http) {
  static const char *const lines[] = {
      "Content-Type: application/json", "Expect:",
      /* A member that has no leader says so at once, and ends its watches. */
      "Grpc-Metadata-hasleader: true"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct curl_slist *more = curl_slist_append(http->headers, lines[i]);
    if (!more)
      return false;
    http->headers = more;
  }
  return true;
}

bool http_open(struct http *http, const struct etcd_config *config, char *why) {
  *http = (struct http){.epoll = -1, .timer_us = INT64_MAX};
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
    return http_say(why, "libcurl does not start");
  http->connect_ms = (long)((config->connect_us ? config->connect_us : 1000000) / 1000);
  http->multi = curl_multi_init();
  http->epoll = epoll_create1(EPOLL_CLOEXEC);
  bool made = http->multi && http->epoll >= 0 && http_headers(http) &&
              http_copy(&http->ca_file, config->ca_file) &&
              http_copy(&http->cert_file, config->cert_file) &&
              http_copy(&http->key_file, config->key_file);
  if (!made)
    http_say(why, "out of memory or descriptors");
  if (!made || !http_endpoints(http, config->endpoints, why)) {
    http_close(http);
    return false;
  }
  curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket);
  curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
  curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, http_on_timer);
  curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
  curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)(ETCD_PARALLEL + META_WATCHES_MAX));
  return true;
}

void http_close(struct http *http) {
  curl_multi_cleanup(http->multi);
  curl_slist_free_all(http->headers);
  for (size_t i = 0; i < http->n_endpoints; i++)
    free(http->endpoints[i]);
  free(http->ca_file);
  free(http->cert_file);
  free(http->key_file);
  if (http->epoll >= 0)
    close(http->epoll);
  curl_global_cleanup();
}

/* ---- Exchanges ---- */

static void http_options(struct http *http, struct http_call *call, const char *url,
                         const struct http_buffer *body) {
  CURL *curl = call->curl;
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
  curl_easy_setopt(curl, CURLOPT_PRIVATE, call);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, http->connect_ms);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 5L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 2L);
  if (http->ca_file)
    curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
  if (http->cert_file)
    curl_easy_setopt(curl, CURLOPT_SSLCERT, http->cert_file);
  if (http->key_file)
    curl_easy_setopt(curl, CURLOPT_SSLKEY, http->key_file);
}

bool http_start(struct http *http, struct http_call *call, const char *path,
                const struct http_buffer *body) {
  char url[512];
  call->endpoint = http->current;
  call->in.n = 0;
  call->in.failed = call->ended = call->sent = false;
  int n = snprintf(url, sizeof url, "%s%s", http->endpoints[http->current], path);
  call->curl = n < (int)sizeof url ? curl_easy_init() : NULL;
  if (!call->curl)
    return false;
  http_options(http, call, url, body);
  if (curl_multi_add_handle(http->multi, call->curl) == CURLM_OK)
    return true;
  curl_easy_cleanup(call->curl);
  call->curl = NULL;
  return false;
}

void http_stop(struct http *http, struct http_call *call) {
  curl_off_t began = 0;
  if (!call->curl)
    return;
  curl_easy_getinfo(call->curl, CURLINFO_PRETRANSFER_TIME_T, &began);
  call->sent = began > 0;
  curl_multi_remove_handle(http->multi, call->curl);
  curl_easy_cleanup(call->curl);
  call->curl = NULL;
}

static void http_collect(struct http *http) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(http->multi, &left))) {
    struct http_call *call;
    if (message->msg != CURLMSG_DONE)
      continue;
    CURL *curl = message->easy_handle;
    CURLcode code = message->data.result;
    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &call);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &call->status);
    call->code = code;
    call->ended = true;
    http_stop(http, call);
  }
}

void http_run(struct http *http, int64_t now_us) {
  struct epoll_event events[32];
  int running, n;
  http->now_us = now_us;
  if (http->timer_us <= now_us) {
    http->timer_us = INT64_MAX;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  n = epoll_wait(http->epoll, events, 32, 0);
  for (int i = 0; i < n; i++) {
    int what = events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0;
    what |= events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    what |= events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0;
    curl_multi_socket_action(http->multi, events[i].data.fd, what, &running);
  }
  http_collect(http);
}

void http_blame(struct http *http, size_t endpoint) {
  if (http->current != endpoint || http->n_endpoints == 1)
    return;
  http->current = (endpoint + 1) % http->n_endpoints;
  http->failovers++;
}
