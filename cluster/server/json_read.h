/*
 * json_read.h - JSON text into Jansson's values, by simdjson where it can: Jansson's own reader
 * takes longer for a vector of 384 numbers than its search does. What it makes is what json_loadb
 * makes.
 */
#ifndef SRV_JSON_READ_H
#define SRV_JSON_READ_H

#include <jansson.h>

/* Reads an object or an array, refusing duplicate keys. NULL with the place and the reason in
   `why`. */
json_t *srv_json_read(const char *text, size_t n, json_error_t *why);

/*
 * Where arrays of numbers may be kept in one piece (json_numbers.h), from eight elements on and if
 * they are not all integers: from `first` to `last` levels below the value of a member of the
 * outermost object. Whoever reads such places must know of it.
 */
struct srv_json_place {
  const char *member; /* NULL: all others, at the end of a list */
  int first, last;    /* last -1: nowhere */
  const char *const *under; /* if there are objects on the way, of the first only these members,
                               NULL at the end; NULL: of any */
};

json_t *srv_json_read_at(const char *text, size_t n, const struct srv_json_place *places,
                         json_error_t *why);

#endif
