/*
 * audit.h - the audit log: a record of every request that reads, writes or administers, and of
 * every one that was not permitted, in a chain that shows whether records were altered, removed or
 * cut off (audit_chain.h). A thread of its own writes it; many requests share its syncs.
 */
#ifndef SRV_AUDIT_H
#define SRV_AUDIT_H

#include "server/config.h"

struct srv_audit;
struct srv_call;

/* What is called, by any thread, when the log cannot be written and when it can again. */
typedef void srv_audit_report(void *user, const char *line);

/* Goes on with the log in the folder that the settings name. NULL with a sentence: also when the
   log there ends before what it was known to have; then it was tampered with. */
struct srv_audit *srv_audit_start(const struct srv_config *config, srv_audit_report *report,
                                  void *user, char *error);
/* Writes what is left. NULL is fine. */
void srv_audit_stop(struct srv_audit *audit);
/* Adds a request that was answered; the number for srv_audit_wait. */
uint64_t srv_audit_request(struct srv_audit *audit, const struct srv_call *call, uint64_t ns);
/* Waits, with audit.sync = commit, until the record is synced or cannot be. */
void srv_audit_wait(struct srv_audit *audit, uint64_t number);
/* Whether records can be written: else requests should be refused. */
bool srv_audit_works(const struct srv_audit *audit);
/* Records in the log, the file's bytes and records that were lost because they were too many. */
struct srv_audit_stats {
  uint64_t records, bytes, lost;
};
void srv_audit_count(struct srv_audit *audit, struct srv_audit_stats *out);

/* Checks the log in a folder, and calls `line` with what is found. 0: it is whole; 1: it is not;
   2: it cannot be read. */
int srv_audit_verify(const char *folder, const char *key_file, void (*line)(const char *text));

#endif
