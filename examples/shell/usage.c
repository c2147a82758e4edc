/* usage.c - what a command takes, read from the line that help shows. */
#include "usage.h"

#include <ctype.h>
#include <string.h>

bool usage_next(const char **args, struct usage_item *out) {
  const char *s = *args + strspn(*args, " |");
  memset(out, 0, sizeof *out);
  if (!*s)
    return false;
  out->optional = *s == '[';
  s += out->optional;
  out->name = s;
  size_t n = strcspn(s, out->optional ? "]" : " |"); /* in brackets, | is between values */
  *args = s + n;
  if (**args == ']')
    ++*args;
  out->repeats = strncmp(*args, "...", 3) == 0 || (n > 3 && memcmp(s + n - 3, "...", 3) == 0);
  if (strncmp(*args, "...", 3) == 0)
    *args += 3;
  else if (out->repeats)
    n -= 3;
  const char *equal = memchr(s, '=', n);
  out->name_length = equal ? (size_t)(equal - s) : n;
  out->value = equal ? equal + 1 : NULL;
  out->value_length = equal ? n - out->name_length - 1 : 0;
  out->rest = !equal && n == 6 && memcmp(s, "SCHEMA", 6) == 0;
  return true;
}

bool usage_option(const struct command *command, const char *name, size_t n,
                  struct usage_item *out) {
  const char *args = command->args;
  struct usage_item item;
  bool found = false;
  while (usage_next(&args, &item)) {
    if (!item.value)
      continue;
    if (item.name_length == n && memcmp(item.name, name, n) == 0) {
      *out = item;
      return true;
    }
    bool param = item.name[0] == ':' && n > 1 && name[0] == ':';
    if (param || (isupper((unsigned char)item.name[0]) && name[0] != ':')) {
      *out = item;
      found = true;
    }
  }
  return found;
}

bool usage_place(const struct command *command, size_t i, struct usage_item *out) {
  const char *args = command->args;
  struct usage_item item;
  bool found = false;
  for (size_t at = 0; usage_next(&args, &item);) {
    if (item.value)
      continue;
    if (at == i || (item.repeats && at < i)) {
      *out = item;
      found = true;
    }
    at++;
  }
  return found;
}

int usage_check(const struct call *call, vecdb_error *error) {
  const struct command *command = call->command;
  struct usage_item item;
  for (size_t i = 0; i < call->n_options; i++) {
    const char *name = call->options[i].name;
    if (!usage_option(command, name, strlen(name), &item))
      return fail(error, VECDB_ERR_OPTION, "no option '%s='. Usage: %s %s", name, command->name,
                  command->args);
    for (size_t j = 0; j < i; j++)
      if (strcmp(name, call->options[j].name) == 0)
        return fail(error, VECDB_ERR_OPTION, "'%s=' is there twice", name);
  }
  if (call->n_places && !usage_place(command, call->n_places - 1, &item))
    return fail(error, VECDB_ERR_ARGUMENT, "too many words. Usage: %s %s", command->name,
                command->args);
  if (usage_place(command, call->n_places, &item) && !item.optional &&
      !(item.repeats && call->n_places && usage_place(command, call->n_places - 1, &item) &&
        item.repeats))
    return fail(error, VECDB_ERR_ARGUMENT, "too few words. Usage: %s %s", command->name,
                command->args);
  return VECDB_OK;
}
