/*
 * json_field.h - values of JSON fields: any JSON in a request or answer, and its text in the
 * library.
 */
#ifndef SRV_JSON_FIELD_H
#define SRV_JSON_FIELD_H

#include "server/call.h"

/* The value, to be released, as any JSON is: no array of numbers is in one piece, however deep.
   NULL: out of memory. */
json_t *srv_json_field_plain(json_t *value);
/* The text of a value, in the call's memory, and a pointer to it where `to` points. False: it does
   not fit, or memory is short. */
bool srv_json_field_read(struct srv_call *call, json_t *value, void *to, uint32_t *length);
/* The value of a text. What Jansson cannot hold, such as an integer of more than 64 bits, becomes
   a real number or, where that is infinite, the text. */
json_t *srv_json_field_write(vecdb_value v);

#endif
