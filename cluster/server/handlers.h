/*
 * handlers.h - what the routes do. Each reads the call, asks the library and answers; the OpenAPI
 * document (openapi.json) has the shapes.
 */
#ifndef SRV_HANDLERS_H
#define SRV_HANDLERS_H

#include "server/call.h"

/* handle_admin.c */
srv_handler srv_health, srv_ready, srv_version, srv_memory, srv_openapi, srv_snapshot_create,
    srv_encryption_rotate;
/* metrics_page.c: GET /metrics */
srv_handler srv_metrics_page;
/* console.c: GET /console and its files */
srv_handler srv_console_html, srv_console_css, srv_console_js;
/* handle_collections.c */
srv_handler srv_collections_list, srv_collection_create, srv_collection_describe,
    srv_collection_drop, srv_collection_stats, srv_collection_flush, srv_collection_compact,
    srv_index_create, srv_index_drop;
/* {"name", "fields"...} of a collection; NULL when it cannot be told. */
json_t *srv_collection_json(struct engine_collection *collection);
/* handle_alter.c */
srv_handler srv_rows_update, srv_fields_add, srv_field_drop, srv_field_rename,
    srv_json_index_create, srv_json_index_drop, srv_collection_expire;
/* handle_push.c */
srv_handler srv_optimizer_set, srv_optimizer_drop, srv_rows_push, srv_rows_pull;
/* handle_rows.c */
srv_handler srv_rows_insert, srv_rows_upsert, srv_rows_stream, srv_rows_get, srv_row_get,
    srv_rows_delete, srv_rows_query, srv_rows_count;
/* handle_search.c */
srv_handler srv_search, srv_explain, srv_front_search;

#endif
