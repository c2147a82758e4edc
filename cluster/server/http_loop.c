/* http_loop.c - who runs a daemon's connections, and when; see http_loop.h. */
#include "server/http_loop.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOP_MS = 1000 }; /* as often, at least, silent connections are looked for */

/* Does what can be done now. Mutex held. */
static void loop_turn(struct http_loop *loop) {
  MHD_UNSIGNED_LONG_LONG ms;
  do
    MHD_run(loop->daemon);
  while (MHD_get_timeout(loop->daemon, &ms) == MHD_YES && ms == 0);
}

static void *loop_work(void *arg) {
  struct http_loop *loop = arg;
  const union MHD_DaemonInfo *info =
      MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  struct pollfd ready[] = {{.fd = info->epoll_fd, .events = POLLIN},
                           {.fd = loop->wake, .events = POLLIN}};
  while (!atomic_load(&loop->stopping)) {
    poll(ready, 2, LOOP_MS);
    pthread_mutex_lock(&loop->mutex);
    loop_turn(loop);
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
  uint64_t one = 1;
  atomic_store(&loop->stopping, true);
  ssize_t n = write(loop->wake, &one, sizeof one);
  (void)n; /* a full counter wakes as well */
  pthread_join(loop->thread, NULL);
  MHD_stop_daemon(loop->daemon);
  pthread_mutex_destroy(&loop->mutex);
  close(loop->wake);
}

void srv_http_loop_add(struct http_loop *loop, int fd, const struct sockaddr *peer, socklen_t n) {
  pthread_mutex_lock(&loop->mutex);
  MHD_add_connection(loop->daemon, fd, peer, n);
  loop_turn(loop);
  pthread_mutex_unlock(&loop->mutex);
}

void srv_http_loop_resume(struct http_loop *loop, struct MHD_Connection *connection) {
  pthread_mutex_lock(&loop->mutex);
  MHD_resume_connection(connection);
  loop_turn(loop);
  pthread_mutex_unlock(&loop->mutex);
}
