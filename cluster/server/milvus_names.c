/* milvus_names.c - tables of Milvus's names; see milvus_names.h. */
#include "server/milvus_names.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *name;
  int64_t number;
  int32_t type;
} milvus_types[] = {
    {"Bool", 1, VECDB_BOOL},
    {"Int8", 2, VECDB_INT8},
    {"Int16", 3, VECDB_INT16},
    {"Int32", 4, VECDB_INT32},
    {"Int64", 5, VECDB_INT64},
    {"Float", 10, VECDB_FLOAT},
    {"Double", 11, VECDB_DOUBLE},
    {"VarChar", 21, VECDB_VARCHAR},
    {"Array", 22, VECDB_ARRAY},
    {"BinaryVector", 100, VECDB_BINARY_VECTOR},
    {"FloatVector", 101, VECDB_FLOAT_VECTOR},
    {"Float16Vector", 102, VECDB_FLOAT16_VECTOR},
    {"BFloat16Vector", 103, VECDB_BFLOAT16_VECTOR},
    {"SparseFloatVector", 104, VECDB_SPARSE_VECTOR},
    {"Int8Vector", 105, VECDB_INT8_VECTOR},
};
enum { MILVUS_TYPES = sizeof milvus_types / sizeof milvus_types[0] };

int32_t srv_milvus_type(int64_t number) {
  for (size_t i = 0; i < MILVUS_TYPES; i++)
    if (milvus_types[i].number == number)
      return milvus_types[i].type;
  return 0;
}

int32_t srv_milvus_type_parse(const char *name) {
  for (size_t i = 0; i < MILVUS_TYPES; i++)
    if (strcasecmp(milvus_types[i].name, name) == 0)
      return milvus_types[i].type;
  return 0;
}

int64_t srv_milvus_type_number(int32_t type) {
  for (size_t i = 0; i < MILVUS_TYPES; i++)
    if (milvus_types[i].type == type)
      return milvus_types[i].number;
  return 0;
}

const char *srv_milvus_type_name(int32_t type) {
  for (size_t i = 0; i < MILVUS_TYPES; i++)
    if (milvus_types[i].type == type)
      return milvus_types[i].name;
  return "None";
}

static const char *const milvus_metrics[] = {"", "L2", "IP", "COSINE", "HAMMING", "JACCARD"};

int32_t srv_milvus_metric(const char *name) {
  for (int32_t i = VECDB_L2; i <= VECDB_JACCARD; i++)
    if (strcasecmp(milvus_metrics[i], name) == 0)
      return i;
  return 0;
}

const char *srv_milvus_metric_name(int32_t metric) {
  return metric >= VECDB_L2 && metric <= VECDB_JACCARD ? milvus_metrics[metric] : "";
}

/* What a parameter of Milvus sets in an index that has a use for it. */
enum { USE_GRAPH = 1, USE_LISTS = 2, USE_PQ = 4, USE_BITS = 8 };

static const struct {
  const char *name;
  int32_t type;
  unsigned uses;
} milvus_indexes[] = {
    {"AUTOINDEX", VECDB_INDEX_AUTO, 0},
    {"", VECDB_INDEX_AUTO, 0},
    {"FLAT", VECDB_INDEX_FLAT, 0},
    {"BRUTE_FORCE", VECDB_INDEX_FLAT, 0},
    {"HNSW", VECDB_INDEX_HNSW, USE_GRAPH},
    {"HNSW_SQ", VECDB_INDEX_HNSW_SQ, USE_GRAPH},
    {"HNSW_PQ", VECDB_INDEX_HNSW_PQ, USE_GRAPH | USE_PQ | USE_BITS},
    {"IVF_FLAT", VECDB_INDEX_IVF_FLAT, USE_LISTS},
    {"IVF_SQ8", VECDB_INDEX_IVF_SQ8, USE_LISTS},
    {"IVF_PQ", VECDB_INDEX_IVF_PQ, USE_LISTS | USE_PQ | USE_BITS},
    {"SCANN", VECDB_INDEX_IVF_PQ, USE_LISTS},
    {"IVF_RABITQ", VECDB_INDEX_IVF_RABITQ, USE_LISTS},
    {"IVF_HNSW", VECDB_INDEX_IVF_HNSW, USE_LISTS | USE_GRAPH},
    {"DISKANN", VECDB_INDEX_DISK, 0},
    {"BIN_FLAT", VECDB_INDEX_BIN_FLAT, 0},
    {"BIN_IVF_FLAT", VECDB_INDEX_BIN_IVF, USE_LISTS},
};
enum { MILVUS_INDEXES = sizeof milvus_indexes / sizeof milvus_indexes[0] };

