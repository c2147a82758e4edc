/*
 * test_ingest.c - rows from files and from NATS into nodes that answer on real connections
 * (nodetest.h), by processes that are killed: between write and acknowledgement, and anywhere. What
 * is there in the end must be what the source says last of each key, and nothing was written twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <sched.h>
#include <spawn.h>

#include "cluster/etcdtest.h"
#include "client/vecdb_client.h"
#include "cluster/nodetest.h"
#include "ingest/ingest.h"

#if __has_include(<nats/nats.h>)
#include <nats/nats.h>
#define TI_NATS 1
#endif

enum { TI_DIM = 2, TI_KEYS = 300 };

static const vecdb_field ti_fields[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "version", .type = VECDB_INT64},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = TI_DIM, .metric = VECDB_L2},
};
static const vecdb_schema ti_schema = {sizeof(vecdb_schema), sizeof(vecdb_field), NULL, ti_fields,
                                       3};

struct ti {
  struct nt nt;
  char nodes[256];
  char folder[64];
  char state[96], dead[96], file[96];
  vecdb_client *client;
};

static struct ti *ti_open(void) {
  struct ti *t = calloc(1, sizeof *t);
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  nt_open(&t->nt, NULL);
  nt_nodes(&t->nt, t->nodes, sizeof t->nodes);
  strcpy(t->folder, "/tmp/ingestXXXXXX");
  assert_non_null(mkdtemp(t->folder));
  snprintf(t->state, sizeof t->state, "%s/state", t->folder);
  snprintf(t->dead, sizeof t->dead, "%s/dead", t->folder);
  snprintf(t->file, sizeof t->file, "%s/rows", t->folder);
  o.nodes = t->nodes;
  o.cluster = nt_cluster;
  o.timeout_ms = 60000;
  assert_int_equal(vecdb_client_open(&o, &t->client, NULL), VECDB_OK);
  layout.shards = NT_SHARDS;
  layout.replicas = NT_NODES;
  assert_int_equal(vecdb_client_create(t->client, "rows", &ti_schema, &layout, NULL, NULL), 0);
  return t;
}

static int ti_remove(const char *path, const struct stat *info, int type, struct FTW *ftw) {
  (void)info;
  (void)type;
  (void)ftw;
  return remove(path);
}

static void ti_close(struct ti *t) {
  vecdb_client_close(t->client);
  nt_close(&t->nt);
  nftw(t->folder, ti_remove, 16, FTW_DEPTH | FTW_PHYS);
  free(t);
}

/* ---- Lives of the program ---- */

extern char **environ;

/* This test as the program: see main. */
static pid_t ti_start(const struct ti *t, const char *source, const char *where,
                      const char *rows) {
  const char *argv[] = {"/proc/self/exe", "ingest",     "--state",   t->state,  "--collection",
                        "rows",           "--nodes",    t->nodes,    "--cluster", nt_cluster,
                        "--dead",         t->dead,      "--rows",    rows,      source,
                        where,            NULL,         NULL,        NULL};
  pid_t pid;
  if (strcmp(source, "--nats") == 0) {
    argv[16] = "--stream";
    argv[17] = "rows";
  }
  assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ), 0);
  return pid;
}

/* Its exit status, or 128 and the signal. */
static int ti_wait(pid_t pid) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Writes that the nodes have applied, each once by its op id. */
static uint32_t ti_writes(struct ti *t) {
  uint32_t n = 0;
  pthread_mutex_lock(&t->nt.mutex);
  for (uint32_t i = 0; i < NT_SHARDS; i++)
    n += t->nt.n_counts[i];
  pthread_mutex_unlock(&t->nt.mutex);
  return n;
}

/* Until so many were applied, or the process has ended by itself. */
static void ti_until(struct ti *t, uint32_t writes, pid_t pid) {
  siginfo_t info = {0};
  while (ti_writes(t) < writes && !info.si_pid) {
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    sched_yield();
  }
}

