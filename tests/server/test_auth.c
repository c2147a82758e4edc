/*
 * test_auth.c - who may ask what: each route of the tables with nobody, with somebody of another
 * role and with the right one; that the answer no comes before the body does, and that the audit
 * log has each; files of keys and roles that are wrong, or that change; and where the server
 * refuses to start.
 * TSAN: yes
 */
#include "server/auth_cache.h"
#include "server/authtest.h"
#include "server/line.h"
#include "server/milvus.h"
#include "server/qdrant.h"
#include "server/routes.h"
#include "server/rpctest.h"

static const char policy[] = "; roles for the test\n"
                             "[role curator]\nadmin = *\n"
                             "[role limited]\nread = other_*, elsewhere\nwrite = other_*\n"
                             "admin = other_*\n"
                             "[role partly]\nadmin = other_*\n";

static void key_file(char *text) {
  *text = '\0';
  auth_key(text, "reader", "reader", NULL);
  auth_key(text, "writer", "writer", NULL);
  auth_key(text, "admin", "admin", NULL);
  auth_key(text, "monitor", "monitor", NULL);
  auth_key(text, "curator", "curator", NULL);
  auth_key(text, "limited", "limited", NULL);
  auth_key(text, "bound", "admin, writer", "acme");
  auth_key(text, "nobody", "unheard-of", NULL);
  auth_key(text, "partly", "partly", NULL);
  static const char *const roles[] = {"reader", "writer", "admin", "curator", "monitor", "partly"};
  for (int i = 0; i < 6; i++) {
    char name[32];
    snprintf(name, sizeof name, "bound-%s", roles[i]);
    auth_key(text, name, roles[i], "acme");
  }
  auth_key(text, "bound-nobody", "unheard-of", "acme");
}

static int setup(void **state) {
  static char keys[8192];
  struct secured *s = calloc(1, sizeof *s);
  key_file(keys);
  auth_init(s, keys, policy);
  snprintf(s->web.config.milvus, sizeof s->web.config.milvus, "127.0.0.1:0");
  web_start(&s->web);
  *state = s;
  return 0;
}

/* ---- Routes over HTTP ------------------------------------------------------------------------ */

/* A route's path with something in the place of each {name}. */
static void path_of(const struct srv_route *route, const char *collection, char *out) {
  for (const char *at = route->path; *at;) {
    if (*at != '{') {
      *out++ = *at++;
      continue;
    }
    out += sprintf(out, "%s", strncmp(at, "{collection}", 12) == 0 ? collection : "1");
    at += strcspn(at, "}") + 1;
  }
  *out = '\0';
}

