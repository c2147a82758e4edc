/* http_loop.c - who runs a daemon's connections, and when; see http_loop.h. */
#include "server/http_loop.h"

#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
  LOOP_SECONDS = 1, /* as often, at least, silent connections are looked for */
  LOOP_ROUNDS = 4   /* at a time: a client that sends without end must not keep the mutex */
};

/* Does what can be done now; whether something is left. Mutex held. */
static bool loop_turn(struct http_loop *loop) {
  MHD_UNSIGNED_LONG_LONG ms = 0;
  bool left = true;
  for (int i = 0; left && i < LOOP_ROUNDS; i++) {
    MHD_run(loop->daemon);
    left = MHD_get_timeout(loop->daemon, &ms) == MHD_YES && ms == 0;
  }
  return left;
}

static bool loop_ring(struct http_loop *loop, long ns) {
  struct itimerspec at = {.it_interval = {LOOP_SECONDS, 0}, .it_value = {LOOP_SECONDS, 0}};
  if (ns)
    at.it_value = (struct timespec){0, ns};
  return timerfd_settime(loop->bell.fd, 0, &at, NULL) == 0;
}

/* What is left is for another turn, after others had theirs. */
static void loop_visit(struct http_loop *loop) {
  if (loop_turn(loop))
    loop_ring(loop, 1);
}

static void loop_look(void *who) {
  struct http_loop *loop = who;
  pthread_mutex_lock(&loop->mutex);
  loop_visit(loop);
  pthread_mutex_unlock(&loop->mutex);
}

static void loop_rung(void *who) {
  uint64_t times;
  ssize_t n = read(((struct http_loop *)who)->bell.fd, &times, sizeof times);
  (void)n;
  loop_look(who);
}

bool srv_http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon, struct srv_pool *pool) {
  int bell = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (bell < 0)
    return false;
  loop->pool = pool;
  loop->daemon = daemon;
  loop->sockets = (struct srv_source){
      MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, loop_look, loop};
  loop->bell = (struct srv_source){bell, loop_rung, loop};
  pthread_mutex_init(&loop->mutex, NULL);
  if (loop_ring(loop, 0) && srv_pool_watch(pool, &loop->bell) &&
      srv_pool_watch(pool, &loop->sockets))
    return true;
  pthread_mutex_destroy(&loop->mutex);
  close(bell);
  return false;
}

void srv_http_loop_stop(struct http_loop *loop) {
  MHD_stop_daemon(loop->daemon);
  pthread_mutex_destroy(&loop->mutex);
  close(loop->bell.fd);
}

void srv_http_loop_add(struct http_loop *loop, int fd, const struct sockaddr *peer, socklen_t n) {
  pthread_mutex_lock(&loop->mutex);
  MHD_add_connection(loop->daemon, fd, peer, n);
  loop_visit(loop);
  pthread_mutex_unlock(&loop->mutex);
}

void srv_http_loop_resume(struct http_loop *loop, struct MHD_Connection *connection) {
  pthread_mutex_lock(&loop->mutex);
  srv_pool_hold(loop->pool, &loop->sockets);
  MHD_resume_connection(connection);
  loop_turn(loop);
  loop_visit(loop); /* takes notice that the socket, which is watched anew, can be written to */
  srv_pool_release(loop->pool, &loop->sockets);
  pthread_mutex_unlock(&loop->mutex);
}
