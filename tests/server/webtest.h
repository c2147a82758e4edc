/*
 * webtest.h - a server on a free port with a folder of its own, in this process or in one that can
 * be killed, and clients for it: one that speaks JSON, one that sends bytes as they are.
 */
#ifndef WEBTEST_H
#define WEBTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/server.h"

struct web {
  struct srv_config config;
  struct srv_server *server;
  unsigned port, milvus_port; /* of the first address of each kind */
  char folder[64];
  const char *ca;     /* a file: HTTPS is spoken, and its certificate believed; NULL: HTTP */
  const char *header; /* one more of each request that web_ask makes; NULL: none */
};

static inline void web_init(struct web *w) {
  memset(w, 0, sizeof *w);
  srv_config_init(&w->config);
  snprintf(w->folder, sizeof w->folder, "/tmp/vecdb-web-XXXXXX");
  assert_non_null(mkdtemp(w->folder));
  snprintf(w->config.data, sizeof w->config.data, "%s/db", w->folder);
  snprintf(w->config.listen, sizeof w->config.listen, "127.0.0.1:0");
  w->config.idle_seconds = 2; /* how long a half-closed connection may linger */
}

static inline void web_start(struct web *w) {
  char error[SRV_CONFIG_ERROR];
  w->server = srv_server_start(&w->config, NULL, error);
  if (!w->server)
    fail_msg("%s", error);
  w->port = srv_server_port(w->server, 0);
  w->milvus_port = srv_server_milvus_port(w->server, 0);
}

static inline void web_stop(struct web *w) {
  char error[SRV_CONFIG_ERROR];
  if (!srv_server_stop(w->server, error))
    fail_msg("%s", error);
  w->server = NULL;
}

static inline void web_end(struct web *w) {
  char command[128];
  if (w->server)
    web_stop(w);
  snprintf(command, sizeof command, "rm -rf '%s'", w->folder);
  assert_int_equal(system(command), 0);
}

static inline void web_serve(const struct srv_config *config, int out) {
  char error[SRV_CONFIG_ERROR];
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server behind */
  signal(SIGPIPE, SIG_IGN);
  struct srv_server *server = srv_server_start(config, NULL, error);
  if (!server) {
    fprintf(stderr, "the server does not start: %s\n", error);
    _exit(2);
  }
  unsigned ports[] = {srv_server_port(server, 0), srv_server_milvus_port(server, 0)};
  if (write(out, ports, sizeof ports) != (ssize_t)sizeof ports)
    _exit(3);
  for (;;)
    pause();
}

/* Instead of web_start: a server in a process of its own, which has begun to listen. No thread may
   run beside the caller. End it with web_kill. */
static inline pid_t web_fork(struct web *w) {
  int ends[2];
  unsigned ports[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    close(ends[0]);
    web_serve(&w->config, ends[1]);
  }
  close(ends[1]);
  assert_int_equal(read(ends[0], ports, sizeof ports), sizeof ports);
  close(ends[0]);
  w->port = ports[0];
  w->milvus_port = ports[1];
  return child;
}

static inline void web_kill(pid_t child) {
  int status;
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* An answer; `json` is NULL when the body was none. */
struct web_answer {
  long status;
  json_t *json;
  char *text;
  size_t n;
};

static inline size_t web_collect(char *data, size_t size, size_t n, void *user) {
  struct web_answer *a = user;
  a->text = realloc(a->text, a->n + n * size + 1);
  memcpy(a->text + a->n, data, n * size);
  a->n += n * size;
  a->text[a->n] = '\0';
  return n * size;
}

/* One request; body NULL: none. Status 0: no answer came. Release with web_done. */
static inline struct web_answer web_ask(const struct web *w, const char *method, const char *path,
                                        const char *body) {
  struct web_answer a = {0};
  char url[512];
  snprintf(url, sizeof url, "http%s://127.0.0.1:%u%s", w->ca ? "s" : "", w->port, path);
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  headers = curl_slist_append(headers, "Expect:");
  if (w->header)
    headers = curl_slist_append(headers, w->header);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, web_collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a);
  if (w->ca)
    curl_easy_setopt(curl, CURLOPT_CAINFO, w->ca);
  if (body)
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  if (curl_easy_perform(curl) == CURLE_OK)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a.status);
  a.json = a.text ? json_loadb(a.text, a.n, 0, NULL) : NULL;
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return a;
}

static inline void web_done(struct web_answer *a) {
  json_decref(a->json);
  free(a->text);
}

/* A request that must be answered with `status`; the JSON, to be released. */
static inline json_t *web_expect(const struct web *w, long status, const char *method,
                                 const char *path, const char *body) {
  struct web_answer a = web_ask(w, method, path, body);
  if (a.status != status)
    fail_msg("%s %s: %ld, not %ld: %s", method, path, a.status, status, a.text ? a.text : "");
  assert_non_null(a.json);
  json_t *json = json_incref(a.json);
  web_done(&a);
  return json;
}

/* As above, forgetting the answer. */
static inline void web_do(const struct web *w, long status, const char *method, const char *path,
                          const char *body) {
  json_decref(web_expect(w, status, method, path, body));
}

/* A request that must fail with this status and code. */
static inline void web_fails(const struct web *w, long status, const char *code, const char *method,
                             const char *path, const char *body) {
  json_t *json = web_expect(w, status, method, path, body);
  const char *got = json_string_value(json_object_get(json_object_get(json, "error"), "code"));
  if (!got || strcmp(got, code) != 0)
    fail_msg("%s %s %s: %s, not %s", method, path, body ? body : "", got ? got : "no code", code);
  json_decref(json);
}

/* A connection to a port of this machine; -1: nobody listens there. */
static inline int web_socket(unsigned port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
    return fd;
  close(fd);
  return -1;
}

static inline int web_connect(const struct web *w) {
  int fd = web_socket(w->port);
  assert_true(fd >= 0);
  return fd;
}

/* Sends bytes and reads until the server closes or has sent `room` - 1 bytes; the first status, or
   0 when it closed without an answer. */
static inline int web_raw(const struct web *w, const char *bytes, size_t n, char *answer,
                          size_t room) {
  int fd = web_connect(w);
  size_t got = 0;
  ssize_t r = send(fd, bytes, n, MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
  while (r >= 0 && got + 1 < room && (r = recv(fd, answer + got, room - 1 - got, 0)) > 0)
    got += (size_t)r;
  answer[got] = '\0';
  close(fd);
  int status = 0;
  return sscanf(answer, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

#endif