bool srv_milvus_scalar_index(const char *name) {
  static const char *const names[] = {"INVERTED", "STL_SORT", "Trie", "BITMAP", "AUTOINDEX", ""};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcasecmp(names[i], name) == 0)
      return true;
  return false;
}

bool srv_milvus_index(const char *name, vecdb_index_params *out) {
  for (size_t i = 0; i < MILVUS_INDEXES; i++)
    if (strcasecmp(milvus_indexes[i].name, name) == 0) {
      *out = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
      out->type = milvus_indexes[i].type;
      return true;
    }
  return false;
}

static unsigned names_uses(int32_t type) {
  for (size_t i = 0; i < MILVUS_INDEXES; i++)
    if (milvus_indexes[i].type == type)
      return milvus_indexes[i].uses;
  return 0;
}

void srv_milvus_index_param(vecdb_index_params *params, const char *key, uint32_t value) {
  static const struct {
    const char *key;
    unsigned use;
    size_t offset;
  } known[] = {
      {"M", USE_GRAPH, offsetof(vecdb_index_params, m)},
      {"efConstruction", USE_GRAPH, offsetof(vecdb_index_params, ef_construction)},
      {"nlist", USE_LISTS, offsetof(vecdb_index_params, nlist)},
      {"m", USE_PQ, offsetof(vecdb_index_params, pq_m)},
      {"nbits", USE_BITS, offsetof(vecdb_index_params, nbits)},
  };
  unsigned uses = names_uses(params->type);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp(known[i].key, key) == 0 && (known[i].use & uses))
      memcpy((char *)params + known[i].offset, &value, sizeof value);
}

static const char *const milvus_levels[] = {"Strong", "Session", "Bounded", "Eventually",
                                            "Customized"};

int srv_milvus_consistency(const char *name) {
  for (int i = 0; i < 5; i++)
    if (strcasecmp(milvus_levels[i], name) == 0)
      return i;
  return -1;
}

const char *srv_milvus_consistency_name(int level) {
  return level >= 0 && level < 5 ? milvus_levels[level] : "Strong";
}

int srv_milvus_code_of(int status) {
  switch (status) {
  case VECDB_ERR_NOT_FOUND:
  case VECDB_ERR_CLOSED:
    return SRV_MILVUS_NO_COLLECTION;
  case VECDB_ERR_NO_MEMORY:
    return SRV_MILVUS_NO_MEMORY;
  default:
    return status <= VECDB_ERR_JSON || status == VECDB_ERR_UNSUPPORTED ? SRV_MILVUS_ARGUMENT
                                                                     : SRV_MILVUS_UNEXPECTED;
  }
}

int srv_milvus_old_code(int code) {
  switch (code) {
  case SRV_MILVUS_NO_COLLECTION:
    return 4;
  case SRV_MILVUS_NOT_LOADED:
    return 101;
  case SRV_MILVUS_NO_PARTITION:
    return 200;
  case SRV_MILVUS_NO_INDEX:
    return 25; /* IndexNotExist */
  case SRV_MILVUS_ARGUMENT:
    return 5; /* IllegalArgument */
  case SRV_MILVUS_NO_MEMORY:
    return 24;
  default:
    return 1;
  }
}

const char *srv_milvus_code_name(int code) {
  static const struct {
    int code;
    const char *name;
  } names[] = {
      {SRV_MILVUS_NO_MEMORY, "NO_MEMORY"},       {SRV_MILVUS_NO_COLLECTION, "NOT_FOUND"},
      {SRV_MILVUS_NOT_LOADED, "NOT_LOADED"},     {SRV_MILVUS_NO_PARTITION, "NO_PARTITION"},
      {SRV_MILVUS_NO_INDEX, "NO_INDEX"},         {SRV_MILVUS_NO_DATABASE, "NO_DATABASE"},
      {SRV_MILVUS_ARGUMENT, "ARGUMENT"},         {SRV_MILVUS_NO_ALIAS, "NO_ALIAS"},
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].code == code)
      return names[i].name;
  return "UNEXPECTED";
}
