/* etcd_json.c - what is said to etcd's JSON gateway, and understood of it; see etcd_json.h. */
#include "meta/etcd_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/base64.h"

/* ---- Writing ---- */

static void json_number(struct http_buffer *out, const char *name, int64_t number) {
  char text[96];
  snprintf(text, sizeof text, ",\"%s\":\"%" PRId64 "\"", name, number);
  http_add_text(out, text);
}

static void json_bytes(struct http_buffer *out, const char *before, struct meta_bytes in) {
  char text[4 * 300 + 1];
  http_add_text(out, before);
  http_add_text(out, "\"");
  for (size_t i = 0; i < in.n; i += 900) {
    size_t n = in.n - i < 900 ? in.n - i : 900;
    base64_write((const char *)in.data + i, n, text);
    http_add(out, text, base64_length(n));
  }
  http_add_text(out, "\"");
}

static void json_compare(struct http_buffer *out, const struct meta_compare *c) {
  static const char *const targets[] = {"CREATE", "MOD", "VERSION", "LEASE", "VALUE"};
  static const char *const numbers[] = {"create_revision", "mod_revision", "version", "lease"};
  static const char *const relations[] = {"EQUAL", "NOT_EQUAL", "LESS", "GREATER"};
  json_bytes(out, "{\"key\":", c->key);
  http_add_text(out, ",\"target\":\"");
  http_add_text(out, targets[c->target]);
  http_add_text(out, "\",\"result\":\"");
  http_add_text(out, relations[c->relation]);
  http_add_text(out, "\"");
  if (c->target == META_VALUE)
    json_bytes(out, ",\"value\":", c->value);
  else
    json_number(out, numbers[c->target], c->number);
  http_add_text(out, "}");
}

static void json_op(struct http_buffer *out, const struct meta_op *op) {
  static const char *const names[] = {"request_put", "request_delete_range", "request_range"};
  http_add_text(out, "{\"");
  http_add_text(out, names[op->kind]);
  json_bytes(out, "\":{\"key\":", op->key);
  if (op->kind == META_PUT) {
    json_bytes(out, ",\"value\":", op->value);
    json_number(out, "lease", op->lease);
  } else if (op->end.n) {
    json_bytes(out, ",\"range_end\":", op->end);
  }
  if (op->kind == META_GET) {
    json_number(out, "revision", op->revision);
    json_number(out, "limit", op->limit ? op->limit : META_GET_MAX);
    http_add_text(out, op->keys_only ? ",\"keys_only\":true" : "");
  }
  http_add_text(out, "}}");
}

static void json_branch(struct http_buffer *out, const char *name, const struct meta_op *ops,
                        size_t n) {
  http_add_text(out, name);
  for (size_t i = 0; i < n; i++) {
    http_add_text(out, i ? "," : "");
    json_op(out, &ops[i]);
  }
  http_add_text(out, "]");
}

void etcd_write_txn(struct http_buffer *out, const struct meta_txn *txn) {
  http_add_text(out, "{\"compare\":[");
  for (size_t i = 0; i < txn->n_compares; i++) {
    http_add_text(out, i ? "," : "");
    json_compare(out, &txn->compares[i]);
  }
  json_branch(out, "],\"success\":[", txn->then, txn->n_then);
  json_branch(out, ",\"failure\":[", txn->otherwise, txn->n_otherwise);
  http_add_text(out, "}");
}

void etcd_write_number(struct http_buffer *out, const char *name, int64_t number) {
  char text[96];
  snprintf(text, sizeof text, "{\"%s\":\"%" PRId64 "\"}", name, number);
  http_add_text(out, text);
}

void etcd_write_watch(struct http_buffer *out, struct meta_bytes key, struct meta_bytes end,
                      int64_t revision) {
  json_bytes(out, "{\"create_request\":{\"key\":", key);
  if (end.n)
    json_bytes(out, ",\"range_end\":", end);
  json_number(out, "start_revision", revision);
  http_add_text(out, "}}");
}

/* ---- Reading. Numbers of 64 bits come as texts; what is zero, empty or false is left out. ---- */

