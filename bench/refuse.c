/*
 * refuse.c - what turning requests away takes at the least: a server that does nothing else. One
 * thread takes what has come on a connection with one call, takes it for a request without looking
 * at it, and answers with one more, always the same 429, as long as vecdbd's. What that takes is
 * the system's share of a refusal, on the loopback device also the client's half of TCP.
 *
 *   refuse
 *
 * Prints "on port N" to the standard error, serves until it is told to end (SIGTERM), and then
 * prints a JSON line: the answers, and the processor time of each.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REFUSE_EVENTS = 64, REFUSE_ROOM = 64 * 1024 };

static const char refuse_answer[] =
    "HTTP/1.1 429 Too Many Requests\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Content-Type: application/json\r\nContent-Length: 84\r\nRetry-After: 1\r\n\r\n"
    "{\"error\":{\"code\":\"OVERLOADED\","
    "\"message\":\"too many requests are waiting; try again\"}}";

static volatile sig_atomic_t refuse_ending;

static void refuse_end(int signal) {
  (void)signal;
  refuse_ending = 1;
}

static _Noreturn void refuse_die(const char *what) {
  perror(what);
  exit(1);
}

static int refuse_listen(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t n = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, SOMAXCONN) != 0 ||
      getsockname(fd, (struct sockaddr *)&at, &n) != 0)
    refuse_die("cannot listen");
  fprintf(stderr, "on port %d\n", ntohs(at.sin_port));
  return fd;
}

static void refuse_watch(int epoll, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    refuse_die("cannot take a connection");
}

static void refuse_accept(int epoll, int listener) {
  int one = 1, fd = accept(listener, NULL, NULL);
  refuse_watch(epoll, fd, EPOLLIN | EPOLLET);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* Whether what has come is answered. */
static bool refuse_one(int fd) {
  static char bytes[REFUSE_ROOM];
  ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN))
    close(fd);
  return n > 0 && send(fd, refuse_answer, sizeof refuse_answer - 1, MSG_NOSIGNAL) > 0;
}

int main(void) {
  struct epoll_event events[REFUSE_EVENTS];
  const struct sigaction end = {.sa_handler = refuse_end};
  struct timespec used;
  unsigned long long answers = 0;
  int listener = refuse_listen(), epoll = epoll_create1(0);
  sigaction(SIGTERM, &end, NULL);
  refuse_watch(epoll, listener, EPOLLIN);
  while (!refuse_ending) {
    int n = epoll_wait(epoll, events, REFUSE_EVENTS, -1);
    for (int i = 0; i < n; i++)
      if (events[i].data.fd == listener)
        refuse_accept(epoll, listener);
      else
        answers += refuse_one(events[i].data.fd);
  }
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  double us = (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
  printf("{\"refused\": %llu, \"us_each\": %.1f}\n", answers, answers ? us / (double)answers : 0);
  return 0;
}
