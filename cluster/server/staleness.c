/* staleness.c - how old the copies are that a request reads; see staleness.h. */
#include "server/staleness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/vecdb_client.h"
#include "server/observe.h"
#include "server/server.h"

static int staleness_fail(vecdb_error *error, int code, const char *words) {
  *error = (vecdb_error){.code = code, .row = -1, .position = -1};
  snprintf(error->message, sizeof error->message, "%s", words);
  return code;
}

/* The most that the request takes; 0: any. False: it says it wrongly. */
static bool staleness_most(const struct srv_call *call, uint64_t *most) {
  const char *text = call->header ? call->header(call, SRV_STALENESS_MOST) : call->max_staleness;
  const json_t *member =
      call->json && !call->errors ? json_object_get(call->json, "max_staleness_ms") : NULL;
  char *end = NULL;
  *most = call->server->config.edge_staleness_ms;
  if (text) {
    *most = strspn(text, "0123456789") == strlen(text) ? strtoull(text, &end, 10) : 0;
    return end && !*end && *most > 0;
  }
  if (!member || json_is_null(member))
    return true;
  *most = json_is_integer(member) && json_integer_value(member) > 0
              ? (uint64_t)json_integer_value(member)
              : 0;
  return *most > 0;
}

int srv_staleness_check(struct srv_call *call, const struct engine_collection *collection,
                        vecdb_error *error) {
  uint64_t age_ms, most;
  const uint64_t now_ns = srv_now_ns();
  if (!engine_age(collection, &age_ms))
    return VECDB_OK;
  uint64_t fresh_ns = age_ms < now_ns / 1000000 ? now_ns - age_ms * 1000000 : 0;
  if (!call->aged || fresh_ns < call->fresh_ns)
    call->fresh_ns = fresh_ns;
  call->aged = true;
  if (!staleness_most(call, &most))
    return staleness_fail(error, VECDB_ERR_OPTION,
                          "the most staleness is a number of milliseconds, 1 or more");
  if (!most || (age_ms != UINT64_MAX && age_ms <= most))
    return VECDB_OK;
  char words[sizeof error->message];
  if (age_ms == UINT64_MAX)
    snprintf(words, sizeof words, "it is not known how old this copy is, and at most %" PRIu64
             " ms are taken", most);
  else
    snprintf(words, sizeof words,
             "this copy is %" PRIu64 " ms old, and at most %" PRIu64 " ms are taken", age_ms, most);
  return staleness_fail(error, VECDB_CLIENT_NOT_FRESH, words);
}

static uint64_t staleness_ms(const struct srv_call *call) {
  return (srv_now_ns() - call->fresh_ns) / 1000000 + 1;
}

bool srv_staleness_text(const struct srv_call *call, char text[SRV_STALENESS_TEXT]) {
  if (!call->aged)
    return false;
  if (call->fresh_ns)
    snprintf(text, SRV_STALENESS_TEXT, "%" PRIu64, staleness_ms(call));
  else
    snprintf(text, SRV_STALENESS_TEXT, "unknown");
  return true;
}

void srv_staleness_answer(struct srv_call *call) {
  if (!call->aged || call->errors || !call->json || !json_is_object(call->answer))
    return;
  json_object_set_new(call->answer, "staleness_ms",
                      call->fresh_ns ? json_integer((json_int_t)staleness_ms(call)) : json_null());
}
