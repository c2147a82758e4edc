/* command.c - the table of commands, and how one is found, read and run. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd.h"
#include "table.h"
#include "usage.h"
#include "value.h"
#include "words.h"

#define SEARCH_ARGS                                                                   \
  "COLLECTION row=KEY|file=FILE|vector=[...]|text=TEXT [at=N] [field=FIELD] [k=N] "   \
  "[where=FILTER] [:NAME=VALUE]... [fields=FIELDS] [recall=SHARE] [ef=N] [nprobe=N] " \
  "[plan=auto|exact|graph|late|codes]"

const struct command commands[] = {
    {"create", "COLLECTION SCHEMA", "makes a collection from a schema line", cmd_create,
     "The schema is NAME TYPE WORD..., with a comma between fields:\n"
     "  create docs id int64 key, title varchar(200), v vector(384) cosine\n"
     "types  bool int8 int16 int32 int64 float double varchar(BYTES) json array(TYPE, N)\n"
     "       vector(DIM) vector(DIM, float16|bfloat16|int8|binary) sparse\n"
     "words  key auto nullable default=VALUE about=\"text\"; defaults that are computed: now of\n"
     "       int64 (milliseconds since 1970), uuid of varchar\n"
     "       of scalars an index for filters: hash sorted none; of json, of a place and its type:\n"
     "       double[\"price\"] varchar[\"a\"][\"b\"] bool[0]\n"
     "       of vectors a metric: cosine l2 ip hamming jaccard, zero (vectors are allowed),\n"
     "       and an index: FLAT, HNSW(m=24), IVF_PQ(nlist=1024), DISK ...; AUTO without one"},
    {"drop", "COLLECTION", "drops a collection and its rows", cmd_drop, NULL},
    {"list", "", "lists the collections", cmd_list, NULL},
    {"schema", "COLLECTION", "shows the line that would make the collection", cmd_schema, NULL},
    {"import",
     "COLLECTION [FILE] [FIELD=FILE]... [mode=upsert|insert] [skip=N] [limit=N] [batch=N] "
     "[extra=error|skip] [wait=yes|no]",
     "writes rows from files", cmd_import,
     "FILE holds a JSON object a line (- is standard input). FIELD=FILE fills a vector from an\n"
     ".npy, .fvecs or .bvecs file, row by row beside the lines. With vectors alone, an int64\n"
     "key is the number of the row. Rows replace those with their keys (mode=insert refuses\n"
     "them); extra=skip leaves members of the objects out that are no fields.\n"
     "  import docs docs.jsonl v=base.npy extra=skip"},
    {"insert", "COLLECTION ROW...", "writes rows, which must be new", cmd_insert,
     "  insert docs {\"id\": 1, \"title\": \"One\", \"v\": [0.1, 0.2]}"},
    {"upsert", "COLLECTION ROW...", "writes rows, in the place of those with their keys",
     cmd_upsert, NULL},
    {"update", "COLLECTION ROW...", "changes some fields of rows that are there", cmd_update,
     "  update docs {\"id\": 1, \"title\": \"Uno\"}"},
    {"get", "COLLECTION KEY... [fields=FIELDS]", "shows rows by key", cmd_get,
     "fields=a,b names fields; fields=* is all of them, vectors too."},
    {"scan",
     "COLLECTION [where=FILTER] [:NAME=VALUE]... [fields=FIELDS] [limit=N|all] [offset=N] "
     "[after=KEY]",
     "shows rows in the order of their keys", cmd_scan,
     "With --json and limit=all fields=* this is an export that import reads."},
    {"count", "COLLECTION [where=FILTER] [:NAME=VALUE]...", "counts rows", cmd_count,
     "A filter needs no quotes in brackets; {names} in it are bound:\n"
     "  count docs where=(year > {y} and title like \"A%\") :y=1999"},
    {"search", SEARCH_ARGS " [radius=X]", "finds the nearest rows to a vector", cmd_search,
     "The vector is that of a row, of a file (at=N: its row N, from 0), written out, or that of a\n"
     "text, by the service of `set embed`.\n"
     "  search docs text=\"a program to edit photographs\" where=(section == {s}) :s=graphics"},
    {"groups", SEARCH_ARGS " by=FIELD [size=N]", "finds the nearest groups of rows", cmd_groups,
     "Rows with the same value of the field are a group; k of them, and size rows of each (1).\n"
     "  groups docs row=7 by=author k=5 size=2"},
    {"hybrid",
     "COLLECTION (SEARCH)... [k=N] [fusion=rrf|weighted|scores] [rrf_k=X] [fields=FIELDS]",
     "finds rows by one ranking out of several searches", cmd_hybrid,
     "A SEARCH is what `search` takes behind COLLECTION, in brackets, without fields= and with\n"
     "weight=X; k=N is how many of its hits count (100).\n"
     "  hybrid docs (row=7 field=title) (text=\"a dog\" field=body weight=2) fusion=rrf"},
    {"explain", SEARCH_ARGS, "says how a search would be run", cmd_explain, NULL},
    {"delete", "COLLECTION [KEY]... [where=FILTER] [:NAME=VALUE]...",
     "deletes rows by key or filter", cmd_delete, NULL},
    {"field add", "COLLECTION SCHEMA", "adds fields, which rows have as default or null",
     cmd_field_add, "  field add docs lang varchar(8) nullable, year int32 default=2000"},
    {"field drop", "COLLECTION FIELD", "drops a scalar field", cmd_field_drop, NULL},
    {"field rename", "COLLECTION FIELD NAME", "gives a field a new name", cmd_field_rename, NULL},
    {"expire set", "COLLECTION FIELD [ttl_ms=N]", "makes rows expire by the time in a field",
     cmd_expire_set,
     "They are gone N ms (0) after the time in an int64 field, in ms since 1970 UTC."},
    {"expire drop", "COLLECTION", "makes rows expire no longer", cmd_expire_drop, NULL},
    {"expire show", "COLLECTION", "says when rows expire", cmd_expire_show, NULL},
    {"optimizer set",
     "COLLECTION FIELD [kind=average|adagrad|adam] [rate=X] [window=N] [beta1=X] [beta2=X] "
     "[epsilon=X] [unit=yes|no]",
     "lets a vector take pushes", cmd_optimizer_set, NULL},
    {"optimizer drop", "COLLECTION FIELD", "lets a vector take pushes no longer",
     cmd_optimizer_drop, NULL},
    {"optimizer show", "COLLECTION FIELD", "shows the optimizer of a vector", cmd_optimizer_show,
     NULL},
    {"push",
     "COLLECTION FIELD KEY vector=[...] [kind=gradient|delta|value] [expected=N] [insert=yes|no]",
     "changes the vector of a row by a gradient, a delta or a value", cmd_push,
     "expected=N: only if that is its version; insert=yes: an absent row is made."},
    {"pull", "COLLECTION FIELD KEY...", "shows vectors of rows and their versions", cmd_pull, NULL},
    {"index create", "COLLECTION FIELD [INDEX]",
     "sets and builds the index of a vector, or of a place in JSON", cmd_index_create,
     "  index create docs v HNSW(m=24, ef_construction=300)\n"
     "  index create docs meta double[\"price\"]    (rows in files: after `compact`)"},
    {"index drop", "COLLECTION FIELD [PLACE]",
     "drops the index of a vector, or of a place in JSON", cmd_index_drop,
     "  index drop docs meta [\"price\"]"},
    {"index list", "COLLECTION [FIELD]", "shows the indexes of the segments", cmd_index_list, NULL},
    {"info", "", "shows numbers about the database", cmd_info, NULL},
    {"stats", "COLLECTION", "shows numbers about a collection", cmd_stats, NULL},
    {"check", "", "reads and checks every byte", cmd_check, NULL},
    {"backup", "DIR", "copies the database into a new folder", cmd_backup, NULL},
    {"restore", "FROM_DIR DIR", "checks a backup and copies it into a new folder", cmd_restore,
     NULL},
    {"rekey", "[NAME] [new=yes|no]", "wraps the keys of the database by another one", cmd_rekey,
     "NAME is a key of --key-file; new=yes: what is written from now on gets a new data key, and\n"
     "`compact` brings older rows under it."},
    {"compact", "COLLECTION", "merges segments, and leaves deleted rows out", cmd_compact, NULL},
    {"flush", "COLLECTION", "writes rows in memory to a segment", cmd_flush, NULL},
    {"wait", "COLLECTION", "waits for the work in the background", cmd_wait, NULL},
    {"warm", "COLLECTION [where=FILTER] [:NAME=VALUE]...",
     "brings a collection's files into memory, or what belongs to some rows", cmd_warm, NULL},
    {"set", "[embed|model|json|timing|width] [VALUE]", "shows or changes the shell's settings",
     cmd_set, NULL},
    {"help", "[COMMAND]...", "shows this list, or more about a command", cmd_help, NULL},
    {"quit", "", "leaves the shell", cmd_quit, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- Words of a command ---- */

