/*
 * metrics_edge.h - what /metrics tells of the collections that this server follows: nothing where
 * it follows none.
 */
#ifndef SRV_METRICS_EDGE_H
#define SRV_METRICS_EDGE_H

#include "engine/engine.h"
#include "server/page.h"

void srv_edge_page(struct srv_page *page, const struct engine *engine);

#endif
