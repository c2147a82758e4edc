/*
 * source_nats.c - messages of a JetStream stream, in order and without gaps; see source.h.
 *
 * The consumer acknowledges by position (AckAll), which the broker keeps for whoever looks at it
 * and for a state that was lost. It delivers again what is not acknowledged in time, out of order,
 * and what was under way when a connection broke comes late. So deliveries, which it numbers, must
 * follow one another: else the consumer is made anew behind the last message that was taken.
 */
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest.h"

#if __has_include(<nats/nats.h>)
#include <nats/nats.h>

enum { NATS_FETCH = 500, NATS_AGAIN_MS = 200 };
#define NATS_SECOND INT64_C(1000000000)

struct nats {
  struct ingest_source base;
  struct ingest_nats o;
  natsConnection *connection;
  jsCtx *js;
  natsSubscription *sub;
  natsMsgList list;
  int at;             /* in the list */
  natsMsg *given;     /* the last one that the caller has got, */
  natsMsg *before;    /* and the one before: a batch ends with either */
  uint64_t before_at; /* its position */
  uint64_t position;  /* of the last message that was given */
  uint64_t delivered; /* its number among those of this consumer */
};

static int nats_fail(vecdb_error *error, natsStatus s, const char *what) {
  const char *more = nats_GetLastError(NULL);
  return ingest_fail(error, VECDB_ERR_IO, "NATS: %s: %s%s%.200s", what, natsStatus_GetText(s),
                     more ? ": " : "", more ? more : "");
}

/* Messages of a consumer that is no more acknowledge nothing. */
static void nats_forget(struct nats *n) {
  natsMsg_Destroy(n->given);
  natsMsg_Destroy(n->before);
  n->given = n->before = NULL;
  natsMsgList_Destroy(&n->list);
  n->list = (natsMsgList){0};
  n->at = 0;
  natsSubscription_Destroy(n->sub);
  n->sub = NULL;
}

/* Where the consumer that is there has come to; 0: there is none. */
static natsStatus nats_floor(struct nats *n, uint64_t *floor) {
  jsConsumerInfo *info = NULL;
  jsErrCode code = 0;
  natsStatus s = js_GetConsumerInfo(&info, n->js, n->o.stream, n->o.consumer, NULL, &code);
  *floor = s == NATS_OK ? info->AckFloor.Stream : 0;
  jsConsumerInfo_Destroy(info);
  return code == JSConsumerNotFoundErr ? NATS_NOT_FOUND : s;
}

/* The consumer anew, behind the last message. */
static natsStatus nats_begin(struct nats *n) {
  uint64_t floor;
  jsErrCode code = 0;
  nats_forget(n);
  natsStatus s = nats_floor(n, &floor);
  if (s == NATS_OK)
    s = js_DeleteConsumer(n->js, n->o.stream, n->o.consumer, NULL, &code);
  if (s != NATS_OK && s != NATS_NOT_FOUND)
    return s;
  n->position = n->position ? n->position : floor;
  n->delivered = 0;
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Stream = n->o.stream;
  options.Config.Durable = n->o.consumer;
  options.Config.AckPolicy = js_AckAll;
  options.Config.AckWait = 60 * NATS_SECOND;
  options.Config.MaxAckPending = 100000;
  options.Config.DeliverPolicy = n->position ? js_DeliverByStartSequence : js_DeliverAll;
  options.Config.OptStartSeq = n->position ? n->position + 1 : 0;
  const char *subject = n->o.subject ? n->o.subject : ">";
  return js_PullSubscribe(&n->sub, n->js, subject, n->o.consumer, NULL, &options, &code);
}

/* The next message of the list, if it is the one that should come. False: begin anew. */
static bool nats_take(struct nats *n, struct ingest_message *out) {
  jsMsgMetaData *meta = NULL;
  natsMsg *m = n->list.Msgs[n->at];
  if (natsMsg_GetMetaData(&meta, m) != NATS_OK)
    return false;
  bool follows = meta->Sequence.Consumer == n->delivered + 1 &&
                 meta->Sequence.Stream > n->position;
  if (follows) {
    natsMsg_Destroy(n->before);
    n->before = n->given;
    n->before_at = n->position;
    n->given = m;
    n->list.Msgs[n->at++] = NULL;
    n->delivered++;
    n->position = meta->Sequence.Stream;
    *out = (struct ingest_message){natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m),
                                   n->position};
    if (!out->data)
      out->data = "";
  }
  jsMsgMetaData_Destroy(meta);
  return follows;
}