const char *call_option(const struct call *call, const char *name) {
  for (size_t i = 0; i < call->n_options; i++)
    if (strcmp(call->options[i].name, name) == 0)
      return call->options[i].value;
  return NULL;
}

int call_number(const struct call *call, const char *name, uint64_t least, uint64_t most,
                uint64_t otherwise, uint64_t *out, vecdb_error *error) {
  const char *text = call_option(call, name);
  *out = otherwise;
  if (!text)
    return VECDB_OK;
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end)
    return fail(error, VECDB_ERR_TYPE, "%s=%.40s is no whole number", name, text);
  if (errno || n < least || n > most)
    return fail(error, VECDB_ERR_RANGE, "%s=%.40s: it is %llu to %llu", name, text,
                (unsigned long long)least, (unsigned long long)most);
  *out = n;
  return VECDB_OK;
}

int call_real(const struct call *call, const char *name, double *out, vecdb_error *error) {
  const char *text = call_option(call, name);
  if (!text)
    return VECDB_OK;
  char *end;
  double x = strtod(text, &end);
  if (end == text || *end || !isfinite(x))
    return fail(error, VECDB_ERR_TYPE, "%s=%.40s is no number", name, text);
  *out = x;
  return VECDB_OK;
}

int call_choice(const struct call *call, const char *name, const char *const *words, int32_t n,
                int32_t *out, vecdb_error *error) {
  const char *given = call_option(call, name);
  for (int32_t i = 0; i < n && given; i++)
    if (strcmp(words[i], given) == 0) {
      *out = i;
      return VECDB_OK;
    }
  return given ? fail(error, VECDB_ERR_OPTION, "%s=%.40s is none of those in: %s %s", name, given,
                      call->command->name, call->command->args)
               : VECDB_OK;
}

