/* demo_data.h - the passages and questions of the demo; examples/data/README.md has the formats. */
#ifndef DEMO_DATA_H
#define DEMO_DATA_H

#include "vecdb.h"

/* Columns, so that a batch can point straight into them. Strings are "" where the file has none. */
struct demo_passages {
  uint32_t n;
  uint32_t dim;
  const char **package;
  const char **section;
  const char **priority;
  const char **text;
  int64_t *installed_kb;
  int64_t *download_bytes;
  const vecdb_string **tags; /* per passage, n_tags[i] of them */
  uint32_t *n_tags;
  uint8_t *has_section; /* one byte per passage, as vecdb_column.valid wants it */
  float *vectors;       /* n times dim */
  vecdb_string *all_tags;
  char *file; /* what the strings point into */
};

struct demo_questions {
  uint32_t n;
  uint32_t dim;
  const char **text;
  float *vectors;
  char *file;
};

/* Reads the files in `folder`; false after a message on stderr. Free what was read, also then. */
bool demo_passages_read(const char *folder, struct demo_passages *out);
void demo_passages_free(struct demo_passages *passages);
bool demo_questions_read(const char *folder, struct demo_questions *out);
void demo_questions_free(struct demo_questions *questions);

#endif