static int64_t json_read_number(json_t *object, const char *name) {
  json_t *value = json_object_get(object, name);
  if (json_is_string(value))
    return strtoll(json_string_value(value), NULL, 10);
  return json_integer_value(value);
}

/* The named bytes, decoded to *at, which is moved behind them. */
static bool json_read_bytes(json_t *object, const char *name, char **at, struct meta_bytes *out) {
  json_t *value = json_object_get(object, name);
  *out = (struct meta_bytes){*at, 0};
  if (!value)
    return true;
  if (!json_is_string(value) ||
      !base64_read(json_string_value(value), json_string_length(value), *at, &out->n))
    return false;
  *at += out->n;
  return true;
}

static bool json_read_kv(json_t *object, char **at, struct meta_kv *out) {
  out->create_revision = json_read_number(object, "create_revision");
  out->mod_revision = json_read_number(object, "mod_revision");
  out->version = json_read_number(object, "version");
  out->lease = json_read_number(object, "lease");
  return json_is_object(object) && json_read_bytes(object, "key", at, &out->key) &&
         json_read_bytes(object, "value", at, &out->value);
}

static enum meta_status json_status(int64_t code, const char *text) {
  static const struct {
    const char *part;
    enum meta_status status;
  } known[] = {{"compacted", META_COMPACTED},      {"future revision", META_INVALID},
               {"lease not found", META_NO_LEASE}, {"space exceeded", META_FULL},
               {"too large", META_LIMIT},          {"too many requests", META_UNAVAILABLE},
               {"no leader", META_UNAVAILABLE},    {"permission denied", META_DENIED}};
  enum { CODE_INVALID = 3, CODE_DENIED = 7, CODE_UNAUTHENTICATED = 16 };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strstr(text, known[i].part))
      return known[i].status;
  if (code == CODE_DENIED || code == CODE_UNAUTHENTICATED)
    return META_DENIED;
  return code == CODE_INVALID ? META_INVALID : META_UNKNOWN;
}

/* Whether the object is an error, and which. */
static bool json_error(json_t *object, enum meta_status *status, const char **message) {
  json_t *text = json_object_get(object, "error");
  int64_t code = json_read_number(object, "code");
  if (json_is_object(text)) { /* in a stream it is one level further in */
    code = json_read_number(text, "grpc_code");
    text = json_object_get(text, "message");
  }
  if (!json_is_string(text))
    return false;
  *status = json_status(code, json_string_value(text));
  *message = json_string_value(text);
  return true;
}

static bool json_read_range(json_t *object, char **at, struct meta_kv **kvs,
                            struct meta_answer *out) {
  json_t *list = json_object_get(object, "kvs");
  out->kvs = *kvs;
  out->n = json_array_size(list);
  out->count = json_read_number(object, "count");
  out->more = json_is_true(json_object_get(object, "more"));
  for (size_t i = 0; i < out->n; i++)
    if (!json_read_kv(json_array_get(list, i), at, (*kvs)++))
      return false;
  return true;
}

/* How many keys all answers have together. */
static size_t json_count_kvs(json_t *list) {
  size_t total = 0;
  for (size_t i = 0; i < json_array_size(list); i++)
    total += json_array_size(
        json_object_get(json_object_get(json_array_get(list, i), "response_range"), "kvs"));
  return total;
}

static bool json_read_txn(size_t n, struct etcd_answer *out) {
  json_t *list = json_object_get(out->root, "responses");
  size_t answers = json_array_size(list);
  out->bytes = malloc(n + 1);
  out->kvs = calloc(json_count_kvs(list) + 1, sizeof *out->kvs);
  out->answers = calloc(answers + 1, sizeof *out->answers);
  if (!out->bytes || !out->kvs || !out->answers)
    return false;
  char *at = out->bytes;
  struct meta_kv *kvs = out->kvs;
  for (size_t i = 0; i < answers; i++) {
    json_t *item = json_array_get(list, i), *range = json_object_get(item, "response_range");
    json_t *deleted = json_object_get(item, "response_delete_range");
    if (range && !json_read_range(range, &at, &kvs, &out->answers[i]))
      return false;
    if (deleted)
      out->answers[i].count = json_read_number(deleted, "deleted");
  }
  out->result.succeeded = json_is_true(json_object_get(out->root, "succeeded"));
  out->result.answers = out->answers;
  out->result.n_answers = answers;
  return true;
}

