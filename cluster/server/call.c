/* call.c - answers and the reading of JSON members; see call.h. */
#include "server/call.h"

#include <stdio.h>
#include <string.h>

#include "client/vecdb_client.h"
#include "server/auth.h"
#include "server/guard.h"
#include "server/observe.h"
#include "server/server.h"

void srv_call_answer(struct srv_call *call, int status, json_t *answer) {
  if (!answer) {
    srv_call_no_memory(call);
    return;
  }
  json_decref(call->answer);
  call->answer = answer;
  call->text = NULL;
  call->failed = NULL;
  call->status = status;
}

void srv_call_text(struct srv_call *call, int status, const char *text, size_t n) {
  json_decref(call->answer);
  call->answer = NULL;
  call->text = text;
  call->text_bytes = n;
  call->content_type = "application/json";
  call->failed = NULL;
  call->status = status;
}

void srv_call_no_memory(struct srv_call *call) {
  static const char text[] =
      "{\"error\": {\"code\": \"NO_MEMORY\", \"message\": \"the server is out of memory\"}}";
  srv_call_text(call, 503, text, sizeof text - 1);
  call->failed = "NO_MEMORY";
}

void srv_call_fail(struct srv_call *call, int status, const char *code, const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  json_t *text = json_string(message);
  if (!text)
    text = json_string("the message is not valid UTF-8");
  json_t *answer = NULL;
  if (text && call->errors)
    answer = call->errors(&status, code, json_string_value(text));
  else if (text)
    answer = json_pack("{s:{s:s, s:O}}", "error", "code", code, "message", text);
  json_decref(text);
  srv_call_answer(call, status, answer);
  if (answer)
    call->failed = code;
}

static int call_status_of(int code) {
  switch (code) {
  case VECDB_ERR_NOT_FOUND:
  case VECDB_ERR_CLOSED:
    return 404;
  case VECDB_ERR_EXISTS:
  case VECDB_ERR_VERSION:
    return 409;
  case VECDB_ERR_READ_ONLY:
    return 403;
  case VECDB_ERR_UNSUPPORTED:
    return 501;
  case VECDB_ERR_TIMEOUT:
    return 504;
  case VECDB_CLIENT_UNKNOWN:
    return 504;
  case VECDB_CLIENT_OVERLOADED:
    return 429;
  case VECDB_CLIENT_SCHEMA:
    return 409;
  case VECDB_CLIENT_PROTOCOL:
    return 502;
  case VECDB_CLIENT_NOT_PRIMARY:
  case VECDB_CLIENT_NO_REPLICA:
  case VECDB_CLIENT_UNAVAILABLE:
  case VECDB_CLIENT_NOT_FRESH:
  case VECDB_CLIENT_SOME_SHARDS:
  case VECDB_CLIENT_NO_NODE:
  case VECDB_ERR_BUSY:
  case VECDB_ERR_CANCELLED:
  case VECDB_ERR_NO_MEMORY:
    return 503;
  case VECDB_ERR_DISK_FULL:
    return 507;
  default:
    return code >= VECDB_ERR_NO_MEMORY ? 500 : 400;
  }
}

const char *srv_call_said(struct srv_call *call, const vecdb_error *error) {
  int status = call_status_of(error->code);
  struct srv_line line;
  if (status != 500 && status != 507)
    return error->message;
  if (srv_log_begin(&line, call->server, VECDB_LOG_ERROR, "a request has failed")) {
    srv_line_call(&line, call);
    srv_line_text(&line, "why", error->message);
    srv_log_end(&line, call->server, VECDB_LOG_ERROR);
  }
  return vecdb_status_text(error->code);
}

/* Where the client's text has what is at that place of the filter; -1: it is not known in which of
   several. */
static int64_t call_position(const struct srv_call *call, int64_t position) {
  int64_t longer = 0;
  if (position < 0 || call->filters > 1)
    return -1;
  for (size_t i = 0; i < call->n_rewritten; i++) {
    const struct srv_rewritten *r = &call->rewritten[i];
    if ((size_t)position < r->at)
      break;
    if ((size_t)position < r->at + r->n)
      return (int64_t)r->from;
    longer = (int64_t)(r->at + r->n) - (int64_t)(r->from + r->m);
  }
  return position - longer;
}