int parse_switch(const char *text, bool *out, vecdb_error *error) {
  static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
  for (size_t i = 0; i < 8; i++)
    if (strcasecmp(words[i], text) == 0) {
      *out = i % 2 == 1;
      return VECDB_OK;
    }
  return fail(error, VECDB_ERR_TYPE, "'%.40s' is neither yes nor no", text);
}

int need_database(const struct shell *shell, vecdb_error *error) {
  if (shell->db)
    return VECDB_OK;
  if (!shell->path)
    return fail(error, VECDB_ERR_NOT_FOUND, "no database was named: vecdb DIR");
  return fail(error, VECDB_ERR_NOT_FOUND, "there is no database at %s yet; `create` makes it",
              shell->path);
}

int call_collection(const struct shell *shell, const struct call *call, vecdb_collection **out,
                    vecdb_error *error) {
  *out = NULL;
  int status = need_database(shell, error);
  return status ? status : vecdb_collection_get(shell->db, call->place[0], out, error);
}

/* ---- Running ---- */

const struct command *command_find(const struct words *words, size_t *used) {
  for (const struct command *c = commands; c->name; c++) {
    const char *space = strchr(c->name, ' ');
    size_t n = space ? (size_t)(space - c->name) : strlen(c->name);
    *used = space ? 2 : 1;
    if (words->n < *used || words->word[0].quoted || strlen(words->word[0].text) != n ||
        strncasecmp(words->word[0].text, c->name, n) != 0)
      continue;
    if (!space || strcasecmp(words->word[1].text, space + 1) == 0)
      return c;
  }
  return NULL;
}