static void json_read_lease(enum etcd_kind kind, struct etcd_answer *out) {
  json_t *inner = json_object_get(out->root, "result");
  json_t *from = inner ? inner : out->root;
  out->result.lease = json_read_number(from, "ID");
  out->result.ttl_us = 1000000 * json_read_number(from, "TTL");
  if (out->result.ttl_us > 0 && out->result.lease > 0)
    return;
  /* A lease that is gone is kept with no time to live. */
  out->result.status = kind == ETCD_KEEP && inner ? META_NO_LEASE : META_UNKNOWN;
}

void etcd_read_answer(enum etcd_kind kind, char *text, size_t n, struct etcd_answer *out) {
  json_error_t fault;
  *out = (struct etcd_answer){.result = {.message = "ok"}};
  out->root = json_loadb(text, n, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &fault);
  if (!json_is_object(out->root)) {
    out->result.status = META_UNKNOWN;
    out->result.message = "etcd's answer is not JSON";
    return;
  }
  if (json_error(out->root, &out->result.status, &out->result.message))
    return;
  json_t *inner = json_object_get(out->root, "result");
  json_t *header = json_object_get(inner ? inner : out->root, "header");
  out->result.revision = json_read_number(header, "revision");
  if (!header)
    out->result.status = META_UNKNOWN;
  else if (kind == ETCD_GRANT || kind == ETCD_KEEP)
    json_read_lease(kind, out);
  else if (kind == ETCD_TXN && !json_read_txn(n, out))
    out->result.status = META_UNKNOWN;
  if (out->result.status)
    out->result.message = meta_status_name(out->result.status);
}

void etcd_answer_free(struct etcd_answer *answer) {
  json_decref(answer->root);
  free(answer->bytes);
  free(answer->kvs);
  free(answer->answers);
}

static bool json_read_events(json_t *list, size_t n, struct etcd_line *out) {
  size_t events = json_array_size(list);
  out->bytes = malloc(n + 1);
  out->events = calloc(events + 1, sizeof *out->events);
  if (!out->bytes || !out->events)
    return false;
  char *at = out->bytes;
  for (; out->n < events; out->n++) {
    json_t *item = json_array_get(list, out->n), *type = json_object_get(item, "type");
    struct meta_event *event = &out->events[out->n];
    event->deleted = json_is_string(type) && strcmp(json_string_value(type), "DELETE") == 0;
    if (!json_read_kv(json_object_get(item, "kv"), &at, &event->kv))
      return false;
  }
  return true;
}

void etcd_read_line(const char *text, size_t n, struct etcd_line *out) {
  json_error_t fault;
  const char *message = "the watch was ended by etcd";
  *out = (struct etcd_line){0};
  json_t *root = json_loadb(text, n, JSON_ALLOW_NUL, &fault);
  json_t *result = json_object_get(root, "result");
  if (json_error(root, &out->status, &message)) {
    out->cancelled = true;
  } else if (!json_is_object(result)) {
    out->broken = true;
  } else {
    out->created = json_is_true(json_object_get(result, "created"));
    out->cancelled = json_is_true(json_object_get(result, "canceled"));
    out->compacted = json_read_number(result, "compact_revision");
    out->revision = json_read_number(json_object_get(result, "header"), "revision");
    json_t *reason = json_object_get(result, "cancel_reason");
    message = json_is_string(reason) ? json_string_value(reason) : message;
    out->broken = !json_read_events(json_object_get(result, "events"), n, out);
  }
  if (out->compacted)
    out->status = META_COMPACTED;
  snprintf(out->message, sizeof out->message, "%s", message);
  json_decref(root);
}

void etcd_line_free(struct etcd_line *line) {
  free(line->events);
  free(line->bytes);
}
