/*
 * fuzz_batch.c - records of batches, read against one schema that has every type of field: any
 * bytes either are refused or give columns whose values can all be read.
 */
#include "attr/batch.h"
#include "unit/attr_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const vecdb_field fuzz_fields[] = {
    {.name = "key", .type = VECDB_VARCHAR, .max_length = 16, .flags = VECDB_PRIMARY_KEY},
    {.name = "bool", .type = VECDB_BOOL, .flags = VECDB_NULLABLE},
    {.name = "int16", .type = VECDB_INT16},
    {.name = "float", .type = VECDB_FLOAT},
    {.name = "double", .type = VECDB_DOUBLE, .flags = VECDB_NULLABLE},
    {.name = "ints", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 4},
    {.name = "bools", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 4},
    {.name = "texts", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 4,
     .max_length = 8, .flags = VECDB_NULLABLE},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 3},
    {.name = "half", .type = VECDB_FLOAT16_VECTOR, .dim = 3},
    {.name = "brain", .type = VECDB_BFLOAT16_VECTOR, .dim = 3, .metric = VECDB_IP},
    {.name = "tiny", .type = VECDB_INT8_VECTOR, .dim = 3},
    {.name = "bits", .type = VECDB_BINARY_VECTOR, .dim = 16},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_mem mem;
  struct vdb_schema *schema;
  struct vdb_batch batch;
  vecdb_error err = {0};
  vecdb_schema from = VECDB_SCHEMA_INIT;
  from.fields = fuzz_fields;
  from.n_fields = VDB_COUNT(fuzz_fields);
  vdb_mem_init(&mem, NULL, 0);
  if (vdb_schema_new(&mem, &from, &schema, &err))
    abort();
  uint8_t *record = gen_exact(data, size);
  int rc = vdb_batch_decode(&mem, schema, record, size, &batch, &err);
  if (rc == VECDB_OK) {
    volatile uint64_t sum = gen_read_all(&batch);
    (void)sum;
  } else if (rc != VECDB_ERR_CORRUPT || batch.columns) {
    abort();
  }
  vdb_batch_fini(&mem, &batch);
  free(record);
  vdb_schema_free(&mem, schema);
  if (mem.used != 0)
    abort();
  return 0;
}
