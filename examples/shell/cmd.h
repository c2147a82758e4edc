/* cmd.h - the commands, and what they share in printing. */
#ifndef SHELL_CMD_H
#define SHELL_CMD_H

#include "shell.h"

struct words;

/* The command that words begin with, or NULL; *used receives how many words its name has. */
const struct command *command_find(const struct words *words, size_t *used);

/* The words behind the command's name; what is borrowed from them lives as long as they. places
   and options are to be freed. */
void call_read(struct call *call, const struct words *words, size_t used, const char *text);

/* The options of one of the searches of `hybrid`. */
#define RANKING_PART_ARGS                                                             \
  "row=KEY|file=FILE|vector=[...]|text=TEXT [at=N] [field=FIELD] [k=N] "              \
  "[where=FILTER] [:NAME=VALUE]... [recall=SHARE] [ef=N] [nprobe=N] "                 \
  "[plan=auto|exact|graph|late|codes] [radius=X] [weight=X]"

typedef int command_fn(struct shell *shell, const struct call *call, vecdb_error *error);

/* cmd_schema.c: collections and their indexes */
command_fn cmd_create, cmd_drop, cmd_list, cmd_schema;
command_fn cmd_index_create, cmd_index_drop, cmd_index_list;
/* cmd_import.c: writing many rows */
command_fn cmd_import;
/* cmd_rows.c: writing, reading and deleting rows */
command_fn cmd_insert, cmd_upsert, cmd_update, cmd_get, cmd_scan, cmd_count, cmd_delete;
/* cmd_search.c */
command_fn cmd_search, cmd_explain;
/* cmd_ranking.c */
command_fn cmd_groups, cmd_hybrid;
/* cmd_alter.c: fields that come and go, and rows that expire */
command_fn cmd_field_add, cmd_field_drop, cmd_field_rename;
command_fn cmd_expire_set, cmd_expire_drop, cmd_expire_show;
/* cmd_learn.c: vectors that many learn at once */
command_fn cmd_optimizer_set, cmd_optimizer_drop, cmd_optimizer_show, cmd_push, cmd_pull;
/* cmd_admin.c: the database as a whole */
command_fn cmd_info, cmd_stats, cmd_check, cmd_backup, cmd_restore, cmd_rekey;
command_fn cmd_compact, cmd_flush, cmd_wait, cmd_warm;
/* command.c: the shell itself */
command_fn cmd_help, cmd_set, cmd_quit;

/* ---- Keys ---- */

struct key_list {
  vecdb_keys keys;
  int64_t *integers;
  vecdb_string *strings;
};
/* The keys in the places from `first` on; to be freed also after an error. */
int keys_read(const struct call *call, size_t first, const vecdb_schema *schema,
              struct key_list *out, vecdb_error *error);
void keys_free(struct key_list *keys);

/* ---- Printing ---- */

/* The fields of an option such as fields=a,b: "*" is all of them; without the option, all but
   vectors. names has room for VECDB_MAX_FIELDS + 1; what they point to is freed with *memory. */
int fields_read(const struct call *call, const vecdb_schema *schema, const char **names, size_t *n,
                char **memory, vecdb_error *error);
/* Prints n rows: as a table, as blocks, or one JSON object a row. With hits, unless NULL, their
   scores come first. */
void rows_print(const struct shell *shell, const vecdb_rows *rows, const vecdb_hit *hits, size_t n,
                bool blocks);
/* "1,234,567" into 32 bytes. */
const char *number_text(uint64_t n, char out[32]);
const char *bytes_text(uint64_t n, char out[32]);

#endif
