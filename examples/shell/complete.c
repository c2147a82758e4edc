/* complete.c - what may stand where the line ends: commands, and what the usage of one says. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cmd.h"
#include "usage.h"
#include "words.h"

/* The word to be completed, and where its candidates go. */
struct completion {
  const struct shell *shell;
  const char *word;       /* what there is of it; ends with a NUL */
  struct text prefix;     /* stands before each candidate: "where=" and so on */
  const char *collection; /* of the command, or NULL */
  void (*add)(void *user, const char *candidate);
  void *user;
};

static void complete_add(const struct completion *c, const char *candidate, const char *end) {
  if (strncasecmp(candidate, c->word, strlen(c->word)) != 0)
    return;
  struct text whole = {0};
  text_printf(&whole, "%s%s%s", text_string(&c->prefix), candidate, end);
  c->add(c->user, text_string(&whole));
  text_free(&whole);
}

static int complete_collection(void *user, const char *name) {
  complete_add(user, name, " ");
  return 0;
}

static void complete_fields(struct completion *c, const char *end) {
  vecdb_collection *collection;
  if (!c->shell->db || !c->collection ||
      vecdb_collection_get(c->shell->db, c->collection, &collection, NULL) != VECDB_OK)
    return;
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  for (uint32_t i = 0; i < schema->n_fields; i++)
    complete_add(c, schema->fields[i].name, end);
  vecdb_collection_release(collection);
}

/* Paths: names in the folder that the word says so far. */
static void complete_paths(struct completion *c) {
  const char *slash = strrchr(c->word, '/');
  size_t n = slash ? (size_t)(slash + 1 - c->word) : 0;
  char *folder = n ? mem_copy(c->word, n) : mem_copy(".", 1);
  text_add(&c->prefix, c->word, n);
  c->word += n;
  DIR *dir = opendir(folder);
  for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
    struct text path = {0};
    struct stat info;
    text_printf(&path, "%s/%s", folder, e->d_name);
    bool is_folder = stat(text_string(&path), &info) == 0 && S_ISDIR(info.st_mode);
    if (e->d_name[0] != '.' || c->word[0] == '.')
      complete_add(c, e->d_name, is_folder ? "/" : " ");
    text_free(&path);
  }
  if (dir)
    closedir(dir);
  free(folder);
}

/* Moves what stands before the last of `breaks` from the word to the prefix. */
static void complete_behind(struct completion *c, const char *breaks) {
  size_t n = strlen(c->word);
  while (n && !strchr(breaks, c->word[n - 1]))
    n--;
  text_add(&c->prefix, c->word, n);
  c->word += n;
}

static bool named(const char *name, size_t n, const char *as) {
  return n == strlen(as) && memcmp(name, as, n) == 0;
}

/* Candidates for a value or a place of that name. */
static void complete_kind(struct completion *c, const char *name, size_t n) {
  if (named(name, n, "COLLECTION") && c->shell->db) {
    vecdb_collection_list(c->shell->db, complete_collection, c, NULL);
  } else if (named(name, n, "FIELD")) {
    complete_fields(c, " ");
  } else if (named(name, n, "FIELDS")) {
    complete_behind(c, ",");
    complete_fields(c, "");
  } else if (named(name, n, "FILTER")) {
    complete_behind(c, " (!<>=\"'");
    complete_fields(c, "");
  } else if (named(name, n, "FILE") || named(name, n, "DIR") || named(name, n, "FROM_DIR")) {
    complete_paths(c);
  } else if (named(name, n, "COMMAND")) {
    for (const struct command *command = commands; command->name; command++)
      complete_add(c, command->name, " ");
  } else if (named(name, n, "INDEX")) {
    const char *type;
    for (int32_t i = 0; (type = vecdb_index_type_name(i)) != NULL; i++)
      complete_add(c, type, "");
  } else if (memchr(name, '|', n)) { /* words to choose from */
    for (const char *s = name, *end = name + n; s < end;) {
      const char *bar = memchr(s, '|', (size_t)(end - s));
      char *word = mem_copy(s, (size_t)((bar ? bar : end) - s));
      complete_add(c, word, " ");
      free(word);
      s = bar ? bar + 1 : end;
    }
  }
}

/* A word of a command that is known. */
static void complete_word(struct completion *c, const struct command *command, size_t place) {
  struct usage_item item;
  const char *equal = strchr(c->word, '=');
  if (equal) {
    size_t n = (size_t)(equal - c->word);
    bool found = usage_option(command, c->word, n, &item);
    text_add(&c->prefix, c->word, n + 1);
    c->word = equal + 1;
    if (found)
      complete_kind(c, item.value, item.value_length);
    return;
  }
  if (usage_place(command, place, &item))
    complete_kind(c, item.name, item.name_length);
  if (!place)
    return;
  for (const char *args = command->args; usage_next(&args, &item);) {
    if (!item.value || item.name[0] == ':')
      continue;
    char *name = mem_copy(item.name, item.name_length);
    if (strcmp(name, "FIELD") == 0)
      complete_fields(c, "=");
    else
      complete_add(c, name, "=");
    free(name);
  }
}

/* The command's name itself, which may have two words. */
static void complete_name(struct completion *c, const struct words *before) {
  for (const struct command *command = commands; command->name; command++) {
    const char *space = strchr(command->name, ' ');
    if (before->n == 0)
      complete_add(c, command->name, " ");
    else if (space && strlen(before->word[0].text) == (size_t)(space - command->name) &&
             strncasecmp(before->word[0].text, command->name, (size_t)(space - command->name)) == 0)
      complete_add(c, space + 1, " ");
  }
}

void complete(const struct shell *shell, const char *line, size_t length, size_t *start,
              void (*add)(void *user, const char *candidate), void *user) {
  char *text = mem_copy(line, length), *command_text = text;
  bool open;
  for (size_t n = words_command(command_text, &open); command_text[n];
       n = words_command(command_text, &open))
    command_text += n + 1;
  struct words words;
  words_split(command_text, strlen(command_text), &words);
  bool has_part = words.n && words.word[words.n - 1].end == strlen(command_text);
  struct words before = {words.word, words.n - has_part};
  struct completion c = {.shell = shell, .add = add, .user = user};
  *start = has_part ? (size_t)(command_text - text) + words.word[words.n - 1].start : length;
  c.word = text + *start;
  size_t used = 0;
  const struct command *command = command_find(&before, &used);
  size_t place = 0;
  for (size_t i = used; i < before.n; i++)
    place += strchr(before.word[i].text, '=') == NULL || before.word[i].quoted;
  if (command) {
    c.collection = place ? before.word[used].text : NULL;
    complete_word(&c, command, place);
  } else if (before.n < 2) {
    complete_name(&c, &before);
  }
  text_free(&c.prefix);
  words_free(&words);
  free(text);
}