/* Cuts NAME=VALUE at the sign. A name is letters, digits and _, and may begin with a colon. */
static bool option_read(const struct word *word, struct argument *out) {
  char *s = word->text;
  size_t n =
      strspn(s + (s[0] == ':'), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") +
      (s[0] == ':');
  if (word->quoted || !n || s[n] != '=')
    return false;
  s[n] = '\0';
  *out = (struct argument){s, s + n + 1};
  return true;
}

void call_read(struct call *call, const struct words *words, size_t used, const char *text) {
  struct usage_item item;
  call->place = mem_new(words->n, sizeof *call->place);
  call->options = mem_new(words->n, sizeof *call->options);
  for (size_t i = used; i < words->n; i++) {
    if (usage_place(call->command, call->n_places, &item) && item.rest) {
      call->rest = text + words->word[i].start;
      call->place[call->n_places++] = words->word[i].text;
      return;
    }
    if (option_read(&words->word[i], &call->options[call->n_options]))
      call->n_options++;
    else
      call->place[call->n_places++] = words->word[i].text;
  }
}

static int command_unknown(const struct words *words, vecdb_error *error) {
  const char *first = words->word[0].text;
  size_t n = strlen(first);
  for (const struct command *c = commands; c->name; c++)
    if (strncasecmp(c->name, first, n) == 0 && c->name[n] == ' ')
      return fail(error, VECDB_ERR_ARGUMENT, "'%.40s' wants a second word; see `help %.40s`", first,
                  first);
  return fail(error, VECDB_ERR_ARGUMENT, "no command '%.40s'; `help` lists them", first);
}

/* Runs one command, whose text ends with a NUL. */
static int command_one(struct shell *shell, const char *text) {
  vecdb_error error;
  struct words words;
  struct call call = {0};
  size_t used;
  int status = VECDB_OK;
  words_split(text, strlen(text), &words);
  if (!words.n)
    return VECDB_OK;
  fail(&error, VECDB_ERR_INTERNAL, "no reason was given");
  double start = control_seconds();
  control_command(true);
  call.command = command_find(&words, &used);
  if (!call.command) {
    status = command_unknown(&words, &error);
  } else {
    call_read(&call, &words, used, text);
    status = usage_check(&call, &error);
    if (!status && shell->db && shell->flags & VECDB_FOLLOW)
      status = vecdb_refresh(shell->db, 0, NULL, &error);
    if (!status)
      status = call.command->run(shell, &call, &error);
  }
  control_end();
  if (status)
    report(shell, &error);
  if (shell->timing && !shell->json && !status)
    printf("%.1f ms\n", (control_seconds() - start) * 1e3);
  control_command(false);
  fflush(stdout);
  free(call.place);
  free(call.options);
  words_free(&words);
  return status;
}

int command_run(struct shell *shell, const char *text) {
  int first = VECDB_OK;
  while (*text && !shell->quit && (!first || shell->keep_going)) {
    bool open;
    size_t n = words_command(text, &open);
    char *one = mem_copy(text, n);
    int status = command_one(shell, one);
    first = first ? first : status;
    free(one);
    text += n + (text[n] != '\0');
  }
  return first;
}

/* ---- The shell's own commands ---- */

/* One command with its usage in lines that fit. */
static void help_one(const struct shell *shell, const struct command *c) {
  struct table table;
  struct text usage = {0};
  text_printf(&usage, "%s %s", c->name, c->args);
  table_begin(&table, 1);
  table_puts(&table, "usage:");
  table_puts(&table, text_string(&usage));
  table_print_blocks(&table, table_width(shell));
  printf("%s %s.\n", c->name, c->line);
  if (c->more)
    printf("%s\n", c->more);
  text_free(&usage);
}

int cmd_help(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct text name = {0};
  for (size_t i = 0; i < call->n_places; i++)
    text_printf(&name, "%s%s", i ? " " : "", call->place[i]);
  size_t shown = 0;
  for (const struct command *c = commands; c->name && name.length; c++) {
    bool begins = strncasecmp(c->name, name.data, name.length) == 0;
    if (!begins || (c->name[name.length] != '\0' && c->name[name.length] != ' '))
      continue;
    if (shown++)
      putchar('\n');
    help_one(shell, c);
  }
  int status = VECDB_OK;
  if (name.length && !shown)
    status = fail(error, VECDB_ERR_NOT_FOUND, "no command '%.40s'; `help` lists them", name.data);
  for (const struct command *c = commands; c->name && !name.length; c++)
    printf("  %-15s %s\n", c->name, c->line);
  if (!name.length)
    puts(
        "\n`help COMMAND` says what it takes. Commands end with a line or `;`; # begins a "
        "comment.");
  text_free(&name);
  return status;
}

static int set_value(struct shell *shell, const char *name, const char *value, vecdb_error *error) {
  char **text = strcmp(name, "embed") == 0   ? &shell->embed_url
                : strcmp(name, "model") == 0 ? &shell->model
                                             : NULL;
  if (text) {
    free(*text);
    *text = mem_copy(value, strlen(value));
    return VECDB_OK;
  }
  if (strcmp(name, "timing") == 0)
    return parse_switch(value, &shell->timing, error);
  if (strcmp(name, "json") == 0)
    return parse_switch(value, &shell->json, error);
  if (strcmp(name, "width") != 0)
    return fail(error, VECDB_ERR_NOT_FOUND, "no setting '%.40s'; `set` shows them", name);
  struct argument option = {(char *)(uintptr_t) "width", (char *)(uintptr_t)value};
  struct call call = {.options = &option, .n_options = 1};
  uint64_t width;
  int status = call_number(&call, "width", 0, 65535, 0, &width, error);
  if (!status)
    shell->width = (uint32_t)width;
  return status;
}

int cmd_set(struct shell *shell, const struct call *call, vecdb_error *error) {
  if (call->n_places == 2)
    return set_value(shell, call->place[0], call->place[1], error);
  if (call->n_places == 1)
    return fail(error, VECDB_ERR_ARGUMENT, "set NAME VALUE; `set` alone shows the settings");
  struct text line = {0};
  text_puts(&line, "{\"embed\": ");
  put_string(&line, shell->embed_url, strlen(shell->embed_url));
  text_puts(&line, ", \"model\": ");
  put_string(&line, shell->model, strlen(shell->model));
  text_printf(&line, ", \"json\": %s, \"timing\": %s, \"width\": %u}",
              shell->json ? "true" : "false", shell->timing ? "true" : "false", shell->width);
  if (shell->json)
    printf("%s\n", text_string(&line));
  else
    printf("embed   %s\nmodel   %s\njson    %s\ntiming  %s\nwidth   %u (0: the terminal's)\n",
           shell->embed_url, shell->model, shell->json ? "on" : "off", shell->timing ? "on" : "off",
           shell->width);
  text_free(&line);
  return VECDB_OK;
}

int cmd_quit(struct shell *shell, const struct call *call, vecdb_error *error) {
  (void)call, (void)error;
  shell->quit = true;
  return VECDB_OK;
}
