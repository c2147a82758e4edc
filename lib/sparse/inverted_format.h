/* inverted_format.h - section tags of inverted indexes; the layout is drawn in inverted.h. */
#ifndef VDB_INVERTED_FORMAT_H
#define VDB_INVERTED_FORMAT_H

#include "base/sect.h"

#define VDB_INVERTED_INDICES VDB_TAG('S', 'P', 'I', 'X')
#define VDB_INVERTED_BEGINS VDB_TAG('S', 'P', 'B', 'G')
#define VDB_INVERTED_POSTINGS VDB_TAG('S', 'P', 'P', 'O')

#endif
