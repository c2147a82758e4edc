/*
 * vecdbd.c - the server as a program: reads its settings, serves until SIGTERM or SIGINT, and stops
 * in order. SIGHUP has it read its settings again.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "server/audit.h"
#include "server/auth.h"
#include "server/observe.h"
#include "server/server.h"
#include "server/tls.h"

static void vecdbd_line(const char *text) {
  puts(text);
}

static void vecdbd_log(int level, const char *line) {
  (void)level;
  fprintf(stderr, "%s\n", line);
}

static void vecdbd_help(void) {
  puts(
      "vecdbd - serves a vecdb database over HTTP and gRPC\n\n"
      "usage: vecdbd [--config FILE] [--listen HOST:PORT] [--data FOLDER] [--SECTION.KEY VALUE]\n"
      "       vecdbd --print-config     all settings with their built-in values, as a file\n"
      "       vecdbd --make-key NAME    a new API key, and the lines for the file security.keys\n"
      "       vecdbd --verify-audit FOLDER [KEY-FILE]   whether an audit log is whole\n"
      "       vecdbd --version\n\n"
      "Settings come from the file, then from the environment (VECDBD_SECTION_KEY), then from the\n"
      "command line; the last one counts. SIGTERM stops in order. SIGHUP reads them again: new\n"
      "limits and time-outs hold from then on, and what takes a restart is named.");
}

/* Prints a new key, once, and what is kept of it. */
static int vecdbd_make_key(const char *name) {
  char key[SRV_API_KEY_MADE];
  uint8_t hash[SRV_API_KEY_HASH];
  if (!srv_api_key_make(key))
    return 1;
  srv_sha256(key, strlen(key), hash);
  printf("; the key, for its owner alone: %s\n[%s]\nsha256 = ", key, name);
  for (size_t i = 0; i < sizeof hash; i++)
    printf("%02x", hash[i]);
  puts("\nrole = reader");
  return 0;
}

/* Reads the options; -1: go on, else the exit status. */
static int vecdbd_options(struct srv_config *config, int argc, char **argv, char *error) {
  srv_config_init(config);
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--config") == 0 && i + 1 < argc &&
        !srv_config_file(config, argv[i + 1], error))
      return 2;
  if (!srv_config_environment(config, error))
    return 2;
  for (int i = 1; i < argc; i += 2) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    char section[64];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
      vecdbd_help();
      return 0;
    }
    if (strcmp(name, "--version") == 0) {
      printf("vecdbd %s (%s)\n", vecdb_version(), vecdb_kernels());
      return 0;
    }
    if (strcmp(name, "--print-config") == 0) {
      srv_config_print(config, vecdbd_line);
      return 0;
    }
    if (strcmp(name, "--make-key") == 0 && value)
      return vecdbd_make_key(value);
    const char *dot = strchr(name, '.');
    bool known = true;
    if (strcmp(name, "--config") == 0)
      known = value != NULL;
    else if (strcmp(name, "--listen") == 0 && value)
      known = srv_config_set(config, "server", "listen", value, error);
    else if (strcmp(name, "--data") == 0 && value)
      known = srv_config_set(config, "database", "path", value, error);
    else if (strncmp(name, "--", 2) == 0 && dot && value && (size_t)(dot - name) < sizeof section) {
      snprintf(section, sizeof section, "%.*s", (int)(dot - name - 2), name + 2);
      known = srv_config_set(config, section, dot + 1, value, error);
    } else {
      snprintf(error, SRV_CONFIG_ERROR, "%.200s is not understood; see --help", name);
      return 2;
    }
    if (!known)
      return 2;
  }
  return -1;
}

static struct srv_server *vecdbd_server; /* for the log: a note comes without a user */

static void vecdbd_note(const char *line) {
  srv_log(vecdbd_server, VECDB_LOG_INFO, line);
}

static void vecdbd_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void vecdbd_say(const char *format, ...) {
  char line[2 * SRV_CONFIG_ERROR];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  vecdbd_note(line);
}

/* Reads the settings again; wrong ones change nothing. */
static void vecdbd_reload(struct srv_server *server, int argc, char **argv) {
  struct srv_config fresh;
  char error[SRV_CONFIG_ERROR] = "";
  if (vecdbd_options(&fresh, argc, argv, error) == -1) {
    srv_config_adopt(&server->config, &fresh, vecdbd_note);
    vecdbd_note("SIGHUP, settings read again");
    if (!srv_auth_reload(server->auth, error))
      vecdbd_say("keys and roles stay as they were: %s", error);
    if (server->tls && !srv_tls_reload(server->tls, error))
      vecdbd_say("the certificate stays as it was: %s", error);
  } else {
    vecdbd_say("SIGHUP, but the settings stay as they were: %s", error);
  }
}

/* As many descriptors as the system allows: each connection takes one, and what a shell gives is
   often less than server.connections. */
static void vecdbd_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  if (argc > 2 && argc < 5 && strcmp(argv[1], "--verify-audit") == 0)
    return srv_audit_verify(argv[2], argc > 3 ? argv[3] : "", vecdbd_line);
  struct srv_config config;
  char error[SRV_CONFIG_ERROR] = "an option lacks its value";
  int status = vecdbd_options(&config, argc, argv, error);
  if (status == 2)
    fprintf(stderr, "vecdbd: %s\n", error);
  if (status >= 0)
    return status;

  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before threads are made: they inherit it */
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* no program that it might be made to run has more */
  vecdbd_descriptors();
  struct srv_server *server = srv_server_start(&config, vecdbd_log, error);
  if (!server) {
    fprintf(stderr, "vecdbd: %s\n", error);
    return 1;
  }
  vecdbd_server = server;
  unsigned port;
  for (unsigned i = 0; (port = srv_server_port(server, i)) != 0; i++)
    vecdbd_say("serving %s on port %u", config.data, port);
  for (unsigned i = 0; (port = srv_server_milvus_port(server, i)) != 0; i++)
    vecdbd_say("serving Milvus's clients on port %u", port);
  int which = 0;
  while (sigwait(&stop, &which) == 0 && which == SIGHUP)
    vecdbd_reload(server, argc, argv);
  vecdbd_say("%s, stopping", which == SIGINT ? "SIGINT" : "SIGTERM");
  if (srv_server_stop(server, error))
    return 0;
  fprintf(stderr, "vecdbd: %s\n", error);
  return 1;
}