/* While the broker is away nothing comes; its client connects again by itself. */
static enum ingest_next nats_next(struct ingest_source *source, uint32_t wait_ms,
                                  struct ingest_message *out, vecdb_error *error) {
  struct nats *n = (struct nats *)source;
  if (n->at == n->list.Count) {
    natsMsgList_Destroy(&n->list);
    n->list = (natsMsgList){0};
    n->at = 0;
    natsStatus s = n->sub ? NATS_OK : nats_begin(n);
    if (s == NATS_OK)
      s = natsSubscription_Fetch(&n->list, n->sub, NATS_FETCH, wait_ms ? wait_ms : 1, NULL);
    if (s == NATS_CONNECTION_CLOSED) {
      nats_fail(error, s, "the connection is closed");
      return INGEST_FAILED;
    }
    if (s != NATS_OK && s != NATS_TIMEOUT) {
      nats_forget(n);
      nats_Sleep(NATS_AGAIN_MS);
    }
    if (n->at == n->list.Count)
      return INGEST_NOTHING;
  }
  if (nats_take(n, out))
    return INGEST_MESSAGE;
  nats_forget(n);
  return INGEST_NOTHING;
}

/* By the last message, whose acknowledgement is that of all before it. One that is lost is made
   good by the next. */
static void nats_ack(struct ingest_source *source, uint64_t position) {
  struct nats *n = (struct nats *)source;
  natsMsg *m = n->position == position ? n->given : n->before_at == position ? n->before : NULL;
  jsErrCode code;
  if (m)
    natsMsg_AckSync(m, NULL, &code);
}

static void nats_close(struct ingest_source *source) {
  struct nats *n = (struct nats *)source;
  nats_forget(n);
  jsCtx_Destroy(n->js);
  natsConnection_Destroy(n->connection);
  nats_Close();
  free(n);
}

static const struct ingest_source_ops nats_ops = {nats_next, nats_ack, nats_close};

static natsStatus nats_connect(struct nats *n) {
  natsOptions *options = NULL;
  natsStatus s = natsOptions_Create(&options);
  if (s == NATS_OK)
    s = natsOptions_SetURL(options, n->o.url);
  if (s == NATS_OK)
    s = natsOptions_SetMaxReconnect(options, -1);
  if (s == NATS_OK)
    s = natsOptions_SetReconnectWait(options, NATS_AGAIN_MS);
  if (s == NATS_OK && n->o.ca)
    s = natsOptions_LoadCATrustedCertificates(options, n->o.ca);
  if (s == NATS_OK && n->o.credentials)
    s = natsOptions_SetUserCredentialsFromFiles(options, n->o.credentials, NULL);
  if (s == NATS_OK)
    s = natsConnection_Connect(&n->connection, options);
  natsOptions_Destroy(options);
  return s == NATS_OK ? natsConnection_JetStream(&n->js, n->connection, NULL) : s;
}

struct ingest_source *ingest_nats_open(const struct ingest_nats *o, uint64_t after,
                                       vecdb_error *error) {
  struct nats *n = calloc(1, sizeof *n);
  if (!n) {
    ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    return NULL;
  }
  *n = (struct nats){.base = {&nats_ops}, .o = *o, .position = after};
  natsStatus s = nats_connect(n);
  if (s == NATS_OK)
    s = nats_begin(n);
  if (s == NATS_OK)
    return &n->base;
  nats_fail(error, s, o->url);
  nats_close(&n->base);
  return NULL;
}

#else

struct ingest_source *ingest_nats_open(const struct ingest_nats *o, uint64_t after,
                                       vecdb_error *error) {
  (void)o;
  (void)after;
  ingest_fail(error, VECDB_ERR_UNSUPPORTED, "built without libnats (Debian: libnats-dev)");
  return NULL;
}

#endif
