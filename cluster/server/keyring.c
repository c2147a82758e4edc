/* keyring.c - see keyring.h. */
#include "server/keyring.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/observe.h"
#include "server/secure_file.h"

extern char **environ;

enum {
  KEYRING_PRINTED = 256, /* bytes of what a program prints */
  KEYRING_WAIT_MS = 30000
};

/* 64 digits, and nothing but blanks after them. */
static bool keyring_digits(const char *text, uint8_t *key) {
  for (size_t i = 0; i < VECDB_KEY_BYTES; i++) {
    unsigned byte;
    if (!isxdigit((unsigned char)text[2 * i]) || !isxdigit((unsigned char)text[2 * i + 1]) ||
        sscanf(text + 2 * i, "%2x", &byte) != 1)
      return false;
    key[i] = (uint8_t)byte;
  }
  text += 2 * VECDB_KEY_BYTES;
  return text[strspn(text, " \t\r\n")] == '\0';
}

/* ---- The file -------------------------------------------------------------------------------- */

/* The line of that name, cut out in place; NULL: there is none. */
static const char *keyring_line(char *text, const char *name) {
  char *rest = NULL;
  size_t n = strlen(name);
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    line += strspn(line, " \t");
    size_t between = strncmp(line, name, n) == 0 ? strspn(line + n, " \t=") : 0;
    if (between && memchr(line + n, '=', between))
      return line + n + between;
  }
  return NULL;
}

static bool keyring_file(const char *path, const char *name, uint8_t *key, char *error) {
  size_t n;
  char *text = srv_secure_file(path, true, &n, error);
  if (!text)
    return false;
  const char *digits = keyring_line(text, name);
  bool good = digits && keyring_digits(digits, key);
  if (!good)
    snprintf(error, SRV_CONFIG_ERROR, "%.200s: %s \"%.100s\"", path,
             digits ? "no 64 hexadecimal digits are the key" : "there is no key", name);
  OPENSSL_cleanse(text, n);
  free(text);
  return good;
}

/* ---- The program ----------------------------------------------------------------------------- */

/* Who can exchange the program gets the keys. */
static const char *keyring_fault(const char *path) {
  struct stat st;
  if (*path != '/')
    return "its path must begin with /";
  if (stat(path, &st) != 0)
    return strerror(errno);
  if (st.st_uid != geteuid() && st.st_uid != 0)
    return "it belongs to another user";
  return st.st_mode & (S_IWGRP | S_IWOTH) ? "others may write it" : NULL;
}

/* Starts the program, whose output comes from *out; 0, or an error of the system. It may be stopped
   like any other, though the server's threads leave signals to one of them. */
static int keyring_start(const char *path, const char *name, pid_t *child, int *out) {
  char *const words[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)name, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return errno;
  sigemptyset(&none);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  int rc = posix_spawn(child, path, &actions, &attributes, words, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (rc)
    close(ends[0]);
  *out = ends[0];
  return rc;
}

/* Milliseconds that are left of the time since `began`. */
static int keyring_left(uint64_t began) {
  uint64_t passed = (srv_now_ns() - began) / 1000000;
  return passed < KEYRING_WAIT_MS ? (int)(KEYRING_WAIT_MS - passed) : 0;
}

/* Reads to the end of what is printed; false: it takes too long, or is too much. */
static bool keyring_read(int fd, char *text) {
  struct pollfd from = {.fd = fd, .events = POLLIN};
  uint64_t began = srv_now_ns();
  size_t n = 0;
  ssize_t got = 1;
  while (got > 0 && n + 1 < KEYRING_PRINTED && poll(&from, 1, keyring_left(began)) == 1) {
    got = read(fd, text + n, KEYRING_PRINTED - 1 - n);
    n += got > 0 ? (size_t)got : 0;
  }
  text[n] = '\0';
  return got == 0;
}

static bool keyring_command(const char *path, const char *name, uint8_t *key, char *error) {
  char text[KEYRING_PRINTED];
  pid_t child;
  int out = -1, status = 0;
  const char *fault = keyring_fault(path);
  int rc = fault ? 0 : keyring_start(path, name, &child, &out);
  if (fault || rc) {
    snprintf(error, SRV_CONFIG_ERROR, "%.200s: %s", path, fault ? fault : strerror(rc));
    return false;
  }
  bool whole = keyring_read(out, text);
  if (!whole)
    kill(child, SIGKILL);
  close(out);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  bool ended = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  bool good = ended && keyring_digits(text, key);
  OPENSSL_cleanse(text, sizeof text);
  if (!good)
    snprintf(error, SRV_CONFIG_ERROR, "%.200s %s for the key \"%.100s\"", path,
             ended   ? "does not print 64 hexadecimal digits"
             : whole ? "fails"
                     : "prints too much or takes too long",
             name);
  return good;
}

/* ---- For the library ------------------------------------------------------------------------- */

static int keyring_get(void *user, const char *name, uint8_t *key) {
  struct srv_server *server = user;
  const struct srv_config *config = &server->config;
  char error[SRV_CONFIG_ERROR];
  if (*config->key_command ? keyring_command(config->key_command, name, key, error)
                           : keyring_file(config->key_file, name, key, error))
    return 0;
  srv_log(server, VECDB_LOG_ERROR, error);
  return 1;
}

bool srv_keyring_is_wanted(const struct srv_config *config) {
  return *config->key_name || *config->key_file || *config->key_command;
}

bool srv_keyring_open(struct srv_server *server, vecdb_encryption *out, char *error) {
  const struct srv_config *config = &server->config;
  *out = (vecdb_encryption)VECDB_ENCRYPTION_INIT;
  out->key_id = config->key_name;
  out->get_key = keyring_get;
  out->user = server;
  bool one = (*config->key_file != '\0') != (*config->key_command != '\0');
  if (one && *config->key_name && strlen(config->key_name) <= 255)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "encryption wants storage.key, the name of a key, and either"
           " storage.key_file or storage.key_command, where it is found");
  return false;
}
