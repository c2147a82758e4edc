/*
 * etcd_http.h - HTTP exchanges with one of several endpoints, all on one thread: libcurl's multi
 * interface behind one epoll descriptor. Answers are collected here and looked at by the owner
 * after http_run, never within libcurl's callbacks.
 */
#ifndef CLUSTER_META_ETCD_HTTP_H
#define CLUSTER_META_ETCD_HTTP_H

#include <curl/curl.h>

#include "meta/etcd.h"

/* Bytes that grow; `failed` once there was no memory or the limit was passed. */
struct http_buffer {
  char *data;
  size_t n;
  size_t capacity;
  size_t limit;
  bool failed;
};
void http_add(struct http_buffer *buffer, const void *data, size_t n);
void http_add_text(struct http_buffer *buffer, const char *text);
void http_drop(struct http_buffer *buffer, size_t n); /* the first n bytes */
void http_free(struct http_buffer *buffer);

/* One exchange. It belongs to its owner, and is in the hands of libcurl between start and end. */
struct http_call {
  CURL *curl; /* NULL: not under way */
  size_t endpoint;
  struct http_buffer in;
  bool ended; /* set by http_run: code and status tell how */
  bool sent;  /* when no longer under way: the other side may have read the request */
  CURLcode code;
  long status;
};

struct http {
  CURLM *multi;
  int epoll;
  int64_t now_us;
  int64_t timer_us; /* INT64_MAX: none */
  struct curl_slist *headers;
  char *endpoints[ETCD_ENDPOINTS_MAX];
  size_t n_endpoints;
  size_t current;
  char *ca_file;
  char *cert_file;
  char *key_file;
  long connect_ms;
  uint64_t failovers;
};

/* False with the reason in `why`. */
bool http_open(struct http *http, const struct etcd_config *config, char *why);
void http_close(struct http *http);
/* POSTs the body, which must stay until the call has ended, to the current endpoint. */
bool http_start(struct http *http, struct http_call *call, const char *path,
                const struct http_buffer *body);
/* The call is no longer under way; what it collected stays. */
void http_stop(struct http *http, struct http_call *call);
void http_run(struct http *http, int64_t now_us);
/* The endpoint failed: the next one is current, if it was. */
void http_blame(struct http *http, size_t endpoint);

#endif
