/* http_loop.c - who runs a daemon's connections, and when; see http_loop.h. */
#include "server/http_loop.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
  LOOP_MS = 1000, /* as often, at least, silent connections are looked for */
  LOOP_ROUNDS = 4 /* at a time: a client that sends without end must not keep the mutex */
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

static void loop_wake(struct http_loop *loop) {
  uint64_t one = 1;
  ssize_t n = write(loop->wake, &one, sizeof one);
  (void)n; /* a full counter wakes as well */
}

/* The same for a thread with other things to do: what is left is the loop's own. */
static void loop_visit(struct http_loop *loop) {
  if (loop_turn(loop))
    loop_wake(loop);
}

static void *loop_work(void *arg) {
  struct http_loop *loop = arg;
  const union MHD_DaemonInfo *info =
      MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  struct pollfd ready[] = {{.fd = info->epoll_fd, .events = POLLIN},
                           {.fd = loop->wake, .events = POLLIN}};
  bool left = false;
  while (!atomic_load(&loop->stopping)) {
    uint64_t count;
    poll(ready, 2, left ? 0 : LOOP_MS);
    ssize_t n = read(loop->wake, &count, sizeof count);
    (void)n;
    pthread_mutex_lock(&loop->mutex);
    left = loop_turn(loop);
    pthread_mutex_unlock(&loop->mutex);
  }
  return NULL;
}

bool srv_http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon) {
  loop->daemon = daemon;
  loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (loop->wake < 0)
    return false;
  pthread_mutex_init(&loop->mutex, NULL);
  if (pthread_create(&loop->thread, NULL, loop_work, loop) == 0)
    return true;
  pthread_mutex_destroy(&loop->mutex);
  close(loop->wake);
  return false;
}

void srv_http_loop_stop(struct http_loop *loop) {
  atomic_store(&loop->stopping, true);
  loop_wake(loop);
  pthread_join(loop->thread, NULL);
  MHD_stop_daemon(loop->daemon);
  pthread_mutex_destroy(&loop->mutex);
  close(loop->wake);
}

void srv_http_loop_add(struct http_loop *loop, int fd, const struct sockaddr *peer, socklen_t n) {
  pthread_mutex_lock(&loop->mutex);
  MHD_add_connection(loop->daemon, fd, peer, n);
  loop_visit(loop);
  pthread_mutex_unlock(&loop->mutex);
}

void srv_http_loop_resume(struct http_loop *loop, struct MHD_Connection *connection) {
  pthread_mutex_lock(&loop->mutex);
  MHD_resume_connection(connection);
  loop_visit(loop);
  pthread_mutex_unlock(&loop->mutex);
}
