/* listen.c - from "host:port" to a socket; see listen.h. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/config.h"

enum { LISTEN_BACKLOG = 1024 };

/* Splits "host:port"; false when it is no such thing. */
static bool listen_split(const char *address, char *host, size_t host_size, char *port,
                       size_t port_size) {
  const char *colon = strrchr(address, ':');
  if (!colon || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
      !isdigit((unsigned char)colon[1]) || strlen(colon + 1) >= port_size ||
      strtoul(colon + 1, NULL, 10) > 65535)
    return false;
  size_t n = (size_t)(colon - address);
  const char *from = address;
  if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
    from++;
    n -= 2;
  }
  if (n >= host_size)
    return false;
  memcpy(host, from, n);
  host[n] = '\0';
  snprintf(port, port_size, "%s", colon + 1);
  return true;
}

static int listen_bind(const struct addrinfo *a) {
  int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
  int one = 1;
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
    return fd;
  close(fd);
  return -1;
}

int srv_listen(const char *address, char *error) {
  char host[256], port[16];
  struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
  if (!listen_split(address, host, sizeof host, port, sizeof port)) {
    snprintf(error, SRV_CONFIG_ERROR, "\"%.200s\" is no address of the form host:port", address);
    return -1;
  }
  int rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
  if (rc) {
    snprintf(error, SRV_CONFIG_ERROR, "%.200s: %s", address, gai_strerror(rc));
    return -1;
  }
  int fd = -1;
  for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
    fd = listen_bind(a);
  if (fd < 0)
    snprintf(error, SRV_CONFIG_ERROR, "cannot listen on %.200s: %s", address, strerror(errno));
  freeaddrinfo(found);
  return fd;
}

unsigned srv_listen_port(int fd) {
  struct sockaddr_storage a;
  socklen_t n = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
    return 0;
  if (a.ss_family == AF_INET6)
    return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
  return ntohs(((struct sockaddr_in *)&a)->sin_port);
}
