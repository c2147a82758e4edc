/*
 * node_admin.c - requests about collections, not about their rows. What the cache knows is answered
 * from it; "no such collection", and the list of all, only when the cache is as new as the metadata
 * store, so that a client finds at any node what it has created at another. Creating and dropping
 * wait for the store, on a thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/change.h"
#include "node/node_int.h"
#include "router/map.h"

static const int64_t admin_store_us = 5000000, admin_hear_us = 2000000;

/* ---- Which there are ---- */

/* False: the cache has no such collection. */
static bool admin_map(struct node_ask *a) {
  struct wire_message out = {.has = WIRE_HAS(WIRE_DOCUMENTS_OF)};
  const struct cache_view *view = cache_take(a->node->cache);
  bool known = view && node_map(a->node, view, a->message.name.name, &a->mem, &out);
  if (known)
    node_ask_message(a, &out);
  if (view)
    cache_give(view);
  return known;
}

static int admin_list_make(struct node_ask *a, const struct cache_view *view,
                           struct wire_message *out) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  struct wire_document *documents = wire_mem_get(&a->mem, n + 1, sizeof *documents);
  if (!documents || n > WIRE_DOCUMENTS)
    return documents ? VECDB_ERR_LIMIT : VECDB_ERR_NO_MEMORY;
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (coll && coll->state == DOC_COLL_ACTIVE)
      documents[out->n_documents++] = (struct wire_document){.kind = WIRE_COLLECTION,
                                                             .a = coll->id,
                                                             .mod = all[i]->mod,
                                                             .text = coll->name,
                                                             .n = strlen(coll->name)};
  }
  out->documents = documents;
  return VECDB_OK;
}

static void admin_list(struct node_ask *a) {
  struct wire_message out = {.has = WIRE_HAS(WIRE_DOCUMENTS_OF)};
  const struct cache_view *view = cache_take(a->node->cache);
  int code = view ? admin_list_make(a, view, &out) : WIRE_UNAVAILABLE;
  if (code)
    node_ask_fail(a, code);
  else
    node_ask_message(a, &out);
  if (view)
    cache_give(view);
}

/* By the cache, which is as new as it has to be. */
static void admin_answer(struct node_ask *a) {
  if (a->message.kind == WIRE_LIST)
    admin_list(a);
  else if (!admin_map(a))
    node_ask_fail(a, VECDB_ERR_NOT_FOUND);
}

/* The store's revision: the cache has to come up to it. */
static void admin_heard(void *arg, const struct meta_result *r) {
  struct node_ask *a = arg;
  if (!r->status) {
    a->seq = (uint64_t)r->revision;
    a->next = a->node->named;
    a->node->named = a;
    if (a->seq > (uint64_t)cache_state(a->node->cache).revision)
      cache_refresh(a->node->cache);
  } else if (a->message.kind == WIRE_LIST) {
    admin_list(a); /* the store is away: what was known last */
  } else {
    node_ask_fail(a, r->status == META_NO_MEMORY ? VECDB_ERR_NO_MEMORY : WIRE_UNAVAILABLE);
  }
}

static void admin_ask_store(struct node *n, struct node_ask *a) {
  struct doc_path path = doc_path(n->config.cluster, DOC_PATH_IDS, 0, 0);
  int64_t until = n->now_us + admin_hear_us;
  if (meta_get(n->meta, meta_text(path.text), (struct meta_bytes){NULL, 0},
               until < a->until_us ? until : a->until_us, admin_heard, a))
    node_ask_fail(a, WIRE_UNAVAILABLE);
}

void node_admin_run(struct node *n) {
  struct node_ask *waiting = n->named;
  n->named = NULL;
  for (struct node_ask *next; waiting; waiting = next) {
    struct node_ask *a = waiting;
    next = a->next;
    if ((uint64_t)cache_state(n->cache).revision >= a->seq) {
      admin_answer(a);
    } else if (a->until_us <= n->now_us) {
      node_ask_fail(a, WIRE_UNAVAILABLE);
    } else {
      a->next = n->named;
      n->named = a;
    }
  }
}

void node_admin_end(struct node *n) {
  work_close(n->admin);
  n->admin = NULL;
  while (n->named) {
    struct node_ask *a = n->named;
    n->named = a->next;
    node_ask_fail(a, WIRE_UNAVAILABLE);
  }
}

/* ---- Creating, dropping and changing, on the thread ---- */

struct admin_work {
  struct node_ask *a;
  vecdb_error error;
  struct ctl ctl;
  uint64_t number; /* of the answer */
};

static int admin_say(struct admin_work *w, int code, const char *words) {
  w->error = (vecdb_error){.code = code, .row = -1, .position = -1};
  snprintf(w->error.message, sizeof w->error.message, "%s", words);
  return code;
}

static int admin_ctl_code(struct admin_work *w, enum ctl_status status) {
  return change_code(&w->ctl, status, &w->error);
}

