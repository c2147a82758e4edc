/* process.h - what the process uses, for /metrics: the names that Prometheus's clients agree on. */
#ifndef SRV_PROCESS_H
#define SRV_PROCESS_H

#include "server/page.h"

void srv_process_page(struct srv_page *page);

#endif
