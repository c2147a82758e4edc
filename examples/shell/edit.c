/* edit.c - the prompt: line editing, history and completion by libedit. */
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell.h"
#include "table.h"
#include "words.h"

#define HISTORY_LINES 2000

struct edit {
  struct shell *shell;
  EditLine *el;
  History *history;
  char *history_path; /* NULL: not kept */
  bool interrupted;   /* Ctrl-C ended the line */
  bool more;          /* the command goes on in the next line */
};

/* ---- Completion ---- */

struct candidates {
  char **text;
  size_t n;
};

static void edit_candidate(void *user, const char *candidate) {
  struct candidates *c = user;
  c->text = mem_resize(c->text, c->n + 1, sizeof *c->text);
  c->text[c->n++] = mem_copy(candidate, strlen(candidate));
}

static int edit_compare(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Bytes that all candidates begin with. */
static size_t edit_common(const struct candidates *c) {
  size_t n = strlen(c->text[0]);
  for (size_t i = 1; i < c->n; i++) {
    size_t same = 0;
    while (same < n && c->text[i][same] == c->text[0][same])
      same++;
    n = same;
  }
  return n;
}

/* Lists the candidates below the line, in columns. */
static void edit_show(const struct edit *edit, const struct candidates *c) {
  size_t widest = 0, width = table_width(edit->shell);
  for (size_t i = 0; i < c->n; i++) {
    size_t columns = text_width(c->text[i], strlen(c->text[i]));
    widest = columns > widest ? columns : widest;
  }
  size_t per_line = (width ? width : 80) / (widest + 2);
  per_line = per_line ? per_line : 1;
  putchar('\n');
  for (size_t i = 0; i < c->n; i++) {
    bool last = (i + 1) % per_line == 0 || i + 1 == c->n;
    size_t columns = text_width(c->text[i], strlen(c->text[i]));
    printf("%s%*s", c->text[i], last ? 0 : (int)(widest + 2 - columns), "");
    if (last)
      putchar('\n');
  }
  fflush(stdout);
}

static unsigned char edit_complete(EditLine *el, int key) {
  (void)key;
  struct edit *edit = NULL;
  struct candidates c = {NULL, 0};
  el_get(el, EL_CLIENTDATA, &edit);
  const LineInfo *line = el_line(el);
  size_t length = (size_t)(line->cursor - line->buffer), start;
  complete(edit->shell, line->buffer, length, &start, edit_candidate, &c);
  if (!c.n)
    return CC_REFRESH_BEEP;
  qsort(c.text, c.n, sizeof *c.text, edit_compare);
  size_t common = edit_common(&c), part = length - start;
  unsigned char result = CC_REFRESH;
  if (common > part || (common == part && c.n == 1)) {
    c.text[0][common] = '\0';
    /* The case of the candidate, not the one that was typed. */
    el_deletestr(el, (int)part);
    el_insertstr(el, c.text[0]);
  } else {
    edit_show(edit, &c);
    result = CC_REDISPLAY;
  }
  for (size_t i = 0; i < c.n; i++)
    free(c.text[i]);
  free(c.text);
  return result;
}

/* ---- Keys and prompt ---- */

/* Ctrl-C gives the line up. It is a key, not a signal, while a line is edited. */
static unsigned char edit_interrupt(EditLine *el, int key) {
  (void)key;
  struct edit *edit = NULL;
  el_get(el, EL_CLIENTDATA, &edit);
  edit->interrupted = true;
  fputs("^C", stdout);
  return CC_NEWLINE;
}

static char *edit_prompt(EditLine *el) {
  static char first[] = "vecdb> ", more[] = "  ...> ";
  struct edit *edit = NULL;
  el_get(el, EL_CLIENTDATA, &edit);
  return edit->more ? more : first;
}

/* ---- History ---- */

static char *edit_history_path(void) {
  const char *set = getenv("VECDB_HISTORY"), *home = getenv("HOME");
  if (set)
    return *set ? mem_copy(set, strlen(set)) : NULL;
  if (!home || !*home)
    return NULL;
  struct text path = {0};
  text_printf(&path, "%s/.vecdb_history", home);
  return path.data;
}

static void edit_open(struct edit *edit) {
  HistEvent event;
  EditLine *el = edit->el = el_init("vecdb", stdin, stdout, stderr);
  edit->history = history_init();
  if (!el || !edit->history)
    return;
  history(edit->history, &event, H_SETSIZE, HISTORY_LINES);
  history(edit->history, &event, H_SETUNIQUE, 1);
  edit->history_path = edit_history_path();
  if (edit->history_path)
    history(edit->history, &event, H_LOAD, edit->history_path);
  el_set(el, EL_CLIENTDATA, edit);
  el_set(el, EL_PROMPT, edit_prompt);
  el_set(el, EL_EDITOR, "emacs");
  el_set(el, EL_SIGNAL, 1);
  el_set(el, EL_HIST, history, edit->history);
  el_set(el, EL_ADDFN, "vecdb-complete", "completes the word", edit_complete);
  el_set(el, EL_ADDFN, "vecdb-interrupt", "gives the line up", edit_interrupt);
  el_set(el, EL_BIND, "\t", "vecdb-complete", NULL);
  el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_source(el, NULL); /* the user's ~/.editrc */
  el_set(el, EL_BIND, "^C", "vecdb-interrupt", NULL);
  el_set(el, EL_SETTY, "-d", "-isig", NULL);
}

static void edit_close(struct edit *edit) {
  HistEvent event;
  if (edit->history_path && edit->history) {
    mode_t before = umask(S_IRWXG | S_IRWXO);
    history(edit->history, &event, H_SAVE, edit->history_path);
    umask(before);
  }
  if (edit->history)
    history_end(edit->history);
  if (edit->el)
    el_end(edit->el);
  free(edit->history_path);
}

static void edit_remember(struct edit *edit, const char *command) {
  HistEvent event;
  struct text line = {0};
  text_puts(&line, command);
  for (size_t i = 0; i < line.length; i++)
    if (line.data[i] == '\n')
      line.data[i] = ' ';
  while (line.length && line.data[line.length - 1] == ' ')
    line.data[--line.length] = '\0';
  if (line.length)
    history(edit->history, &event, H_ENTER, line.data);
  text_free(&line);
}

void edit_run(struct shell *shell) {
  struct edit edit = {.shell = shell};
  struct text text = {0};
  edit_open(&edit);
  while (edit.el && edit.history && !shell->quit) {
    int n;
    edit.interrupted = false;
    el_set(edit.el, EL_PREP_TERM, 1); /* before the prompt: who sees it may type */
    const char *line = el_gets(edit.el, &n);
    if (edit.interrupted) {
      text_clear(&text);
      edit.more = false;
      continue;
    }
    if (!line) {
      putchar('\n');
      break;
    }
    text_add(&text, line, (size_t)n);
    edit.more = words_open(text_string(&text));
    if (edit.more)
      continue;
    edit_remember(&edit, text_string(&text));
    command_run(shell, text_string(&text));
    text_clear(&text);
  }
  text_free(&text);
  edit_close(&edit);
}
