/* fields.c - fields, expire: see fields.h. */
#include "ctl/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/change.h"
#include "ctl/first.h"
#include "wire/reshape.h"

bool ctl_fields_is(const char *command) {
  return strcmp(command, "fields") == 0 || strcmp(command, "expire") == 0;
}

const char *ctl_fields_missing(const struct ctl_args *a) {
  if (!a->collection)
    return "it needs --collection";
  if (strcmp(a->command, "expire") == 0)
    return NULL;
  if ((a->add != NULL) + (a->drop != NULL) + (a->rename != NULL) != 1 || !a->rename != !a->to)
    return "it needs --add, --drop, or --rename and --to";
  return NULL;
}

static int fields_expire(struct ctl *ctl, const struct ctl_args *a, FILE *out,
                         vecdb_error *error) {
  const struct wire_expiry expiry = {a->field, a->field ? a->ttl_s * UINT64_C(1000) : 0};
  uint64_t revision;
  char *text = wire_expiry_write(&expiry);
  int code = text ? change_expiry(ctl, a->collection, text, &revision, error)
                  : VECDB_ERR_NO_MEMORY;
  free(text);
  if (!code && a->field)
    fprintf(out, "rows go %u s after their %s\n", a->ttl_s, a->field);
  else if (!code)
    fprintf(out, "rows stay\n");
  return code;
}

static int fields_change(struct ctl *ctl, const struct ctl_args *a, uint64_t *version,
                         vecdb_error *error) {
  const struct wire_reshape reshape = {.kind = a->drop ? WIRE_RESHAPE_DROP : WIRE_RESHAPE_RENAME,
                                       .field = a->drop ? a->drop : a->rename,
                                       .to = a->to};
  char *text = a->add ? ctl_first_file(a->add) : wire_reshape_write(&reshape);
  int code = VECDB_ERR_ARGUMENT;
  if (!text)
    snprintf(error->message, sizeof error->message,
             "the file of the fields, or a name, cannot be read");
  else if (a->add)
    code = change_add(ctl, a->collection, text, version, error);
  else
    code = change_shape(ctl, a->collection, text, version, error);
  free(text);
  return code;
}

int ctl_fields(struct ctl *ctl, const struct ctl_args *a, FILE *out, FILE *err) {
  vecdb_error error = {.row = -1, .position = -1};
  uint64_t version = 0;
  int code = strcmp(a->command, "expire") == 0 ? fields_expire(ctl, a, out, &error)
                                               : fields_change(ctl, a, &version, &error);
  if (code)
    fprintf(err, "%s%s%s\n", error.field, *error.field ? ": " : "",
            *error.message ? error.message : "it could not be done: out of memory");
  else if (version)
    fprintf(out, "the schema is of version %" PRIu64 "; shards have it soon\n", version);
  return code ? 1 : 0;
}
