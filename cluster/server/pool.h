/*
 * queue.h - work waiting for a thread: a bounded queue and the threads that empty it. What does not
 * fit is refused at once, so that under overload requests are turned away instead of growing old.
 */
#ifndef SRV_QUEUE_H
#define SRV_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct srv_queue;

/* `threads` threads and room for `capacity` waiting items; NULL when the system refuses. */
struct srv_queue *srv_queue_start(unsigned threads, size_t capacity);
/* Has run(item) called by a thread; false when the queue is full or stopping. Any thread. */
bool srv_queue_add(struct srv_queue *queue, void (*run)(void *item), void *item);
/* Whether an item would be refused now. Cheap; any thread. */
bool srv_queue_full(struct srv_queue *queue);
/* Runs what waits, then ends the threads and frees the queue. NULL is fine. */
void srv_queue_stop(struct srv_queue *queue);

#endif
