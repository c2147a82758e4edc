/* main.c - the program vecdb: its arguments, and where commands come from. */
#include <curl/curl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keyfile.h"
#include "lines.h"
#include "shell.h"
#include "words.h"

static const char usage[] =
    "usage: vecdb [OPTION]... [DIR|FILE]\n"
    "A shell for the vecdb database in folder DIR, which `create` makes if there is none,\n"
    "or in one FILE of a segment, for reading.\n"
    "Commands come from -c, else from standard input; at a terminal there is a prompt.\n"
    "\n"
    "  -c, --command=TEXT  runs these commands; may be given more than once\n"
    "  -j, --json          one JSON value a line instead of tables\n"
    "  -r, --read-only     opens the database for reading, beside a program that writes\n"
    "  -f, --follow        likewise, and sees what that program writes\n"
    "  -k, --keep-going    goes on after a command that fails\n"
    "      --key-file=FILE keys of an encrypted database: a name and 64 hexadecimal digits a\n"
    "                      line; `create` makes an encrypted one, by the first key\n"
    "      --embed=URL     the embedding service for text=... (VECDB_EMBED_URL)\n"
    "      --model=NAME    its model (VECDB_EMBED_MODEL)\n"
    "  -h, --help          this, and the commands\n"
    "  -V, --version       the version\n"
    "\n"
    "The exit status is 0, or the vecdb_status of the first command that failed.\n";

struct arguments {
  char **commands; /* of -c */
  size_t n_commands;
  const char *key_file; /* NULL: none */
};

static void set_from(char **setting, const char *value) {
  if (!value)
    return;
  free(*setting);
  *setting = mem_copy(value, strlen(value));
}

