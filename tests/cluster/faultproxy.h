/*
 * faultproxy.h - what lies between the processes of a test cluster: every connection goes through
 * one thread of the test, which can hold what one end sends to another back, or slow it down. Ends
 * are small numbers; a connection's source is known by its address, 127.0.0.(10 + end), or
 * 127.0.0.1 for end 0 (faultnode.c binds it so).
 */
#ifndef FAULTPROXY_H
#define FAULTPROXY_H

#include <stdbool.h>

enum { FAULT_ENDS = 10, FAULT_ADDRESS = 10 };

struct fault_proxy;

struct fault_proxy *fault_proxy_open(void);
void fault_proxy_close(struct fault_proxy *p);
/* The port at which the end, which listens at `port`, is to be called. */
int fault_proxy_add(struct fault_proxy *p, int end, int port);
/* While its process is down, whoever calls an end is refused. */
void fault_proxy_down(struct fault_proxy *p, int end, bool down);
/* Bytes one way stay where they are, also the news that a connection is over. */
void fault_proxy_hold(struct fault_proxy *p, int from, int to, bool held);
/* Bytes one way arrive so much later. */
void fault_proxy_delay(struct fault_proxy *p, int from, int to, int ms);

#endif