static void ti_lose(struct ti *t, uint32_t answers) {
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.lose = answers;
  pthread_mutex_unlock(&t->nt.mutex);
}

/* ---- Rows ---- */

static void ti_line(char *out, size_t size, int64_t id, int64_t version) {
  snprintf(out, size, "{\"id\": %lld, \"version\": %lld, \"v\": [%lld, 0.5]}", (long long)id,
           (long long)version, (long long)(id % 7));
}

/* Versions `from` to `to` of keys in turn: the last one of each is what must be there. */
static void ti_write_file(const struct ti *t, int64_t from, int64_t to) {
  char line[128];
  FILE *f = fopen(t->file, from ? "a" : "w");
  assert_non_null(f);
  for (int64_t i = from; i < to; i++) {
    ti_line(line, sizeof line, i * 7 % TI_KEYS, i);
    fprintf(f, "%s\n", line);
  }
  assert_int_equal(fclose(f), 0);
}

static int64_t ti_version(struct ti *t, int64_t id) {
  const vecdb_keys keys = {&id, NULL, 1};
  vecdb_client_answer *answer;
  assert_int_equal(vecdb_client_get(t->client, "rows", &keys, NULL, NULL, &answer, NULL), 0);
  int64_t version = vecdb_client_answer_found(answer, 0)
                        ? vecdb_client_answer_value(answer, 0, 0, "version").as.integer
                        : -1;
  vecdb_client_answer_free(answer);
  return version;
}

/* All keys have the last version below `to`. */
static void ti_check(struct ti *t, int64_t to) {
  int64_t last[TI_KEYS];
  uint64_t count, all = 0;
  for (size_t i = 0; i < TI_KEYS; i++)
    last[i] = -1;
  for (int64_t i = 0; i < to; i++)
    last[i * 7 % TI_KEYS] = i;
  for (int64_t id = 0; id < TI_KEYS; id++) {
    assert_int_equal(ti_version(t, id), last[id]);
    all += last[id] >= 0;
  }
  assert_int_equal(vecdb_client_count(t->client, "rows", NULL, &count, NULL, NULL), VECDB_OK);
  assert_int_equal(count, all);
}

static void ti_set(struct ti *t, int64_t id, int64_t version) {
  const float v[TI_DIM] = {0};
  const vecdb_column columns[] = {{"id", &id, 0, NULL, NULL, 0},
                                  {"version", &version, 0, NULL, NULL, 0},
                                  {"v", v, 0, NULL, NULL, TI_DIM}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  assert_int_equal(vecdb_client_upsert(t->client, "rows", &batch, NULL, NULL), VECDB_OK);
}

/* ---- Tests ---- */

static void test_file(void **state) {
  (void)state;
  struct ti *t = ti_open();
  ti_write_file(t, 0, 1000);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 0);
  ti_check(t, 1000);
  uint32_t writes = ti_writes(t);
  assert_int_equal(writes, 10 * NT_SHARDS); /* each of the ten batches has rows of each shard */
  /* What was read is not read again; what is added is. */
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 0);
  assert_int_equal(ti_writes(t), writes);
  ti_write_file(t, 1000, 1050);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 0);
  ti_check(t, 1050);
  /* Another file in its place, a state that is none, and one that another process has. */
  ti_write_file(t, 0, 10);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 1);
  FILE *f = fopen(t->state, "w");
  fputs("{\"writer\": \"0\"}", f);
  fclose(f);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 1);
  assert_int_equal(remove(t->state), 0);
  struct ingest_state held;
  assert_int_equal(ingest_state_open(&held, t->state, &(vecdb_error){0}), VECDB_OK);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 1);
  ingest_state_close(&held);
  ti_close(t);
}

