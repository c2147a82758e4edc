/*
 * fuzz_http.c - any bytes on a connection, to a server without rows. They are sent twice, in one
 * piece and in two, cut where the first byte says: both must be answered with the same statuses,
 * none of which may be 500, and the connection must end.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HTTP_INPUT = 16 * 1024, HTTP_ANSWERS = 1 << 20, HTTP_STATUSES = 4096 };

static int http_connect(unsigned port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
    abort();
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* The statuses of the answers in `text`, one after the other. */
static void http_statuses(const char *text, char *statuses) {
  size_t n = 0;
  for (; (text = strstr(text, "HTTP/1.1 ")) != NULL && n + 4 < HTTP_STATUSES; n += 3) {
    text += strlen("HTTP/1.1 ");
    if (strncmp(text, "500", 3) == 0)
      abort();
    strncpy(statuses + n, text, 3);
  }
  statuses[n] = '\0';
}

/* A server of its own, as what is sent may change it. */
static void http_send(const char *bytes, size_t n, size_t cut, char *statuses) {
  static char answers[HTTP_ANSWERS];
  static struct srv_config config; /* large */
  char error[SRV_CONFIG_ERROR];
  size_t got = 0;
  ssize_t r;
  srv_config_init(&config);
  snprintf(config.data, sizeof config.data, ":memory:");
  snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
  config.workers = 1;
  struct srv_server *server = srv_server_start(&config, NULL, error);
  if (!server)
    abort();
  int fd = http_connect(srv_server_port(server, 0));
  if ((cut && send(fd, bytes, cut, MSG_NOSIGNAL) < 0) ||
      (cut < n && send(fd, bytes + cut, n - cut, MSG_NOSIGNAL) < 0))
    got = 0; /* refused before all of it had come */
  shutdown(fd, SHUT_WR);
  while (got + 1 < sizeof answers && (r = recv(fd, answers + got, sizeof answers - 1 - got, 0)) > 0)
    got += (size_t)r;
  answers[got] = '\0';
  close(fd);
  srv_server_stop(server, error);
  http_statuses(answers, statuses);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char bytes[HTTP_INPUT + 1], whole[HTTP_STATUSES], apart[HTTP_STATUSES];
  if (size < 2 || size > HTTP_INPUT)
    return 0;
  size_t n = size - 1;
  memcpy(bytes, data + 1, n);
  bytes[n] = '\0';
  if (memmem(bytes, n, "snapshots", 9)) /* which would have a folder here */
    return 0;
  http_send(bytes, n, 0, whole);
  http_send(bytes, n, n * data[0] / 256, apart);
  if (strcmp(whole, apart) != 0)
    abort();
  return 0;
}
