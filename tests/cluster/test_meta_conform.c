/*
 * test_meta_conform.c - the table of conform.h against the model, without and with delays, and
 * against a real etcd; and what the client of etcd does when its endpoints fail.
 */
#include "conform.h"
#include "etcdtest.h"
#include "net/cert.h"

static void conform_model_compact(struct mt *t, int64_t revision) {
  model_compact(t->server, revision);
}

static void conform_all(struct mt *t) {
  for (size_t i = 0; i < CONFORM_CASES; i++) {
    snprintf(t->prefix, sizeof t->prefix, "case%zu", i);
    conform_cases[i].run(t);
  }
}

static void conform_model(const struct model_faults *faults) {
  struct mt t = {.server = model_new(1)};
  assert_non_null(t.server);
  t.store = model_connect(t.server);
  assert_non_null(t.store);
  model_set_faults(t.server, faults);
  conform_compaction = conform_model_compact;
  conform_all(&t);
  meta_close(t.store);
  model_free(t.server);
}

static void test_model(void **state) {
  (void)state;
  conform_model(&(struct model_faults){0});
}

static void test_model_slow(void **state) {
  (void)state;
  conform_model(&(struct model_faults){.latency_min_us = 100,
                                       .latency_max_us = 20000,
                                       .slow = 500,
                                       .slow_us = 1000000,
                                       .watch_lag_us = 300000});
}

static void conform_etcd_compact(struct mt *t, int64_t revision) {
  struct mt_result r = {0};
  assert_int_equal(etcd_compact(t->store, revision, mt_done, &r), META_OK);
  mt_wait(t, &r);
  assert_int_equal(r.r.status, META_OK);
}

static void test_etcd(void **state) {
  struct et e;
  struct mt t;
  (void)state;
  if (!et_installed()) {
    print_message("skipped: etcd is not installed (Debian: etcd-server)\n");
    skip();
  }
  et_start(&e, 1);
  et_connect(&e, &t);
  conform_compaction = conform_etcd_compact;
  conform_all(&t);
  meta_close(t.store);
  et_stop(&e);
}

/* ---- Three members, of which some fail ---- */

/* Puts a key that nobody else puts, whatever it takes: after META_UNKNOWN it may be there. */
static void fail_put(struct mt *t, int number) {
  char name[16];
  snprintf(name, sizeof name, "k%03d", number);
  const struct meta_compare c = {mt_key(t, name), META_CREATE, META_EQUAL, 0, {NULL, 0}};
  const struct meta_op put = mt_put(t, name, "v");
  const struct meta_txn txn = {&c, &put, NULL, 1, 1, 0};
  int64_t until = mt_clock() + MT_LIMIT_US;
  for (;;) {
    struct mt_result *r = mt_txn(t, &txn);
    if (r->r.status == META_OK)
      return;
    assert_true(r->r.status == META_UNKNOWN || r->r.status == META_UNAVAILABLE);
    assert_true(mt_clock() < until);
  }
}

static enum meta_status fail_get(struct mt *t, int64_t deadline_us) {
  struct mt_result r = {0};
  assert_int_equal(
      meta_get(t->store, mt_key(t, "k000"), (struct meta_bytes){NULL, 0}, deadline_us, mt_done, &r),
      META_OK);
  mt_wait(t, &r);
  mt_free(&r);
  return r.r.status;
}

/* Exactly the keys so far, in order, each once. */
static void fail_watched(struct mt *t, struct mt_watch *w, size_t n) {
  mt_told(t, w, n);
  assert_int_equal(w->ended, META_OK);
  assert_int_equal(w->n, n);
  for (size_t i = 0; i < n; i++) {
    char end[16];
    snprintf(end, sizeof end, "/k%03zu", i);
    assert_string_equal(strchr(w->events[i].key, '/'), end);
    assert_true(!i || w->events[i].kv.mod_revision > w->events[i - 1].kv.mod_revision);
  }
}

