/* doc_int.h - what the files of the documents' codecs know of each other. For them alone. */
#ifndef CLUSTER_META_DOC_INT_H
#define CLUSTER_META_DOC_INT_H

#include "meta/fields.h"

/* doc.c: of a split all but its slots, and its rules. */
extern const struct field doc_split_fields[];
bool doc_split_valid(const struct doc_split *doc, char *why);

#endif