/* Sends headers that promise a body, and at most `body` of it; the status of what comes. */
static int ask(const struct web *w, const struct srv_route *route, const char *collection,
               const char *header, const char *body) {
  char path[256], request[4096], answer[64];
  size_t got = 0;
  int status = 0, fd = web_connect(w);
  path_of(route, collection, path);
  int n = snprintf(request, sizeof request,
                   "%s %s HTTP/1.1\r\nHost: h\r\n%s%s%sContent-Length: %d\r\n\r\n%s", route->method,
                   path, header ? header : "", header ? "\r\n" : "",
                   body ? "" : "Expect: 100-continue\r\n", body ? (int)strlen(body) : 50000,
                   body ? body : "");
  assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
  while (got < 12) {
    ssize_t r = recv(fd, answer + got, sizeof answer - 1 - got, 0);
    if (r <= 0)
      break;
    got += (size_t)r;
  }
  answer[got] = '\0';
  close(fd);
  return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* Who may, and who may just not. NULL: nobody who is known may not. */
static const struct {
  const char *right, *wrong;
} who[] = {
    [SRV_PUBLIC] = {NULL, NULL},
    [SRV_KNOWN] = {"api-key: nobody-secret", NULL},
    [SRV_READ] = {"api-key: reader-secret", "api-key: monitor-secret"},
    [SRV_WRITE] = {"Authorization: Bearer writer-secret", "api-key: reader-secret"},
    [SRV_ADMIN] = {"Authorization: Bearer curator:curator-secret", "api-key: writer-secret"},
    [SRV_MONITOR] = {"api-key: monitor-secret", "api-key: curator-secret"},
    [SRV_OPERATE] = {"api-key: admin-secret", "api-key: curator-secret"},
};

/* Headers that nobody is known by. */
static const char *const strangers[] = {
    NULL,
    "Authorization: Bearer",
    "Authorization: Bearer ",
    "Authorization: Bearer nonsense",
    "Authorization: reader-secret",
    "Authorization: Basic cmVhZGVyOnJlYWRlci1zZWNyZXQ=",
    "Authorization: Bearer writer:reader-secret",
    "Authorization: Bearer a.b.c",
    "api-key: ",
    "api-key: reader-secre",
    "api-key: reader-secret2",
    "api-key: reader-secret\r\nAuthorization: Bearer reader-secret",
    "api-key: reader-secret\r\nApi-Key: admin-secret",
    "Authorization: Bearer admin-secret\r\nauthorization: Bearer reader-secret",
    "X-Identity: admin",
};

static void walk(const struct web *w, const struct srv_route *route) {
  enum srv_permission p = route->permission;
  if (p == SRV_PUBLIC) {
    assert_int_equal(ask(w, route, "docs", NULL, ""), 200);
    return;
  }
  for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
    if (ask(w, route, "docs", strangers[i], NULL) != 401)
      fail_msg("%s %s is not closed to %s", route->method, route->path, strangers[i]);
  if (who[p].wrong && ask(w, route, "docs", who[p].wrong, NULL) != 403)
    fail_msg("%s %s is not closed to %s", route->method, route->path, who[p].wrong);
  int status = ask(w, route, "docs", who[p].right, route->body == SRV_BODY_NONE ? "" : "{}");
  if (status == 0 || status == 401 || status == 403)
    fail_msg("%s %s answers %d to %s", route->method, route->path, status, who[p].right);
  bool common = p == SRV_ADMIN || p == SRV_OPERATE || p == SRV_MONITOR;
  if (common && ask(w, route, "docs", "api-key: bound-secret", NULL) != 403)
    fail_msg("%s %s is not closed to a tenant", route->method, route->path);
  if (strstr(route->path, "{collection}") &&
      ask(w, route, "docs", "api-key: limited-secret", NULL) != 403)
    fail_msg("%s %s is open beyond what is granted", route->method, route->path);
}

static void test_routes(void **state) {
  const struct secured *s = *state;
  size_t n = 0;
  for (const struct srv_route *route; (route = srv_route_at(n)) != NULL; n++)
    walk(&s->web, route);
  assert_true(n >= 60);
}

/* ---- Every cell ------------------------------------------------------------------------------ */

/* Roles, and what each may, written out. 0: nothing, else the highest of reading, writing and
   administering. */
static const struct cell_role {
  const char *name;
  enum srv_permission most;
  bool some; /* only on collections whose names the library begins with "other_" */
  bool monitor, operate;
} cell_roles[] = {
    {"nobody", SRV_PUBLIC, false, false, false}, {"reader", SRV_READ, false, false, false},
    {"writer", SRV_WRITE, false, false, false},  {"admin", SRV_ADMIN, false, true, true},
    {"curator", SRV_ADMIN, false, false, false}, {"monitor", SRV_PUBLIC, false, true, false},
    {"partly", SRV_ADMIN, true, false, false},
};

/* One who asks: a role or, NULL, somebody who is not known. */
struct cell {
  const struct cell_role *role;
  bool bound;   /* to a tenant */
  bool require; /* the settings want everybody but administrators to be */
  const char *collection, *api;
};

static bool cell_granted(const struct cell *c, const struct srv_route *route) {
  const struct cell_role *role = c->role;
  bool named = strstr(route->path, "{collection}") != NULL;
  bool other = strncmp(c->collection, "other_", 6) == 0 && strcmp(c->api, "qdrant") != 0;
  return role->most >= route->permission && (!role->some || !named || other);
}

static int cell_status(const struct cell *c, const struct srv_route *route) {
  const struct cell_role *role = c->role;
  enum srv_permission p = route->permission;
  if (p == SRV_PUBLIC)
    return 0;
  if (!role)
    return 401;
  if (c->bound && (p == SRV_ADMIN || p == SRV_MONITOR || p == SRV_OPERATE))
    return 403;
  if (!c->bound && c->require && (role->most != SRV_ADMIN || role->some))
    return 403;
  if (p == SRV_MONITOR || p == SRV_OPERATE)
    return p == SRV_MONITOR ? (role->monitor ? 0 : 403) : (role->operate ? 0 : 403);
  return p == SRV_KNOWN || cell_granted(c, route) ? 0 : 403;
}

static void cell_check(struct srv_server *server, const struct cell *c,
                       const struct srv_route *route, const char *key) {
  struct srv_call call = {.server = server, .route = route};
  const struct srv_credentials shown = {.api_key = key};
  char collection[32];
  snprintf(collection, sizeof collection, "%s", c->collection);
  call.args[0] = collection;
  call.errors = strcmp(c->api, "qdrant") == 0 ? srv_qdrant_error : NULL;
  bool may = srv_authorize(&call, &shown);
  int wanted = cell_status(c, route);
  if (may != (wanted == 0) || call.status != wanted)
    fail_msg("%s %s, %s, %s: %d, not %d", route->method, route->path, key ? key : "no key",
             c->collection, call.status, wanted);
  srv_call_free(&call);
}

/* Each route and method beside each role: of no tenant, bound to one, of no one who is known. */
static size_t cells_of(struct srv_server *server, struct cell *c, const struct srv_route *route) {
  enum { ROLES = sizeof cell_roles / sizeof cell_roles[0] };
  c->role = NULL;
  c->bound = false;
  cell_check(server, c, route, NULL);
  cell_check(server, c, route, "admin-secret ");
  for (size_t r = 0; r < ROLES; r++) {
    char key[64];
    c->role = &cell_roles[r];
    for (int bound = 0; bound < 2; bound++) {
      c->bound = bound;
      snprintf(key, sizeof key, "%s%s-secret", bound ? "bound-" : "", c->role->name);
      cell_check(server, c, route, key);
    }
  }
  return 2 + 2 * ROLES;
}

static void test_cells(void **state) {
  struct secured *s = *state;
  struct srv_server *server = s->web.server;
  struct cell c = {0};
  size_t cells = 0;
  for (int require = 0; require < 2; require++) {
    c.require = require;
    snprintf(server->config.require_tenant, sizeof server->config.require_tenant, "%s",
             require ? "yes" : "no");
    for (int other = 0; other < 2; other++) {
      const struct srv_route *route;
      c.collection = other ? "other_1" : "docs";
      for (size_t i = 0; (route = srv_route_numbered(i, &c.api)) != NULL; i++)
        cells += cells_of(server, &c, route);
    }
  }
  assert_true(cells >= 7000);
}

/* security.public_metrics opens this one page. */
static void test_public_metrics(void **state) {
  const struct secured *s = *state;
  struct srv_server *server = s->web.server;
  static const struct srv_route page = {"GET", "/metrics", SRV_MONITOR, SRV_BODY_NONE, true, NULL};
  static const struct srv_route memory = {"GET",         "/v1/memory", SRV_MONITOR,
                                          SRV_BODY_NONE, false,        NULL};
  for (int open = 0; open < 2; open++) {
    snprintf(server->config.public_metrics, sizeof server->config.public_metrics, "%s",
             open ? "yes" : "no");
    assert_int_equal(ask(&s->web, &page, "", NULL, ""), open ? 200 : 401);
    assert_int_equal(ask(&s->web, &memory, "", NULL, ""), 401);
  }
}

/* Grants name collections as the library does, and the copies of them. */
static void test_grants(void **state) {
  const struct secured *s = *state;
  static const struct srv_route read = {"GET", "/v1/collections/{collection}/stats", SRV_READ,
                                        SRV_BODY_NONE, false, NULL};
  static const struct srv_route qdrant = {"GET", "/collections/{collection}", SRV_READ,
                                          SRV_BODY_NONE, false, NULL};
  static const struct {
    const char *name;
    int status;
  } names[] = {{"other_1", 404},     {"other_", 404},      {"elsewhere", 404}, {"elsewhere-2", 404},
               {"elsewhere-x", 403}, {"elsewhere2", 403},  {"other", 403},     {"Other_1", 403},
               {"x_other_1", 403},   {"elsewhere-", 403}, {"%6fther_1", 404}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    assert_int_equal(ask(&s->web, &read, names[i].name, "api-key: limited-secret", ""),
                     names[i].status);
  assert_int_equal(ask(&s->web, &qdrant, "other_1", "api-key: limited-secret", ""), 403);
}

/* ---- Methods over gRPC ----------------------------------------------------------------------- */

static ssize_t never(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t size,
                     uint32_t *flags, nghttp2_data_source *source, void *user) {
  (void)session, (void)stream, (void)buffer, (void)size, (void)flags, (void)source, (void)user;
  return NGHTTP2_ERR_DEFERRED;
}

/* Calls with what `plain` is in base64, shown so many times; without a message when `silent`. The
   status. */
static int rpc_ask(const struct web *w, const char *name, const char *plain, unsigned shown,
                   bool silent) {
  struct rpc c;
  char path[128], authorization[4096] = "";
  static const uint8_t empty[5] = {0};
  snprintf(path, sizeof path, SERVICE "%s", name);
  auth_base64(plain, authorization);
  rpc_open(w, &c);
  struct rpc_call *call = &c.calls[c.n_calls++];
  call->body = empty;
  call->n = sizeof empty;
  nghttp2_nv headers[] = {RPC_HEADER(":method", "POST"), RPC_HEADER(":scheme", "http"),
                          RPC_HEADER(":path", path), RPC_HEADER(":authority", "localhost"),
                          RPC_HEADER("content-type", "application/grpc"),
                          RPC_HEADER("authorization", authorization),
                          RPC_HEADER("authorization", authorization)};
  nghttp2_data_provider data = {.source.ptr = call, .read_callback = silent ? never : rpc_fill};
  call->stream = nghttp2_submit_request(c.session, NULL, headers, 5 + shown, &data, NULL);
  nghttp2_session_send(c.session);
  rpc_await(&c, 1);
  int status = atoi(call->status);
  rpc_end(&c);
  return status;
}

static void test_methods(void **state) {
  const struct secured *s = *state;
  static const struct {
    const char *right, *wrong;
  } callers[] = {
      [SRV_KNOWN] = {"nobody-secret", NULL},
      [SRV_READ] = {"reader:reader-secret", "monitor-secret"},
      [SRV_WRITE] = {"writer-secret", "reader-secret"},
      [SRV_ADMIN] = {"curator-secret", "writer-secret"},
      [SRV_OPERATE] = {"admin-secret", "curator-secret"},
  };
  size_t n = 0;
  for (const struct srv_route *route; (route = srv_milvus_route_at(n)) != NULL; n++) {
    enum srv_permission p = route->permission;
    assert_true(p == SRV_KNOWN || callers[p].wrong); /* nothing is public, and all are known here */
    assert_int_equal(rpc_ask(&s->web, route->path, "", 0, true), 16);
    assert_int_equal(rpc_ask(&s->web, route->path, "root:Milvus", 1, true), 16);
    assert_int_equal(rpc_ask(&s->web, route->path, "reader-secret\n", 1, true), 16);
    assert_int_equal(rpc_ask(&s->web, route->path, "admin-secret", 2, true), 16);
    if (callers[p].wrong)
      assert_int_equal(rpc_ask(&s->web, route->path, callers[p].wrong, 1, true), 7);
    if (p == SRV_ADMIN || p == SRV_OPERATE)
      assert_int_equal(rpc_ask(&s->web, route->path, "bound-secret", 1, true), 7);
    int status = rpc_ask(&s->web, route->path, callers[p].right, 1, false);
    assert_true(status != 16 && status != 7);
  }
  assert_true(n >= 48);
}

/* A call with up to three texts, as the fields 2 to 4; whether the reply has this in it. */
static bool rpc_tells(const struct web *w, const char *method, const char *key,
                      const char *const *texts, const char *wanted) {
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  uint8_t body[256];
  char authorization[256], path[128];
  for (uint32_t i = 0; texts[i]; i++)
    srv_pb_text(&out, 2 + i, texts[i]);
  size_t n = rpc_framed(&out, body, sizeof body);
  srv_arena_free(&arena);
  auth_base64(key, authorization);
  snprintf(path, sizeof path, SERVICE "%s", method);
  struct rpc_call reply = rpc_expect(w, "0", path, "authorization", authorization, body, n);
  return memmem(reply.reply, reply.n_reply, wanted, strlen(wanted)) != NULL;
}

/* An alias is told to those alone who may read its collection. */
static void test_aliases(void **state) {
  struct secured *s = *state;
  struct web *w = &s->web;
  static const char *const all[] = {"default", NULL}, *const alias[] = {"", "hush", NULL};
  static const char *const hush[] = {"", "docs", "hush", NULL};
  static const char *const open[] = {"", "other_1", "shout", NULL};
  w->header = "api-key: admin-secret";
  static const char *const bodies[] = {"{\"collectionName\": \"docs\", \"dimension\": 2}",
                                       "{\"collectionName\": \"other_1\", \"dimension\": 2}"};
  for (int i = 0; i < 2; i++)
    web_do(w, 200, "POST", "/v2/vectordb/collections/create", bodies[i]);
  rpc_tells(w, "CreateAlias", "admin-secret", hush, "");
  rpc_tells(w, "CreateAlias", "admin-secret", open, "");
  assert_true(rpc_tells(w, "ListAliases", "reader-secret", all, "hush"));
  assert_true(rpc_tells(w, "DescribeAlias", "reader-secret", alias, "docs"));
  assert_true(rpc_tells(w, "ListAliases", "limited-secret", all, "shout"));
  assert_false(rpc_tells(w, "ListAliases", "limited-secret", all, "hush"));
  assert_false(rpc_tells(w, "DescribeAlias", "limited-secret", alias, "docs"));
}

/* ---- The audit log --------------------------------------------------------------------------- */

/* The next record, which tells of this route, collection ("": none), subject and tenant. */
static void expect_record(FILE *log, const struct srv_route *route, const char *collection,
                          const char *subject, const char *tenant) {
  char line[2 * SRV_LINE];
  const char *got[5];
  static const char *const names[] = {"method", "route", "subject", "tenant", "collection"};
  const char *const wanted[] = {route->method, route->path, subject, tenant, collection};
  if (!fgets(line, sizeof line, log))
    fail_msg("%s %s has no record", route->method, route->path);
  json_t *json = json_loads(line, 0, NULL);
  for (size_t i = 0; i < 5; i++) {
    got[i] = json_string_value(json_object_get(json, names[i]));
    if (wanted[i] && strcmp(got[i] ? got[i] : "", wanted[i]) != 0)
      fail_msg("\"%s\" is not \"%s\": %s", names[i], wanted[i], line);
  }
  json_decref(json);
}

static FILE *audit_log(const struct web *w) {
  char path[600], line[2 * SRV_LINE];
  snprintf(path, sizeof path, "%s/audit-00000000000000000001.log", w->config.audit_path);
  FILE *log = fopen(path, "r");
  assert_non_null(log);
  assert_non_null(fgets(line, sizeof line, log)); /* the record of the start */
  return log;
}

static void with_audit_log(struct secured *s) {
  struct srv_config *c = &s->web.config;
  web_stop(&s->web);
  snprintf(c->audit_path, sizeof c->audit_path, "%.60s/audit", s->web.folder);
  web_start(&s->web);
}

static bool is_audited(const struct srv_route *route) {
  enum srv_permission p = route->permission;
  return p == SRV_READ || p == SRV_WRITE || p == SRV_ADMIN || p == SRV_OPERATE;
}

/* Each route of each dialect, over HTTP and gRPC, asked by somebody of a tenant: what reads, writes
   or administers has its record, permitted or not. */
static void test_audited(void **state) {
  struct secured *s = *state;
  const struct srv_route *route;
  const char *api;
  size_t n_http = 0, n = 0;
  with_audit_log(s);
  while (srv_route_at(n_http))
    n_http++;
  for (n = 0; (route = srv_route_numbered(n, &api)) != NULL; n++) {
    if (!is_audited(route))
      continue;
    if (n < n_http)
      ask(&s->web, route, "docs", "api-key: bound-writer-secret",
          route->body == SRV_BODY_NONE ? "" : "{}");
    else
      rpc_ask(&s->web, route->path, "bound-writer-secret", 1, false);
  }
  web_stop(&s->web);
  FILE *log = audit_log(&s->web);
  for (n = 0; (route = srv_route_numbered(n, &api)) != NULL; n++)
    if (is_audited(route))
      expect_record(log, route, NULL, "bound-writer", "acme");
  assert_int_equal(fgetc(log), EOF);
  fclose(log);
  web_start(&s->web);
}

/* Over gRPC the message names the collection in its field 3, a new one's too. */
static void rpc_about(const struct web *w, const char *method, const char *name) {
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  uint8_t frame[256];
  char path[128];
  struct rpc c;
  srv_pb_text(&out, 3, name);
  snprintf(path, sizeof path, SERVICE "%s", method);
  char authorization[128];
  auth_base64("admin-secret", authorization);
  size_t n = rpc_framed(&out, frame, sizeof frame);
  rpc_open(w, &c);
  assert_non_null(rpc_submit(&c, path, "application/grpc", "authorization", authorization, frame,
                             n));
  rpc_await(&c, 1);
  rpc_end(&c);
  srv_arena_free(&arena);
}

/* A collection's life in each dialect: the record says which it was. */
static void test_audited_names(void **state) {
  struct secured *s = *state;
  static const struct {
    struct srv_route route; /* its method and path, as the record has them */
    const char *path, *collection, *body;
  } asked[] = {
#define LIFE(method, path, at, name, body) {{method, path, SRV_READ, SRV_BODY_JSON, false, NULL}, \
                                            at, name, body}
      LIFE("POST", "/v1/collections", "/v1/collections", "docs", "{\"name\": \"docs\"}"),
      LIFE("POST", "/v1/collections/{collection}/search", "/v1/collections/docs/search", "docs",
           "{}"),
      LIFE("POST", "/v1/collections/{collection}/rows/delete",
           "/v1/collections/docs/rows/delete", "docs", "{}"),
      LIFE("DELETE", "/v1/collections/{collection}", "/v1/collections/docs", "docs", ""),
      LIFE("PUT", "/collections/{collection}", "/collections/docs", "qdrant_docs", "{}"),
      LIFE("POST", "/collections/{collection}/points/query", "/collections/docs/points/query",
           "qdrant_docs", "{}"),
      LIFE("POST", "/collections/{collection}/points/delete", "/collections/docs/points/delete",
           "qdrant_docs", "{}"),
      LIFE("DELETE", "/collections/{collection}", "/collections/docs", "qdrant_docs", ""),
#define MILVUS(path) LIFE("POST", path, path, "docs", "{\"collectionName\": \"docs\"}")
      MILVUS("/v2/vectordb/collections/create"),
      MILVUS("/v2/vectordb/entities/search"),
      MILVUS("/v2/vectordb/entities/delete"),
      MILVUS("/v2/vectordb/collections/drop"),
#define RPC(name) LIFE(SRV_METHOD_GRPC, name, name, "docs", NULL)
      RPC("CreateCollection"), RPC("Search"), RPC("Delete"), RPC("DropCollection"),
  };
  enum { N = sizeof asked / sizeof asked[0] };
  with_audit_log(s);
  for (size_t i = 0; i < N; i++) {
    struct srv_route route = {asked[i].route.method, asked[i].path, SRV_READ, SRV_BODY_JSON, false,
                              NULL};
    if (asked[i].body)
      assert_in_range(ask(&s->web, &route, "", "api-key: admin-secret", asked[i].body), 200, 500);
    else
      rpc_about(&s->web, asked[i].path, "docs");
  }
  web_stop(&s->web);
  FILE *log = audit_log(&s->web);
  for (size_t i = 0; i < N; i++)
    expect_record(log, &asked[i].route, asked[i].collection, "admin", "");
  assert_int_equal(fgetc(log), EOF);
  fclose(log);
  web_start(&s->web);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static int with_token(struct secured *s, const struct token_key *key, const char *claims) {
  static const struct srv_route list = {"GET", "/v1/collections", SRV_READ, SRV_BODY_NONE, false,
                                        NULL};
  static char header[TOKEN_ROOM];
  auth_token(key, "Authorization: bearer ", "ann", claims, header);
  return ask(&s->web, &list, "docs", header, "");
}

static void test_tokens(void **state) {
  struct secured *s = *state;
  for (int k = 0; k < TOKEN_KINDS; k++) {
    assert_int_equal(with_token(s, &s->keys[k], ",\"roles\":[\"reader\"]"), 200);
    assert_int_equal(with_token(s, &s->keys[k], ",\"roles\":[\"monitor\",\"reader\"]"), 200);
    assert_int_equal(with_token(s, &s->keys[k], ",\"roles\":[\"monitor\"]"), 403);
    assert_int_equal(with_token(s, &s->keys[k], ""), 403);
    assert_int_equal(with_token(s, &s->keys[k], ",\"aud\":\"vecdb\""), 401);
  }
}

/* Who it is is kept for what follows: the audit log, the limits. */
static void test_identity(void **state) {
  struct secured *s = *state;
  static char header[TOKEN_ROOM];
  static const struct srv_route route = {"GET", "/v1/collections", SRV_READ, SRV_BODY_NONE, false,
                                         NULL};
  auth_token(&s->keys[TOKEN_ED], "Bearer ", "ann", ",\"roles\":\"reader\",\"tenant\":42", header);
  for (int i = 0; i < 2; i++) { /* checked, and remembered */
    struct srv_call call = {.server = s->web.server, .route = &route};
    assert_true(srv_authorize(&call, &(struct srv_credentials){.authorization = header}));
    assert_string_equal(call.who->subject, "ann");
    assert_string_equal(call.who->tenant, "42");
    assert_string_equal(call.who->role, "reader");
    assert_string_equal(call.who->key, "ed:1");
    assert_null(call.denied);
    srv_call_free(&call);
  }
  struct srv_call call = {.server = s->web.server, .route = &route};
  assert_false(srv_authorize(&call, &(struct srv_credentials){.authorization = "Bearer x"}));
  assert_string_equal(call.denied, "no such key");
  assert_int_equal(call.status, 401);
  srv_call_free(&call);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static int with_key(struct secured *s, const char *key) {
  static const struct srv_route route = {"GET", "/v1/version", SRV_KNOWN, SRV_BODY_NONE, false,
                                         NULL};
  char header[AUTH_HEADER];
  snprintf(header, sizeof header, "api-key: %s", key);
  return ask(&s->web, &route, "docs", header, "");
}

static void test_reload(void **state) {
  struct secured *s = *state;
  char text[4096] = "", error[SRV_CONFIG_ERROR];
  assert_int_equal(with_key(s, "reader-secret"), 200);
  auth_key(text, "fresh", "reader", NULL);
  auth_file(&s->web, "keys", text, 0600);
  assert_true(srv_auth_reload(s->web.server->auth, error));
  assert_int_equal(with_key(s, "fresh-secret"), 200);
  assert_int_equal(with_key(s, "reader-secret"), 401); /* though it was remembered */
  auth_file(&s->web, "keys", "[broken]\nsha256 = 00\n", 0600);
  assert_false(srv_auth_reload(s->web.server->auth, error));
  assert_non_null(strstr(error, "line 2"));
  assert_int_equal(with_key(s, "fresh-secret"), 200);
}

/* Without being told, the server sees a change within a second. */
static void test_change_is_seen(void **state) {
  struct secured *s = *state;
  char text[4096] = "";
  auth_key(text, "seen", "reader", NULL);
  auth_file(&s->web, "keys", text, 0600);
  const struct timespec pause = {0, 20000000};
  while (with_key(s, "seen-secret") != 200)
    nanosleep(&pause, NULL);
}

static void test_revoked(void **state) {
  struct secured *s = *state;
  char error[SRV_CONFIG_ERROR];
  static const char claims[] = ",\"roles\":\"reader\",\"jti\":\"stolen-1\"";
  assert_int_equal(with_token(s, &s->keys[TOKEN_EC], claims), 200);
  auth_file(&s->web, "policy", "[revoked]\ntoken = other\ntoken = stolen-1\n", 0644);
  assert_true(srv_auth_reload(s->web.server->auth, error));
  assert_int_equal(with_token(s, &s->keys[TOKEN_EC], claims), 401);
}

static void refuses(struct secured *s, const char *file, const char *text, mode_t mode) {
  char error[SRV_CONFIG_ERROR] = "";
  auth_file(&s->web, file, text, mode);
  if (srv_auth_reload(s->web.server->auth, error))
    fail_msg("a file of %s is taken: %s", file, text);
  assert_true(*error);
}

static void test_bad_files(void **state) {
  struct secured *s = *state;
  static char keys[8192];
  static const char *const bad_keys[] = {
      "[a]\nrole = reader\n", "[a]\nsecret = x\n", "role = reader\n", "[a b]\nrole = x\n",
      "[]\nrole = reader\n", "[a]\nsha256 = 12\n", "[a]\nexpires = soon\n", "nonsense\n",
      "[a]\nrole =\n", "[a]\n= x\n",
      "[a]\nrole = r\nsha256 = zz00000000000000000000000000000000000000000000000000000000000000\n"};
  static const char *const bad_policies[] = {
      "[role]\nread = *\n",     "[role a]\nread = *a\n", "[role a]\nread = a b/c\n",
      "[role a]\nmay = *\n",    "[role a]\nmonitor = true\n", "[tenant a]\nrows = 1\n",
      "[tenant a]\nconcurrency = -1\n", "[other x]\na = b\n", "[revoked]\nkey = 1\n", "read = *\n"};
  for (size_t i = 0; i < sizeof bad_keys / sizeof bad_keys[0]; i++)
    refuses(s, "keys", bad_keys[i], 0600);
  key_file(keys);
  strcat(keys, "[middle]\nrole = r\nsha256 = ");
  refuses(s, "keys", keys, 0600);
  key_file(keys);
  strcat(keys, "[reader]\nrole = admin\n"); /* there already */
  refuses(s, "keys", keys, 0600);
  key_file(keys);
  refuses(s, "keys", keys, 0640); /* others may read it */
  auth_file(&s->web, "keys", keys, 0600);
  for (size_t i = 0; i < sizeof bad_policies / sizeof bad_policies[0]; i++)
    refuses(s, "policy", bad_policies[i], 0644);
  refuses(s, "policy", policy, 0664);
  auth_file(&s->web, "policy", policy, 0644);
  refuses(s, "jwks", "{\"keys\": []}", 0644);
  assert_int_equal(with_key(s, "reader-secret"), 200); /* all is as it was */
}

/* ---- Starting -------------------------------------------------------------------------------- */

static bool starts(struct web *w, const char *listen) {
  char error[SRV_CONFIG_ERROR] = "";
  snprintf(w->config.listen, sizeof w->config.listen, "%s", listen);
  w->server = srv_server_start(&w->config, NULL, error);
  assert_true(w->server || *error);
  bool started = w->server != NULL;
  if (started)
    web_stop(w);
  return started;
}

static void test_open_to_others(void **state) {
  struct web w;
  char keys[4096] = "";
  (void)state;
  web_init(&w);
  assert_true(starts(&w, "127.0.0.1:0,127.0.0.2:0"));
  assert_false(starts(&w, "0.0.0.0:0"));
  assert_false(starts(&w, "127.0.0.1:0,0.0.0.0:0"));
  snprintf(w.config.milvus, sizeof w.config.milvus, "0.0.0.0:0");
  assert_false(starts(&w, "127.0.0.1:0"));
  w.config.milvus[0] = '\0';
  snprintf(w.config.insecure, sizeof w.config.insecure, "maybe");
  assert_false(starts(&w, "0.0.0.0:0"));
  snprintf(w.config.insecure, sizeof w.config.insecure, "yes");
  assert_true(starts(&w, "0.0.0.0:0"));
  snprintf(w.config.insecure, sizeof w.config.insecure, "no");
  auth_key(keys, "k", "reader", NULL);
  snprintf(w.config.keys_file, sizeof w.config.keys_file, "%s", auth_file(&w, "keys", keys, 0600));
  assert_true(starts(&w, "0.0.0.0:0"));
  chmod(w.config.keys_file, 0644);
  assert_false(starts(&w, "127.0.0.1:0"));
  w.config.keys_file[0] = '\0';
  snprintf(w.config.jwks_file, sizeof w.config.jwks_file, "/nowhere/jwks");
  assert_false(starts(&w, "127.0.0.1:0")); /* no issuer */
  web_end(&w);
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static void test_cache(void **state) {
  (void)state;
  static struct srv_auth_cache cache;
  struct srv_identity me = {.subject = "me"}, got;
  uint8_t hash[SRV_AUTH_CACHE_HASH] = {0};
  srv_auth_cache_begin(&cache);
  srv_auth_cache_put(&cache, hash, 100, &me);
  assert_true(srv_auth_cache_get(&cache, hash, 99, &got));
  assert_string_equal(got.subject, "me");
  assert_false(srv_auth_cache_get(&cache, hash, 100, &got));
  for (uint8_t i = 1; i <= SRV_AUTH_CACHE_WAYS; i++) { /* of one set: the oldest goes */
    hash[31] = i;
    srv_auth_cache_put(&cache, hash, 100, &me);
  }
  assert_true(srv_auth_cache_get(&cache, hash, 99, &got));
  hash[31] = 0;
  assert_false(srv_auth_cache_get(&cache, hash, 99, &got));
  srv_auth_cache_end(&cache);
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  signal(SIGPIPE, SIG_IGN);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, auth_end)
  const struct CMUnitTest tests[] = {
      SERVED(test_routes),         SERVED(test_grants),      SERVED(test_methods),
      SERVED(test_cells),          SERVED(test_public_metrics),
      SERVED(test_aliases),        SERVED(test_tokens),      SERVED(test_identity),
      SERVED(test_reload),         SERVED(test_change_is_seen), SERVED(test_revoked),
      SERVED(test_audited),        SERVED(test_audited_names),
      SERVED(test_bad_files),      cmocka_unit_test(test_open_to_others),
      cmocka_unit_test(test_cache),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