static void test_etcd_fails(void **state) {
  struct et e;
  struct mt t;
  struct mt_watch w = {0};
  (void)state;
  if (!et_installed())
    skip();
  et_start(&e, 3);
  et_connect(&e, &t);
  strcpy(t.prefix, "fail");
  struct meta_bytes key = mt_key(&t, ""), end = meta_text("fail0");
  int64_t now = mt_do1(&t, mt_get(&t, "x"))->r.revision;
  assert_int_equal(meta_watch(t.store, key, end, now + 1, mt_watched, &w, &w.id), META_OK);
  int n = 0;
  for (; n < 5; n++)
    fail_put(&t, n);
  int first = (int)etcd_counts(t.store).endpoint, second = (first + 1) % 3;
  et_kill(&e, first); /* the one that is being asked, and watched */
  for (; n < 10; n++)
    fail_put(&t, n);
  fail_watched(&t, &w, (size_t)n);
  assert_true(etcd_counts(t.store).failovers > 0);
  assert_true(etcd_counts(t.store).watch_restarts > 0);

  et_kill(&e, second); /* no quorum: no write, and nothing is told that did not happen */
  struct mt_result r = {0};
  const struct meta_op put = mt_put(&t, "k010", "v");
  const struct meta_txn txn = {.then = &put, .n_then = 1};
  assert_int_equal(meta_txn(t.store, &txn, mt_clock() + 1000000, mt_done, &r), META_OK);
  mt_wait(&t, &r);
  assert_true(r.r.status == META_UNKNOWN || r.r.status == META_UNAVAILABLE);
  assert_int_equal(fail_get(&t, mt_clock() + 300000), META_UNAVAILABLE);
  et_start_member(&e, first);
  et_start_member(&e, second);
  for (; n < 15; n++)
    fail_put(&t, n);
  fail_watched(&t, &w, (size_t)n);

  for (int i = 0; i < 3; i++) { /* whichever is asked, when it hangs another one is */
    kill(e.pid[i], SIGSTOP);
    assert_int_equal(fail_get(&t, mt_clock() + 20000000), META_OK);
    kill(e.pid[i], SIGCONT);
  }
  meta_cancel(t.store, w.id);
  mt_drop(w.events, w.n);
  meta_close(t.store);
  et_stop(&e);
}

/* What is wrong with the settings, or with who answers, is said. */
static void test_etcd_refuses(void **state) {
  char why[ETCD_WHY] = "";
  struct et e = {0};
  (void)state;
  const char *const wrong[] = {"", "127.0.0.1:2379", "http://a,ftp://b"};
  for (size_t i = 0; i < 3; i++) {
    *why = 0;
    assert_null(etcd_open(&(struct etcd_config){.endpoints = wrong[i]}, why));
    assert_true(*why);
  }
  int port;
  et_ports(&port, 1);
  snprintf(e.endpoints, sizeof e.endpoints, "http://127.0.0.1:%d", port);
  struct mt t = {.store = etcd_open(&(struct etcd_config){.endpoints = e.endpoints}, why),
                 .prefix = "none"};
  struct mt_result r = {0};
  const struct meta_op put = mt_put(&t, "k", "v");
  const struct meta_txn txn = {.then = &put, .n_then = 1};
  assert_int_equal(meta_txn(t.store, &txn, mt_clock() + 300000, mt_done, &r), META_OK);
  mt_wait(&t, &r);
  assert_int_equal(r.r.status, META_UNAVAILABLE); /* a write that surely had no effect */
  assert_true(etcd_counts(t.store).retries > 0);
  meta_close(t.store);
}

/* With certificates on both sides; without one of etcd's authority nothing is read or written. */
static void test_etcd_tls(void **state) {
  struct et e;
  char path[8][128], why[HELLO_WHY];
  const struct doc_uuid cluster = {{1}};
  (void)state;
  if (!et_installed())
    skip();
  et_folder(&e);
  const char *const names[] = {"ca.pem", "ca.key", "etcd.pem", "etcd.key",
                               "we.pem", "we.key", "ca2.pem",  "ca2.key"};
  for (int i = 0; i < 8; i++)
    et_path(&e, names[i], path[i]);
  struct cert_files files = {path[0], path[1], path[2], path[3], "IP:127.0.0.1"};
  assert_true(cert_authority(&files, 1, why) && cert_node(&files, cluster, 1, 1, why));
  const struct cert_files ours = {path[0], path[1], path[4], path[5], NULL};
  assert_true(cert_node(&ours, cluster, 2, 1, why));
  et_run(&e, 1, true);
  struct etcd_config config = {
      .endpoints = e.endpoints, .ca_file = path[0], .cert_file = path[4], .key_file = path[5]};
  struct mt t = {.store = etcd_open(&config, why), .prefix = "tls"};
  int64_t until = mt_clock() + MT_LIMIT_US;
  while (mt_do1(&t, mt_put(&t, "k", "v"))->r.status != META_OK)
    assert_true(mt_clock() < until);
  assert_string_equal(mt_do1(&t, mt_get(&t, "k"))->kvs[0].value, "v");
  meta_close(t.store);

  files.ca_cert = path[6]; /* another authority than etcd's */
  files.ca_key = path[7];
  assert_true(cert_authority(&files, 1, why));
  for (int i = 0; i < 2; i++) {
    config.ca_file = i ? path[6] : path[0];
    config.cert_file = config.key_file = NULL;
    config.request_us = 500000;
    t.store = etcd_open(&config, why);
    assert_int_equal(mt_do1(&t, mt_get(&t, "k"))->r.status, META_UNAVAILABLE);
    meta_close(t.store);
  }
  et_stop(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),        cmocka_unit_test(test_model_slow),
      cmocka_unit_test(test_etcd),         cmocka_unit_test(test_etcd_fails),
      cmocka_unit_test(test_etcd_refuses), cmocka_unit_test(test_etcd_tls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
