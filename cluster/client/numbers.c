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
static int numbers_ask(vecdb_client *c, struct job *job, uint64_t n, vecdb_error *error) {
  int64_t first;
  job->out = &first;
  job->message = (struct wire_message){
      .kind = WIRE_NUMBERS, .has = WIRE_HAS(WIRE_NUMBER), .number = n};
  int code = calls_run(c, job, error);
  if (!code) {
    c->number = first;
    c->n_numbers = n;
  }
  return code;
}

/* One thread asks at a time, and the others wait for it no longer than they would for an answer: by
   the time of day, which is what pthread_mutex_timedlock has and thread sanitizers know. */
static bool numbers_lock(vecdb_client *c, int64_t until_us) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  const int64_t us = until_us - client_clock() + until.tv_nsec / 1000;
  until.tv_sec += us / 1000000;
  until.tv_nsec = us % 1000000 * 1000;
  return pthread_mutex_timedlock(&c->numbers_mutex, &until) == 0;
}

int vecdb_client_numbers(vecdb_client *c, uint32_t n, int64_t *first,
                         const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.taken = numbers_taken, .reads = true};
  if (!c || !first || !n)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "client, n and first must be given");
  int code = calls_begin(c, "*", call, &job, error); /* no collection's name */
  if (code)
    return code;
  if (!numbers_lock(c, job.deadline_us))
    return calls_fail(error, VECDB_ERR_TIMEOUT, "", "other calls wait for numbers, too");
  if (c->n_numbers < n)
    code = numbers_ask(c, &job, n > NUMBERS_BLOCK ? n : NUMBERS_BLOCK, error);
  if (!code) {
    *first = c->number;
    c->number += n;
    c->n_numbers -= n;
  }
  pthread_mutex_unlock(&c->numbers_mutex);
  calls_free(&job);
  return code;
}
