/*
 * fuzz_schema.c - stored schemas: any bytes either are refused or give a schema that survives being
 * written and read again.
 */
#include <stdlib.h>

#include "attr/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes what the schema encodes to; both must encode to the same bytes. */
static void fuzz_again(struct vdb_mem *mem, const struct vdb_schema *schema) {
  struct vdb_writer first = VDB_WRITER(mem), second = VDB_WRITER(mem);
  struct vdb_schema *again;
  vecdb_error err = {0};
  vdb_schema_encode(schema, &first);
  if (vdb_schema_decode(mem, first.data, first.n, &again, &err))
    abort();
  vdb_schema_encode(again, &second);
  if (first.n != second.n || memcmp(first.data, second.data, first.n) != 0)
    abort();
  vdb_schema_free(mem, again);
  vdb_writer_free(&first);
  vdb_writer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_mem mem;
  struct vdb_schema *schema;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  int rc = vdb_schema_decode(&mem, data, size, &schema, &err);
  if (rc == VECDB_OK)
    fuzz_again(&mem, schema);
  else if (rc != VECDB_ERR_CORRUPT || schema)
    abort();
  vdb_schema_free(&mem, schema);
  if (mem.used != 0)
    abort();
  return 0;
}