static int admin_create(struct admin_work *w) {
  char why[DOC_TEXT_MAX] = "";
  struct doc_coll coll = {0};
  const struct wire_name *name = &w->a->message.name;
  enum doc_status status = doc_coll_read(meta_text(name->text), &coll, why);
  if (status)
    return admin_say(w, status == DOC_NO_MEMORY ? VECDB_ERR_NO_MEMORY : VECDB_ERR_SCHEMA, why);
  int code = strcmp(coll.name, name->name) == 0
                 ? change_try(coll.schema, &w->error)
                 : admin_say(w, VECDB_ERR_NAME, "the document is of another name");
  if (!code && (coll.history || coll.expiry))
    code = admin_say(w, VECDB_ERR_SCHEMA, "a collection that is new has no history or expiry");
  if (!code && coll.policy == DOC_RANGE)
    code = admin_say(w, VECDB_ERR_UNSUPPORTED, "ranges are for the command `create`");
  code = code ? code : admin_ctl_code(w, ctl_create(&w->ctl, &coll, NULL));
  doc_coll_free(&coll);
  return code;
}

static int admin_numbers(struct admin_work *w) {
  int64_t first = 0;
  if (w->a->message.number > UINT32_MAX) /* one message must not use them up for all */
    return admin_say(w, VECDB_ERR_LIMIT, "more numbers than are given at a time");
  int code = admin_ctl_code(w, ctl_numbers(&w->ctl, w->a->message.number, &first));
  w->number = code ? 0 : (uint64_t)first;
  return code;
}

/* The write comes again when the cluster is of the version that it takes. */
static int admin_speaks(struct admin_work *w) {
  enum ctl_status status = ctl_speaks(&w->ctl, 0, DOC_SPEAKS_EXPECTED);
  int code = status == CTL_NOT_ALLOWED ? 0 : admin_ctl_code(w, status); /* another raises it */
  return code ? code : admin_say(w, WIRE_UNAVAILABLE, "the cluster's version is being raised");
}

static int admin_work(struct admin_work *w) {
  const struct wire_name *name = &w->a->message.name;
  const struct node_config *config = &w->a->node->config;
  const struct etcd_config etcd = {.endpoints = config->endpoints,
                                   .ca_file = config->etcd_ca,
                                   .cert_file = config->etcd_cert,
                                   .key_file = config->etcd_key};
  char why[ETCD_WHY];
  int64_t left_us = (int64_t)w->a->left_ms * 1000;
  struct meta_store *store = etcd_open(&etcd, why);
  if (!store)
    return admin_say(w, WIRE_UNAVAILABLE, why);
  w->ctl.limit_us = left_us < admin_store_us ? left_us : admin_store_us;
  if (ctl_open(&w->ctl, store, config->cluster))
    return admin_say(w, WIRE_UNAVAILABLE, "the metadata store does not answer");
  int code;
  switch (w->a->message.kind) {
    case WIRE_CREATE: code = admin_create(w); break;
    case WIRE_ALTER:
      code = change_add(&w->ctl, name->name, name->text, &w->number, &w->error);
      break;
    case WIRE_RESHAPE:
      code = change_shape(&w->ctl, name->name, name->text, &w->number, &w->error);
      break;
    case WIRE_EXPIRE:
      code = change_expiry(&w->ctl, name->name, name->text, &w->number, &w->error);
      break;
    case WIRE_NUMBERS: code = admin_numbers(w); break;
    case WIRE_WRITE: code = admin_speaks(w); break;
    default: code = admin_ctl_code(w, ctl_drop(&w->ctl, name->name)); break;
  }
  ctl_close(&w->ctl);
  return code;
}

static struct node_ask *admin_of(struct work_job *job) {
  return (struct node_ask *)((char *)job - offsetof(struct node_ask, job));
}

static void admin_run(struct work_job *job) {
  struct node_ask *a = admin_of(job);
  struct admin_work w = {.a = a};
  struct wire_message out = {.kind = WIRE_ANSWER, .has = WIRE_HAS(WIRE_RESULT)};
  w.error = (vecdb_error){.row = -1, .position = -1};
  out.result = a->result;
  out.result.code = admin_work(&w);
  out.has |= w.number ? WIRE_HAS(WIRE_NUMBER) : 0;
  out.number = w.number;
  out.result.field = w.error.field;
  out.result.message = w.error.message;
  wire_out_init(&a->out, WIRE_LIMIT);
  wire_message_write(&out, &a->out);
}

static void admin_done(struct work_job *job) {
  struct node_ask *a = admin_of(job);
  if (a->message.kind == WIRE_WRITE)
    a->node->raising = false;
  node_ask_send(a);
}

void node_admin(struct node *n, struct node_ask *a) {
  if (a->message.kind == WIRE_LIST) {
    admin_ask_store(n, a);
  } else if (a->message.kind == WIRE_MAP) {
    if (!admin_map(a))
      admin_ask_store(n, a);
  } else {
    int64_t left = (a->until_us - n->now_us) / 1000;
    a->left_ms = left > 1 ? (uint32_t)left : 1;
    a->job = (struct work_job){NULL, admin_run, admin_done};
    work_add(n->admin, &a->job);
  }
}