/* Reads the arguments. Returns false when the program is to end with *status. */
static bool arguments_read(int argc, char **argv, struct shell *shell, struct arguments *out,
                           int *status) {
  static const struct option known[] = {
      {"command", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
      {"read-only", no_argument, NULL, 'r'},     {"follow", no_argument, NULL, 'f'},
      {"keep-going", no_argument, NULL, 'k'},    {"embed", required_argument, NULL, 'e'},
      {"model", required_argument, NULL, 'm'},   {"help", no_argument, NULL, 'h'},
      {"version", no_argument, NULL, 'V'},       {"key-file", required_argument, NULL, 'K'},
      {NULL, 0, NULL, 0}};
  int c;
  *status = VECDB_OK;
  while ((c = getopt_long(argc, argv, "c:jrfkhV", known, NULL)) != -1) {
    switch (c) {
      case 'c':
        out->commands = mem_resize(out->commands, out->n_commands + 1, sizeof *out->commands);
        out->commands[out->n_commands++] = optarg;
        break;
      case 'j':
        shell->json = true;
        break;
      case 'r':
        shell->flags |= VECDB_READ_ONLY;
        break;
      case 'f':
        shell->flags |= VECDB_READ_ONLY | VECDB_FOLLOW;
        break;
      case 'k':
        shell->keep_going = true;
        break;
      case 'e':
        set_from(&shell->embed_url, optarg);
        break;
      case 'm':
        set_from(&shell->model, optarg);
        break;
      case 'K':
        out->key_file = optarg;
        break;
      case 'h':
        fputs(usage, stdout);
        puts("\nCommands:");
        command_run(shell, "help");
        return false;
      case 'V':
        printf("vecdb %s\n", vecdb_version());
        return false;
      default:
        *status = VECDB_ERR_OPTION;
        return false;
    }
  }
  shell->path = optind < argc ? argv[optind] : NULL;
  if (optind + 1 < argc) {
    fputs(usage, stderr);
    *status = VECDB_ERR_ARGUMENT;
  }
  return !*status;
}

/* One file of a segment can only be read. */
static bool shell_file(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Opens the database if there is one; `create` makes it otherwise. */
static int shell_open(struct shell *shell) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error error;
  if (!shell->path)
    return VECDB_OK;
  if (shell_file(shell->path))
    shell->flags |= VECDB_READ_ONLY;
  options.flags = shell->flags | VECDB_MUST_EXIST;
  options.encryption = shell->encryption;
  options.control = control_begin("opening");
  control_command(true);
  int status = strcmp(shell->path, ":memory:") == 0
                   ? VECDB_ERR_NOT_FOUND
                   : vecdb_open(shell->path, &options, &shell->db, &error);
  control_command(false);
  control_end();
  if (status == VECDB_ERR_NOT_FOUND)
    return VECDB_OK;
  if (status == VECDB_ERR_BUSY)
    strncat(error.message, " (-r opens it for reading)",
            sizeof error.message - strlen(error.message) - 1);
  if (status)
    report(shell, &error);
  return status;
}

static int shell_close(struct shell *shell) {
  vecdb_error error;
  int status = shell->db ? vecdb_close(shell->db, &error) : VECDB_OK;
  if (status)
    report(shell, &error);
  return status;
}

/* Commands of standard input, line by line; a command with open brackets goes on in the next line.
 */
static int run_input(struct shell *shell) {
  struct lines lines;
  struct text text = {0};
  vecdb_error error;
  int first = VECDB_OK;
  int status = lines_open(&lines, "-", &error);
  const char *line = "";
  while (!status && line && !shell->quit) {
    size_t length = 0;
    bool open = false;
    status = lines_next(&lines, &line, &length, &error);
    if (status)
      break;
    if (line) {
      text_add(&text, line, strnlen(line, length));
      text_puts(&text, "\n");
      open = words_open(text_string(&text));
    }
    if (open)
      continue;
    int one = command_run(shell, text_string(&text));
    first = first ? first : one;
    text_clear(&text);
    if (one && !shell->keep_going)
      break;
  }
  if (status)
    report(shell, &error);
  text_free(&text);
  lines_close(&lines);
  return first ? first : status;
}

static int run_arguments(struct shell *shell, const struct arguments *arguments) {
  int first = VECDB_OK;
  for (size_t i = 0; i < arguments->n_commands && !shell->quit; i++) {
    int status = command_run(shell, arguments->commands[i]);
    first = first ? first : status;
    if (status && !shell->keep_going)
      break;
  }
  return first;
}

static int run(struct shell *shell, const struct arguments *arguments) {
  if (arguments->n_commands)
    return run_arguments(shell, arguments);
  if (!shell->interactive)
    return run_input(shell);
  printf("vecdb %s. `help` lists the commands, Tab completes, Ctrl-D leaves.\n", vecdb_version());
  edit_run(shell);
  return VECDB_OK;
}

/* Reads the keys, if there is a file of them. */
static int shell_keys(struct shell *shell, const char *path, struct keyfile *keys) {
  vecdb_error error;
  if (!path)
    return VECDB_OK;
  int status = keyfile_open(keys, path, &error);
  if (status)
    report(shell, &error);
  shell->encryption = &keys->encryption;
  return status;
}

int main(int argc, char **argv) {
  struct shell shell = {0};
  struct arguments arguments = {0};
  struct keyfile keys = {0};
  int status;
  setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) /* the texts of a database are UTF-8 wherever it is opened */
    setlocale(LC_CTYPE, "C.UTF-8");
  set_from(&shell.embed_url, "http://127.0.0.1:8001");
  set_from(&shell.embed_url, getenv("VECDB_EMBED_URL"));
  set_from(&shell.model, "all-MiniLM-L6-v2");
  set_from(&shell.model, getenv("VECDB_EMBED_MODEL"));
  curl_global_init(CURL_GLOBAL_DEFAULT);
  if (arguments_read(argc, argv, &shell, &arguments, &status)) {
    shell.interactive = !arguments.n_commands && isatty(STDIN_FILENO);
    control_install(shell.interactive);
    status = shell_keys(&shell, arguments.key_file, &keys);
    if (!status)
      status = shell_open(&shell);
    if (!status)
      status = run(&shell, &arguments);
    int closing = shell_close(&shell);
    status = status ? status : closing;
  }
  if (fflush(stdout) != 0 && !status)
    status = VECDB_ERR_IO;
  curl_global_cleanup();
  keyfile_close(&keys);
  free(arguments.commands);
  free(shell.embed_url);
  free(shell.model);
  return status;
}
