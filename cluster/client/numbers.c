/*
 * numbers.c - numbers for rows whose keys the database chooses; see vecdb_client.h. A client takes
 * them from the cluster in blocks and gives them out itself; what it has left when it is closed
 * nobody gets.
 */
#include "client/calls.h"

enum { NUMBERS_BLOCK = 16384 };

static int numbers_taken(struct job *job, const struct wire_message *m, vecdb_error *error) {
  if (!(m->has & WIRE_HAS(WIRE_NUMBER)) || !m->number)
    return calls_fail(error, VECDB_CLIENT_PROTOCOL, "", "an answer without its numbers");
  *(int64_t *)job->out = (int64_t)m->number;
  return VECDB_OK;
}

/* Asked again it takes others, and the first ones are lost, which does no harm. */
static int numbers_ask(vecdb_client *c, uint64_t n, int64_t *first, const vecdb_client_call *call,
                       vecdb_error *error) {
  struct job job = {.taken = numbers_taken, .reads = true, .out = first};
  int code = calls_begin(c, "*", call, &job, error); /* no collection's name */
  if (code)
    return code;
  job.message = (struct wire_message){
      .kind = WIRE_NUMBERS, .has = WIRE_HAS(WIRE_NUMBER), .number = n};
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}

int vecdb_client_numbers(vecdb_client *c, uint32_t n, int64_t *first,
                         const vecdb_client_call *call, vecdb_error *error) {
  int code = VECDB_OK;
  if (!c || !first || !n)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "client, n and first must be given");
  pthread_mutex_lock(&c->numbers_mutex);
  if (c->n_numbers < n) {
    const uint64_t block = n > NUMBERS_BLOCK ? n : NUMBERS_BLOCK;
    int64_t number;
    code = numbers_ask(c, block, &number, call, error);
    if (!code) {
      c->number = number;
      c->n_numbers = block;
    }
  }
  if (!code) {
    *first = c->number;
    c->number += n;
    c->n_numbers -= n;
  }
  pthread_mutex_unlock(&c->numbers_mutex);
  return code;
}
