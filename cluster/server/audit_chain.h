/*
 * audit_chain.h - the form of the audit log. A record is a line of JSON that begins with its number
 * and the hash of the record before it, and ends with its own hash:
 *
 *   {"seq":7,"prev":"64 hexadecimal digits","time":...,...,"hash":"64 hexadecimal digits"}
 *
 * The hash is over all before `,"hash"`: HMAC-SHA-256 with the key where there is one, so that
 * nobody without it can write a record that passes; else SHA-256. The first record's prev is 64
 * zeros. Files are named after their first record, and the chain goes on from file to file. The
 * file `audit.head` says how far it had come when it was last synced, twice, in two sectors, so
 * that a torn write leaves one; a log that ends before that was cut.
 */
#ifndef SRV_AUDIT_CHAIN_H
#define SRV_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  AUDIT_HASH = 65,   /* bytes of a hash as text */
  AUDIT_MORE = 256,  /* what a record has beside its body, at most */
  AUDIT_NAME = 32,   /* of a file */
  AUDIT_KEY = 4096,  /* largest key */
  AUDIT_KEY_LEAST = 32
};

struct audit_key {
  unsigned char bytes[AUDIT_KEY];
  size_t n; /* 0: there is none */
};

/* The last record of a chain. */
struct audit_link {
  uint64_t seq;          /* 0: there is none yet */
  char hash[AUDIT_HASH]; /* "": not known, any goes on from it */
};

/* Reads a key from a file; "" means none. False with a sentence in error (SRV_CONFIG_ERROR). */
bool audit_key_read(const char *path, struct audit_key *key, char *error);
/* An empty chain. */
void audit_link_first(struct audit_link *link);
/* Writes the record that follows `last`, with a newline, to `out`, which has room for
   n + AUDIT_MORE bytes, and makes it the last. The body is members of a JSON object, without
   braces. Its length, or 0: no memory. */
size_t audit_seal(const struct audit_key *key, struct audit_link *last, const char *body, size_t n,
                  char *out);
/* Checks that the line, without its newline, is the record that follows `last`, and makes it the
   last. NULL, or what is wrong with it. */
const char *audit_check(const struct audit_key *key, struct audit_link *last, const char *line,
                        size_t n);

/* The name of the file that begins with a record, and back; false: it is no such name. */
void audit_file_name(uint64_t seq, char *name);
bool audit_file_seq(const char *name, uint64_t *seq);

/* Writes the head to one of the two sectors; errno or 0. */
int audit_head_write(int fd, unsigned sector, const struct audit_key *key,
                     const struct audit_link *link);
/* Reads the newer head of those in the file. *damaged: a sector holds something else. False: there
   is none. */
bool audit_head_read(int fd, const struct audit_key *key, struct audit_link *link, bool *damaged);

#endif
