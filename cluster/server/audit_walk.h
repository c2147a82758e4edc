/* audit_walk.h - reading the files of an audit log in order, checking the chain on the way. */
#ifndef SRV_AUDIT_WALK_H
#define SRV_AUDIT_WALK_H

#include "server/audit_chain.h"

struct audit_walk {
  const char *folder;
  const struct audit_key *key;
  bool last_file_only;    /* that is enough to go on with a log */
  struct audit_link head; /* the record that is looked for: its hash must be this */
  bool head_met;
  struct audit_link last; /* after the walk: the last record that is whole */
  char file[AUDIT_NAME];  /* the last file; "": there is none */
  uint64_t file_bytes;    /* of its whole records */
  uint64_t files;
  bool torn;              /* the last file ends within a record */
  char fault[256];        /* what is wrong, and where; "": nothing */
};

/* Fills the rest from the first three and `head`. False: the folder or a file cannot be read, and
   errno says why. */
bool audit_walk(struct audit_walk *walk);

#endif