/* The codes in the dead file, in order. */
static void ti_dead(const struct ti *t, const char *const *codes, size_t n) {
  char line[1024];
  FILE *f = fopen(t->dead, "r");
  assert_non_null(f);
  for (size_t i = 0; i < n; i++) {
    assert_non_null(fgets(line, sizeof line, f));
    json_t *json = json_loads(line, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "code")), codes[i]);
    assert_true(json_string_length(json_object_get(json, "reason")) > 0);
    assert_true(json_integer_value(json_object_get(json, "position")) > 0);
    assert_true(json_object_get(json, "message") || json_object_get(json, "base64"));
    json_decref(json);
  }
  assert_null(fgets(line, sizeof line, f));
  fclose(f);
}

/* Messages that are no rows: found here, or (a vector that is not finite) by the shard alone. */
static void test_poison(void **state) {
  (void)state;
  static const char *const bad[] = {"{\"id\": 1", "\xff\xfe", "[1]", "{\"id\": 5, \"wrong\": 1}",
                                    "{\"id\": 5, \"version\": 1, \"v\": [1]}",
                                    /* A name that the reason has a part of, by bytes. */
                                    "{\"id\": 5, \"-ééééééééééééééé"
                                    "ééééééééééééééé"
                                    "ééééééééééééééé\": 1}",
                                    "{\"id\": 6, \"version\": 9, \"v\": [1e39, 1]}"};
  static const char *const codes[] = {"VECDB_ERR_JSON",          "VECDB_ERR_JSON",
                                      "VECDB_ERR_TYPE",          "VECDB_ERR_UNKNOWN_FIELD",
                                      "VECDB_ERR_DIMENSION",     "VECDB_ERR_UNKNOWN_FIELD",
                                      "VECDB_ERR_NOT_FINITE"};
  struct ti *t = ti_open();
  char line[128];
  FILE *f = fopen(t->file, "w");
  for (int i = 0; i < 70; i++) {
    ti_line(line, sizeof line, i, i);
    fprintf(f, "%s\n\n", line);
    if (i % 10 == 5)
      fprintf(f, "%s\r\n", bad[i / 10]);
  }
  fclose(f);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "25")), 0);
  for (int64_t i = 0; i < TI_KEYS; i++)
    assert_int_equal(ti_version(t, i), i < 70 ? i : -1);
  ti_dead(t, codes, 7);
  ti_close(t);
}

/* Every shard has the batch, no answer arrives, the process is killed: the next life sends it
   again, and what somebody else has written since stays. */
static void test_killed_before_ack(void **state) {
  (void)state;
  struct ti *t = ti_open();
  ti_write_file(t, 0, 500);
  ti_lose(t, UINT32_MAX);
  pid_t pid = ti_start(t, "--file", t->file, "100");
  ti_until(t, NT_SHARDS, pid);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(ti_wait(pid), 128 + SIGKILL);
  ti_lose(t, 0);
  assert_int_equal(ti_writes(t), NT_SHARDS);
  assert_int_equal(ti_version(t, 7), 1);
  ti_set(t, 7, -77);
  uint32_t set = ti_writes(t);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 0);
  assert_int_equal(ti_writes(t) - set, 4 * NT_SHARDS); /* the batches behind the first */
  ti_check(t, 500); /* what comes later in the file counts, also for that row */
  ti_close(t);
}

/* The same, with a row that comes in the first batch alone. */
static void test_nothing_twice(void **state) {
  (void)state;
  struct ti *t = ti_open();
  ti_write_file(t, 0, 250);
  ti_lose(t, UINT32_MAX);
  pid_t pid = ti_start(t, "--file", t->file, "100");
  ti_until(t, NT_SHARDS, pid);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(ti_wait(pid), 128 + SIGKILL);
  ti_lose(t, 0);
  ti_set(t, 7, -77);
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "30")), 1); /* it was begun with 100 */
  assert_int_equal(ti_wait(ti_start(t, "--file", t->file, "100")), 0);
  assert_int_equal(ti_version(t, 7), -77);
  assert_int_equal(ti_version(t, 14), 2);
  ti_close(t);
}

