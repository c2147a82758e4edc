/* json_path.c - the text of a path of JSON; see json_path.h. */
#include "attr/json_path.h"

#include "attr/json.h"

struct json_path {
  const uint8_t *start;
  const uint8_t *at;
  const uint8_t *end;
  const char *field;
  struct vdb_json_path_forms *out;
  vecdb_error *err;
};

static int json_path_fail(const struct json_path *p, const char *what) {
  return vdb_fail_at(p->err, VECDB_ERR_SCHEMA, -1, p->field,
                     "field '%s': an index's path is no path at byte %zu: %s", p->field,
                     (size_t)(p->at - p->start), what);
}

static void json_path_blank(struct json_path *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
    p->at++;
}

static void json_path_put(struct json_path *p, const void *text, size_t n) {
  memcpy(p->out->text + p->out->n_text, text, n);
  p->out->n_text += (uint32_t)n;
}

/* A character of a key, in both forms. */
static void json_path_character(struct json_path *p, const uint8_t *bytes, size_t n) {
  static const char digits[] = "0123456789abcdef";
  char escape[6] = {'\\', 'u', '0', '0'};
  memcpy(p->out->steps + p->out->n_steps, bytes, n);
  p->out->n_steps += (uint32_t)n;
  if (bytes[0] == '"' || bytes[0] == '\\')
    json_path_put(p, "\\", 1);
  escape[4] = digits[bytes[0] >> 4];
  escape[5] = digits[bytes[0] & 15];
  if (bytes[0] < ' ')
    json_path_put(p, escape, sizeof escape);
  else
    json_path_put(p, bytes, n);
}

static int json_path_key(struct json_path *p) {
  uint8_t quote = *p->at++;
  uint32_t head = p->out->n_steps;
  p->out->n_steps += (uint32_t)sizeof head;
  json_path_put(p, "\"", 1);
  while (p->at < p->end && *p->at != quote) {
    uint8_t bytes[4] = {*p->at++};
    size_t n = 1;
    if (bytes[0] == '\\' && p->at < p->end && *p->at == '\'')
      bytes[0] = *p->at++;
    else if (bytes[0] == '\\')
      n = vdb_json_unescape(&p->at, p->end, bytes);
    if (n == 0)
      return json_path_fail(p, "an escape that is none");
    json_path_character(p, bytes, n);
  }
  if (p->at == p->end)
    return json_path_fail(p, "the end of a key is missing");
  p->at++;
  json_path_put(p, "\"", 1);
  uint32_t length = p->out->n_steps - head - (uint32_t)sizeof head;
  memcpy(p->out->steps + head, &length, sizeof length);
  return VECDB_OK;
}

static int json_path_place(struct json_path *p) {
  const uint8_t *first = p->at;
  uint32_t place = 0;
  while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
    place = place * 10 + (uint32_t)(*p->at++ - '0');
    if (place > VECDB_MAX_JSON)
      return vdb_fail_at(p->err, VECDB_ERR_LIMIT, -1, p->field,
                         "field '%s': no array has a place beyond %d", p->field, VECDB_MAX_JSON);
  }
  if (p->at == first || (*first == '0' && p->at > first + 1))
    return json_path_fail(p, "a key in quotes or a place from 0 is expected");
  json_path_put(p, first, (size_t)(p->at - first));
  place |= VDB_JSON_PLACE;
  memcpy(p->out->steps + p->out->n_steps, &place, sizeof place);
  p->out->n_steps += (uint32_t)sizeof place;
  return VECDB_OK;
}

static int json_path_step(struct json_path *p) {
  if (*p->at != '[')
    return json_path_fail(p, "'[' is expected");
  p->at++;
  json_path_put(p, "[", 1);
  json_path_blank(p);
  bool key = p->at < p->end && (*p->at == '"' || *p->at == '\'');
  VDB_TRY(key ? json_path_key(p) : json_path_place(p));
  json_path_blank(p);
  if (p->at == p->end || *p->at != ']')
    return json_path_fail(p, "']' is expected");
  p->at++;
  json_path_put(p, "]", 1);
  json_path_blank(p);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_json_path_parse(const char *field, const char *path,
                                     struct vdb_json_path_forms *out, vecdb_error *err) {
  if (!path)
    return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, field, "field '%s': an index has no path", field);
  size_t n = strlen(path), name = strlen(field);
  if (n > VECDB_MAX_JSON_PATH)
    return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, field,
                       "field '%s': the path of an index has %zu bytes, at most %d", field, n,
                       VECDB_MAX_JSON_PATH);
  if (!vdb_utf8_valid(path, n))
    return vdb_fail_at(err, VECDB_ERR_UTF8, -1, field,
                       "field '%s': the path of an index is not valid UTF-8", field);
  const uint8_t *start = (const uint8_t *)path;
  struct json_path p = {start, start, start + n, field, out, err};
  out->n_text = out->n_steps = 0;
  if (n > name && memcmp(path, field, name) == 0)
    p.at += name;
  json_path_blank(&p);
  if (p.at == p.end)
    return json_path_fail(&p, "'[' is expected");
  for (uint32_t steps = 0; p.at < p.end; steps++) {
    if (steps == VECDB_MAX_JSON_DEPTH)
      return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, field,
                         "field '%s': the path of an index has more than %d steps", field,
                         VECDB_MAX_JSON_DEPTH);
    VDB_TRY(json_path_step(&p));
  }
  if (out->n_text > VECDB_MAX_JSON_PATH)
    return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, field,
                       "field '%s': the path of an index is too long with its escapes", field);
  out->text[out->n_text] = '\0';
  return VECDB_OK;
}
