/* audit_verify.c - vecdbd --verify-audit: is the audit log in a folder whole? See audit.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/audit.h"
#include "server/audit_walk.h"

/* What the head says; false: it cannot be believed, and *why says so. */
static bool verify_head(struct audit_walk *w, const char **why) {
  char path[4096];
  bool damaged;
  snprintf(path, sizeof path, "%s/audit.head", w->folder);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  *why = "audit.head is not there: the end of the log cannot be known";
  if (fd < 0)
    return false;
  bool found = audit_head_read(fd, w->key, &w->head, &damaged);
  close(fd);
  *why = "audit.head is damaged, or was written with another key";
  return found && !damaged;
}

/* What is wrong with a log whose records are a chain. */
static void verify_end(struct audit_walk *w) {
  unsigned long long head = w->head.seq, last = w->last.seq;
  if (w->torn)
    snprintf(w->fault, sizeof w->fault, "%s ends within record %llu", w->file, last + 1);
  else if (last < head)
    snprintf(w->fault, sizeof w->fault, "the log was cut: it ends at record %llu of %llu", last,
             head);
  else if (!w->head_met)
    snprintf(w->fault, sizeof w->fault, "record %llu is another than audit.head knows", head);
}

int srv_audit_verify(const char *folder, const char *key_file, void (*line)(const char *text)) {
  struct audit_key key;
  char text[SRV_CONFIG_ERROR];
  if (!audit_key_read(key_file, &key, text)) {
    line(text);
    return 2;
  }
  struct audit_walk w = {.folder = folder, .key = &key};
  const char *why;
  bool head = verify_head(&w, &why);
  if (!audit_walk(&w)) {
    snprintf(text, sizeof text, "%.300s cannot be read: %s", folder, strerror(errno));
    line(text);
    return 2;
  }
  if (!*w.fault && !head)
    snprintf(w.fault, sizeof w.fault, "%s", why);
  if (!*w.fault)
    verify_end(&w);
  if (*w.fault)
    snprintf(text, sizeof text, "NOT WHOLE: %s", w.fault);
  else
    snprintf(text, sizeof text, "whole: %llu records in %llu files, the last with hash %s",
             (unsigned long long)w.last.seq, (unsigned long long)w.files, w.last.hash);
  line(text);
  return *w.fault != '\0';
}
