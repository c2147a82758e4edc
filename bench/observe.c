/*
 * observe.c - what the server's keeping of requests costs: the call when a request comes and the
 * one when it is answered, a million times on one thread, with nothing around them; then with an
 * audit log, and with a line in a log that goes nowhere.
 *
 *   observe
 *
 * One JSON line: nanoseconds a request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit.h"
#include "server/metrics.h"
#include "server/observe.h"
#include "server/routes.h"
#include "server/server.h"

enum { OBSERVE_REQUESTS = 1000000, OBSERVE_ROUNDS = 5 };

static void observe_drop(int level, const char *line) {
  (void)level;
  (void)line;
}

static void observe_report(void *user, const char *line) {
  (void)user;
  fprintf(stderr, "%s\n", line);
}

/* The best of some rounds: what is measured is the code, not what else the machine does. */
static double observe_run(struct srv_server *server, unsigned requests) {
  double best = 1e18;
  for (int round = 0; round < OBSERVE_ROUNDS; round++) {
    uint64_t began = srv_now_ns();
    for (unsigned i = 0; i < requests; i++) {
      struct srv_call call = {.server = server, .route = srv_route_at(i % 40), .status = 200};
      call.searched = true;
      srv_observe_begin(&call, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL);
      srv_observe_end(&call, 1000, true);
    }
    double ns = (double)(srv_now_ns() - began) / requests;
    best = ns < best ? ns : best;
  }
  return best;
}

int main(void) {
  static struct srv_server server;
  char error[SRV_CONFIG_ERROR], folder[] = "/tmp/vecdb-observe-XXXXXX", command[128];
  srv_config_init(&server.config);
  server.metrics = srv_metrics_new(4);
  if (!server.metrics || !mkdtemp(folder))
    return 1;
  double plain = observe_run(&server, OBSERVE_REQUESTS);
  snprintf(server.config.audit_path, sizeof server.config.audit_path, "%s", folder);
  server.audit = srv_audit_start(&server.config, observe_report, NULL, error);
  if (!server.audit) {
    fprintf(stderr, "observe: %s\n", error);
    return 1;
  }
  double audit = observe_run(&server, OBSERVE_REQUESTS / 50);
  srv_audit_stop(server.audit);
  server.audit = NULL;
  server.log = observe_drop;
  server.config.log_requests = 1;
  double log = observe_run(&server, OBSERVE_REQUESTS / 10);
  printf("{\"metrics_ns\": %.0f, \"with_audit_ns\": %.0f, \"with_log_ns\": %.0f}\n", plain, audit,
         log);
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command) != 0;
}
