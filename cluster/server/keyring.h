/*
 * keyring.h - the keys that wrap an encrypted database's own: from a file, or from a program that
 * fetches them. Keys have names, and the database says by which one it is to be opened.
 *
 *   main-2026 = 64 hexadecimal digits       a line of the file storage.key_file, mode 0600
 *
 * storage.key_command is run, without a shell, with the name as its argument, and prints the
 * digits.
 */
#ifndef SRV_KEYRING_H
#define SRV_KEYRING_H

#include "server/server.h"

/* Whether the settings want the database encrypted. */
bool srv_keyring_is_wanted(const struct srv_config *config);
/* What the library asks for keys; why one is not to be had goes to the server's log. False with a
   sentence in `error` (SRV_CONFIG_ERROR bytes): the settings do not go together. */
bool srv_keyring_open(struct srv_server *server, vecdb_encryption *out, char *error);

#endif