void srv_call_error(struct srv_call *call, const vecdb_error *error) {
  const char *name = engine_code_name(error->code), *said = srv_call_said(call, error);
  if (error->code == VECDB_ERR_READ_ONLY && call->denied)
    name = "FORBIDDEN";
  if (call->errors) {
    srv_call_fail(call, call_status_of(error->code), name, "%s", said);
    return;
  }
  json_t *out =
      json_pack("{s:s, s:s%}", "code", name, "message", said, strlen(said));
  if (!out)
    out = json_pack("{s:s, s:s}", "code", name, "message", vecdb_status_text(error->code));
  if (out && error->field[0])
    json_object_set_new(out, "field", json_string(error->field));
  if (out && error->row >= 0)
    json_object_set_new(out, "row", json_integer(error->row));
  const int64_t position = call_position(call, error->position);
  if (out && position >= 0)
    json_object_set_new(out, "position", json_integer(position));
  srv_call_answer(call, call_status_of(error->code), out ? json_pack("{s:o}", "error", out) : NULL);
  if (call->answer)
    call->failed = name;
}

void srv_call_free(struct srv_call *call) {
  json_decref(call->json);
  json_decref(call->answer);
  call->json = call->answer = NULL;
  srv_auth_leave(call);
  srv_arena_free(&call->arena);
}

struct engine_collection *srv_call_collection(struct srv_call *call, const char *name) {
  struct engine_collection *collection;
  vecdb_error error;
  srv_call_about(call, name);
  if (srv_guard_get_collection(call, name, &collection, &error) == VECDB_OK)
    return collection;
  srv_call_error(call, &error);
  return NULL;
}

static bool call_wrong(struct srv_call *call, const char *key, const char *wanted) {
  srv_call_fail(call, 400, "ARGUMENT", "\"%s\" must be %s", key, wanted);
  return false;
}

/* The member, or NULL when it is absent or null. */
static json_t *call_member(json_t *object, const char *key) {
  json_t *member = json_object_get(object, key);
  return json_is_null(member) ? NULL : member;
}

bool srv_take_text(struct srv_call *call, json_t *object, const char *key, const char **out) {
  json_t *member = call_member(object, key);
  if (!member)
    return true;
  if (!json_is_string(member))
    return call_wrong(call, key, "a string");
  *out = json_string_value(member);
  return true;
}

bool srv_take_number(struct srv_call *call, json_t *object, const char *key, uint64_t high,
                     uint64_t *out) {
  json_t *member = call_member(object, key);
  if (!member)
    return true;
  json_int_t value = json_integer_value(member);
  if (!json_is_integer(member) || value < 0 || (uint64_t)value > high) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "an integer from 0 to %llu", (unsigned long long)high);
    return call_wrong(call, key, wanted);
  }
  *out = (uint64_t)value;
  return true;
}

bool srv_take_u32(struct srv_call *call, json_t *object, const char *key, uint32_t *out) {
  uint64_t wide = *out;
  if (!srv_take_number(call, object, key, UINT32_MAX, &wide))
    return false;
  *out = (uint32_t)wide;
  return true;
}

bool srv_take_float(struct srv_call *call, json_t *object, const char *key, float *out) {
  json_t *member = call_member(object, key);
  if (!member)
    return true;
  if (!json_is_number(member))
    return call_wrong(call, key, "a number");
  *out = (float)json_number_value(member);
  return true;
}

bool srv_take_flag(struct srv_call *call, json_t *object, const char *key, bool *out) {
  json_t *member = call_member(object, key);
  if (!member)
    return true;
  if (!json_is_boolean(member))
    return call_wrong(call, key, "true or false");
  *out = json_is_true(member);
  return true;
}

bool srv_take_array(struct srv_call *call, json_t *object, const char *key, json_t **out) {
  json_t *member = call_member(object, key);
  if (!member)
    return true;
  if (!json_is_array(member))
    return call_wrong(call, key, "an array");
  *out = member;
  return true;
}

bool srv_take_names(struct srv_call *call, json_t *object, const char *key, const char *const **out,
                    size_t *n) {
  json_t *array = NULL;
  if (!srv_take_array(call, object, key, &array))
    return false;
  if (!array)
    return true;
  const char **names = srv_arena_array(&call->arena, json_array_size(array) + 1, sizeof *names);
  if (!names) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < json_array_size(array); i++) {
    names[i] = json_string_value(json_array_get(array, i));
    if (!names[i])
      return call_wrong(call, key, "an array of strings");
  }
  *out = names;
  *n = json_array_size(array);
  return true;
}

bool srv_only_keys(struct srv_call *call, json_t *object, const char *const *keys) {
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    size_t i = 0;
    while (keys[i] && strcmp(keys[i], key) != 0)
      i++;
    if (!keys[i]) {
      srv_call_fail(call, 400, "ARGUMENT", "\"%.100s\" is not a known member here", key);
      return false;
    }
  }
  return true;
}
