/*
 * tenant.h - the rows of one tenant: how they are told from others', as a filter that the planner
 * runs, and as a check of rows that come or go. A row says whose it is in the field that
 * security.tenant_field names; a point of Qdrant's dialect says it in its payload, and so in its
 * terms (qdrant.h).
 */
#ifndef SRV_TENANT_H
#define SRV_TENANT_H

#include "server/call.h"

/* What it points to is the call's, or lies in its arena. */
struct srv_tenant {
  const char *field; /* of the rows */
  vecdb_value value; /* that it has in the tenant's: what a filter compares with */
  bool by_terms;
  const char *path;  /* of the payload */
  vecdb_string *terms; /* a tenant may be written as a text or as a number */
  uint32_t n_terms;
};

/* What tells the rows of call->who's tenant in a collection. READ_ONLY: it has no such field, or
   one of a type that cannot hold the tenant. */
int srv_tenant_of(struct srv_call *call, const vecdb_schema *schema, struct srv_tenant *out,
                  vecdb_error *error);
/* The filter, and that the rows are the tenant's: in the call's arena. The tenant comes as a bound
   value, and the filter's text must be closed in itself: nothing in it reaches beyond it. */
int srv_tenant_filter(struct srv_call *call, const struct srv_tenant *tenant,
                      const vecdb_filter *filter, vecdb_filter *out, vecdb_error *error);
/* Whether it says nothing. */
bool srv_tenant_is_blank(const vecdb_filter *filter);
/* Whether the value of srv_tenant.field makes a row the tenant's. */
bool srv_tenant_owns(const struct srv_tenant *tenant, vecdb_value value);
/* Whether all rows of a batch say that they are the tenant's and nobody else's; READ_ONLY with the
   row. */
int srv_tenant_check(const struct srv_tenant *tenant, const vecdb_schema *schema,
                     const vecdb_batch *batch, vecdb_error *error);

/* The one column of that name in a batch, NULL: none, or two; and a value of it, of an integer, a
   text or an array. */
const vecdb_column *srv_batch_column(const vecdb_batch *batch, const char *field);
vecdb_value srv_batch_value(const vecdb_field *field, const vecdb_column *column, uint32_t row);

/* Fills an error, which may be NULL; gives the code. */
int srv_tenant_error(vecdb_error *error, int code, int64_t row, const char *message);

#endif