/* Killed anywhere, again and again. */
static void test_kills(void **state) {
  (void)state;
  const int64_t rows = 2000;
  struct ti *t = ti_open();
  uint32_t random = 1;
  int kills = 0;
  ti_write_file(t, 0, rows);
  for (;;) {
    pid_t pid = ti_start(t, "--file", t->file, "50");
    random = random * 1664525 + 1013904223;
    ti_until(t, ti_writes(t) + random % (NT_SHARDS * 8), pid);
    kill(pid, SIGKILL);
    int status = ti_wait(pid);
    if (!status)
      break;
    assert_int_equal(status, 128 + SIGKILL);
    kills++;
  }
  print_message("%d kills\n", kills);
  ti_check(t, rows);
  assert_int_equal(ti_writes(t), rows / 50 * NT_SHARDS); /* each batch once */
  ti_close(t);
}

/* A field that is added while rows come is known when a row has it, and not before. */
static void test_field_added(void **state) {
  (void)state;
  static const vecdb_field field = {.name = "m", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  static const vecdb_schema more = {sizeof more, sizeof field, NULL, &field, 1};
  static const char old[] = "{\"id\": 1, \"version\": 1, \"v\": [1, 2]}";
  static const char row[] = "{\"id\": 2, \"version\": 1, \"v\": [1, 2], \"m\": 5}";
  struct ti *t = ti_open();
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_error error;
  bool again;
  o.nodes = t->nodes;
  o.cluster = nt_cluster;
  o.writer = 77;
  struct ingest_target *to = ingest_cluster_open(&o, "rows", 10, &error);
  assert_non_null(to);
  assert_int_equal(to->ops->add(to, old, strlen(old), &error), VECDB_OK);
  assert_int_equal(to->ops->add(to, row, strlen(row), &error), VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(vecdb_client_fields_add(t->client, "rows", &more, NULL, NULL), VECDB_OK);
  assert_int_equal(to->ops->add(to, row, strlen(row), &error), INGEST_FULL);
  assert_int_equal(to->ops->write(to, 1, &again, &error), VECDB_OK);
  to->ops->clear(to);
  assert_int_equal(to->ops->add(to, row, strlen(row), &error), VECDB_OK);
  assert_int_equal(to->ops->write(to, 2, &again, &error), VECDB_OK);
  to->ops->close(to);
  assert_int_equal(ti_version(t, 1), 1);
  assert_int_equal(ti_version(t, 2), 1);
  ti_close(t);
}

/* ---- A batch that does not find the room that it had when it was begun ---- */

enum { TI_MESSAGES = 5, TI_ROOM = 2 };

struct ti_short {
  struct ingest_source source;
  struct ingest_target target;
  uint64_t next, acked; /* positions */
  uint32_t n, written;
};

static enum ingest_next ti_short_next(struct ingest_source *source, uint32_t wait_ms,
                                      struct ingest_message *out, vecdb_error *error) {
  struct ti_short *s = (struct ti_short *)((char *)source - offsetof(struct ti_short, source));
  (void)wait_ms;
  (void)error;
  if (s->next > TI_MESSAGES)
    return INGEST_END;
  *out = (struct ingest_message){"{}", 2, s->next++};
  return INGEST_MESSAGE;
}

static void ti_short_ack(struct ingest_source *source, uint64_t position) {
  struct ti_short *s = (struct ti_short *)((char *)source - offsetof(struct ti_short, source));
  assert_int_equal(s->written, position); /* nothing that is not written */
  s->acked = position;
}

static struct ti_short *ti_short_of(struct ingest_target *target) {
  return (struct ti_short *)((char *)target - offsetof(struct ti_short, target));
}

static int ti_short_add(struct ingest_target *target, const char *data, size_t n,
                        vecdb_error *error) {
  struct ti_short *s = ti_short_of(target);
  (void)data;
  (void)n;
  (void)error;
  if (s->n == TI_ROOM)
    return INGEST_FULL;
  s->n++;
  return VECDB_OK;
}

static int ti_short_write(struct ingest_target *target, uint64_t op, bool *again,
                          vecdb_error *error) {
  (void)op;
  (void)again;
  (void)error;
  ti_short_of(target)->written += ti_short_of(target)->n;
  return VECDB_OK;
}

static void ti_short_clear(struct ingest_target *target) { ti_short_of(target)->n = 0; }

static void test_less_room(void **state) {
  (void)state;
  static const struct ingest_source_ops from = {ti_short_next, ti_short_ack, NULL};
  static const struct ingest_target_ops to = {ti_short_add, ti_short_write, ti_short_clear, NULL};
  char path[] = "/tmp/ingestXXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  const atomic_bool stop = false;
  const struct ingest_options o = {.rows = 10, .linger_ms = 60000, .report = stdout, .stop = &stop};
  struct ingest_state s = {.path = path, .lock = -1, .writer = 1, .op = 1, .upto = 3};
  struct ti_short t = {.source = {&from}, .target = {&to}, .next = 1};
  vecdb_error error;
  assert_int_equal(ingest_run(&o, &t.source, &t.target, &s, &error), VECDB_OK);
  assert_true(t.written == TI_MESSAGES && t.acked == TI_MESSAGES);
  assert_true(s.acked == TI_MESSAGES && !s.upto && s.op == 3);
  remove(path);
}

/* ---- NATS ---- */

#ifdef TI_NATS

struct ti_broker {
  pid_t pid;
  int port;
  char folder[96], url[64];
};

static void ti_broker_start(struct ti_broker *b) {
  char port[16];
  snprintf(port, sizeof port, "%d", b->port);
  b->pid = fork();
  if (!b->pid) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("PATH", "/usr/sbin:/usr/bin:/bin", 1);
    execlp("nats-server", "nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", b->folder,
           "-l", "/dev/null", (char *)NULL);
    _exit(127);
  }
}

static void ti_broker_kill(struct ti_broker *b) {
  kill(b->pid, SIGKILL);
  waitpid(b->pid, NULL, 0);
}

/* A connection that waits for the broker; it publishes what the file would have. */
struct ti_publisher {
  natsConnection *connection;
  jsCtx *js;
};

static void ti_publisher_open(struct ti_publisher *p, const struct ti_broker *b) {
  natsOptions *o;
  assert_int_equal(natsOptions_Create(&o), NATS_OK);
  natsOptions_SetURL(o, b->url);
  natsOptions_SetMaxReconnect(o, 1000);
  natsOptions_SetReconnectWait(o, 20);
  natsOptions_SetRetryOnFailedConnect(o, true, NULL, NULL);
  assert_int_equal(natsConnection_Connect(&p->connection, o), NATS_OK);
  natsOptions_Destroy(o);
  assert_int_equal(natsConnection_JetStream(&p->js, p->connection, NULL), NATS_OK);
}

static void ti_publisher_close(struct ti_publisher *p) {
  jsCtx_Destroy(p->js);
  natsConnection_Destroy(p->connection);
}

static void ti_stream(struct ti_publisher *p) {
  jsStreamConfig config;
  jsErrCode code;
  jsStreamConfig_Init(&config);
  config.Name = "rows";
  config.Subjects = (const char *[]){"rows.new"};
  config.SubjectsLen = 1;
  natsStatus s;
  do
    s = js_AddStream(NULL, p->js, &config, NULL, &code);
  while (s == NATS_TIMEOUT || s == NATS_NO_RESPONDERS); /* it listens before it has streams */
  assert_int_equal(s, NATS_OK);
}

static void ti_publish(struct ti_publisher *p, int64_t from, int64_t to) {
  char line[128];
  for (int64_t i = from; i < to; i++) {
    jsPubAck *ack = NULL;
    natsStatus s;
    ti_line(line, sizeof line, i * 7 % TI_KEYS, i);
    jsPubOptions options;
    char id[32];
    jsPubOptions_Init(&options);
    snprintf(id, sizeof id, "%lld", (long long)i);
    options.MsgId = id; /* one that is sent again is one message */
    do
      s = js_Publish(&ack, p->js, "rows.new", line, (int)strlen(line), &options, NULL);
    while (s != NATS_OK);
    jsPubAck_Destroy(ack);
  }
}

/* Until the consumer has acknowledged so many messages. */
static void ti_acked(struct ti_publisher *p, uint64_t n) {
  uint64_t floor = 0;
  while (floor < n) {
    jsConsumerInfo *info = NULL;
    if (js_GetConsumerInfo(&info, p->js, "rows", "vecdb", NULL, NULL) == NATS_OK)
      floor = info->AckFloor.Stream;
    jsConsumerInfo_Destroy(info);
  }
  assert_int_equal(floor, n);
}

/* The program and the broker are killed by turns while messages come. */
static void test_nats(void **state) {
  (void)state;
  struct ti *t = ti_open();
  struct ti_broker b;
  struct ti_publisher p;
  et_ports(&b.port, 1);
  snprintf(b.folder, sizeof b.folder, "%s/broker", t->folder);
  snprintf(b.url, sizeof b.url, "nats://127.0.0.1:%d", b.port);
  ti_broker_start(&b);
  ti_publisher_open(&p, &b);
  ti_stream(&p);
  ti_publish(&p, 0, 400);
  /* Between write and acknowledgement. */
  ti_lose(t, UINT32_MAX);
  pid_t pid = ti_start(t, "--nats", b.url, "100");
  ti_until(t, NT_SHARDS, pid);
  kill(pid, SIGKILL);
  assert_int_equal(ti_wait(pid), 128 + SIGKILL);
  ti_lose(t, 0);
  ti_set(t, 7, -77);
  pid = ti_start(t, "--nats", b.url, "100");
  ti_acked(&p, 400);
  assert_int_equal(ti_writes(t), 4 * NT_SHARDS + 1); /* four batches and ti_set */
  /* The broker goes away and comes back; the program goes on. */
  ti_broker_kill(&b);
  ti_broker_start(&b);
  ti_publish(&p, 400, 700);
  ti_acked(&p, 700);
  kill(pid, SIGTERM);
  assert_int_equal(ti_wait(pid), 0);
  /* Both. */
  ti_publish(&p, 700, 1000);
  ti_broker_kill(&b);
  ti_broker_start(&b);
  ti_publish(&p, 1000, 1001);
  pid = ti_start(t, "--nats", b.url, "100");
  ti_acked(&p, 1001);
  kill(pid, SIGTERM);
  assert_int_equal(ti_wait(pid), 0);
  ti_check(t, 1001);
  ti_publisher_close(&p);
  ti_broker_kill(&b);
  ti_close(t);
  nats_Close();
}

static bool ti_has_broker(void) {
  return access("/usr/sbin/nats-server", X_OK) == 0 || access("/usr/bin/nats-server", X_OK) == 0;
}

#else

static void test_nats(void **state) { (void)state; }
static bool ti_has_broker(void) { return false; }

#endif

static void test_nats_or_not(void **state) {
  if (ti_has_broker()) {
    test_nats(state);
    return;
  }
  print_message("skipped: libnats-dev or nats-server is not installed\n");
  skip();
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "ingest") == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return ingest_main(argc - 1, argv + 1);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_file),          cmocka_unit_test(test_poison),
      cmocka_unit_test(test_killed_before_ack), cmocka_unit_test(test_nothing_twice),
      cmocka_unit_test(test_kills),         cmocka_unit_test(test_less_room),
      cmocka_unit_test(test_field_added),
      cmocka_unit_test(test_nats_or_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
