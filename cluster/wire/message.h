/*
 * message.h - what clients and routers ask of nodes and what these answer, as payloads of
 * FRAME_QUERY and FRAME_ANSWER. The frame has the request's number and what is left of its
 * deadline; the rest is here.
 *
 * A message is a head of 16 bytes (kind u16, version u8, least u8, bytes u32, zero u64), then
 * sections: tag u16, flags u16, bytes u32, fields, zeros up to 8. A later version adds sections, or
 * fields at the end of one; both are skipped by who does not know them, unless the section is
 * critical or the message's `least` is beyond the reader's version.
 */
#ifndef CLUSTER_WIRE_MESSAGE_H
#define CLUSTER_WIRE_MESSAGE_H

#include "wire/columns.h"

enum {
  WIRE_VERSION = 1,
  WIRE_LIMIT = 16 << 20,   /* bytes of a message: what a frame of its type may have */
  WIRE_BODY_MAX = 4 << 20, /* of a WIRE_WRITE: what one entry of a shard's log may have */
  WIRE_TEXT_MAX = 65536,   /* of a schema or an address */
  WIRE_DOCUMENTS = 8192,   /* of one WIRE_MAP answer */
  WIRE_CENTROIDS = 4096,   /* of one shard's summary */
  WIRE_FILTERS = 1024,     /* of one answer to WIRE_CHANGES */
  WIRE_MESSAGE = 512       /* of an error's words */
};
/* Ids of clients, in hellos and certificates, have this bit: they are asked nothing and hold
   nothing. Ids of nodes are below. */
#define WIRE_CLIENT 0x80000000u
#define WIRE_NO_SHARD UINT32_MAX /* the request is of the whole collection: a node routes it */

enum wire_kind {
  WIRE_WRITE = 1, /* insert, upsert, update, delete; its bytes may be kept in a shard's log */
  WIRE_SEARCH = 2,
  WIRE_GET = 3,
  WIRE_QUERY = 4,
  WIRE_COUNT = 5,
  WIRE_STATS = 6,  /* of one shard: counters, and its summary for routing */
  WIRE_MAP = 7,    /* the documents that a router needs of one collection, by name */
  WIRE_CREATE = 8, /* a collection, by name and document */
  WIRE_DROP = 9,
  WIRE_LIST = 11,   /* the names of all collections */
  WIRE_ALTER = 12,  /* fields that are added to a collection, by name and schema; the answer's
                       number is the schema's version from then on */
  WIRE_NUMBERS = 13, /* so many numbers for rows; the answer's number is the first of them */
  WIRE_CHANGES = 14, /* what writes have touched since a position of the shard's log */
  WIRE_RESHAPE = 15, /* another change of a collection's schema, by name and change
                        (wire/reshape.h); answered as ALTER */
  WIRE_EXPLAIN = 16, /* how a shard would do a search, in words: one document */
  WIRE_COMPACT = 17, /* merges the files of the replica that is asked; its rows stay the same */
  WIRE_EXPIRE = 18,  /* when a collection's rows go, by name and wire/expiry.h; the answer's number
                        is the revision of its document from then on */
  WIRE_SPARSE = 19,  /* in how many rows a sparse field has each index: the field, the indices as
                        keys. Answered with one column of counts, and the rows that were counted */
  WIRE_CANCEL = 10, /* frame.request: nobody waits for its answer any more. Not answered */
  WIRE_ANSWER = 32, /* to any of them */
  WIRE_KINDS
};

/* Codes of answers: those of vecdb.h, and these. Which may be tried again, and where: */
enum wire_code {
  WIRE_NOT_PRIMARY = 200, /* elsewhere: at result.node, unless 0 */
  WIRE_NO_REPLICA,        /* elsewhere: the shard is not here (any more) */
  WIRE_OVERLOADED,        /* later: after result.retry_ms */
  WIRE_UNAVAILABLE,       /* later, or elsewhere: no primary, not enough in sync, stopping */
  WIRE_UNKNOWN,           /* the write may still happen; again, with the same op id */
  WIRE_NOT_FRESH,         /* elsewhere: this replica is behind what the read may take */
  WIRE_LOST,              /* session: the write that the token is of was cut off */
  WIRE_OLD_OP,            /* never: an op id from before the client's window */
  WIRE_SCHEMA,            /* after reading the map: the schema is another one now */
  WIRE_PROTOCOL,          /* never: the message could not be read */
  WIRE_SOME_SHARDS,       /* some shards gave no answer, and partial ones were not asked for */
  WIRE_NO_NODE,           /* no node could be reached */
  WIRE_STALE_MAP          /* after reading the map: the shard's slots have changed */
};
/* The code in words; of vecdb.h's codes those that routers give themselves. */
const char *wire_code_text(int code);
/* Whether trying again, with the same op id, can help. */
bool wire_code_again(int code);

/* Whose the request is, and what its sender believes: (epoch, rev) is the shard's fence, 0: not
   known. */
struct wire_target {
  uint32_t collection;
  uint32_t shard;
  uint64_t schema; /* version */
  uint64_t epoch;
  uint64_t rev;
  /* How often the shard's slots had changed by the map that the request was divided by; 0 also of
     who knows nothing of that. */
  uint64_t generation;
};

enum wire_write_kind {
  WIRE_INSERT = 1,
  WIRE_UPSERT,
  WIRE_UPDATE,      /* flags: those of vecdb_update */
  WIRE_DELETE,      /* keys */
  WIRE_DELETE_WHERE, /* filter */
  WIRE_PUSH,         /* rows: the key, and vectors of one field; flags: those of vecdb_push, and the
                        kind of push times WIRE_PUSH_KIND. With WIRE_VERSION_COLUMN the version
                        that each row must have before, which nodes that speak
                        DOC_SPEAKS_EXPECTED know */
  WIRE_OPTIMIZE,     /* optimizer of a field, at every shard */
  WIRE_CHECK,        /* changes nothing: each replica makes a digest of its rows as of this entry */
  WIRE_FIELDS_ADD,   /* name: the whole schema, of which the shard adds what it lacks. Of primaries
                        alone, in their logs: from nobody else it is refused */
  WIRE_SPLIT,        /* likewise: flags are a rep_split_entry; documents: the collection's, the
                        split's and, where there are any, the ranges' */
  WIRE_RESHAPED      /* likewise: name: one change of the schema (wire/reshape.h) */
};
enum { WIRE_PUSH_KIND = 0x10000 };
enum { WIRE_SPLIT_RELEASE = 2 }; /* of WIRE_SPLIT: rows are another shard's from here on */
/* The name behind a field's in GET that asks for versions (vecdb_pull), of an INT64 column: key,
   vector, this. */
#define WIRE_VERSION_COLUMN "$version"

struct wire_optimizer {
  const char *field;
  bool none; /* the field takes no pushes any more */
  vecdb_optimizer optimizer;
};

/* ack: a doc_ack of meta/doc.h and 1 more; 0: the collection's. Never weaker than that. */
struct wire_write {
  uint64_t client; /* op id: who writes, and its number among their writes to this shard, from 1 */
  uint64_t count;
  uint8_t kind;
  uint8_t ack;
  uint32_t flags;
};

enum wire_level { WIRE_LOCAL, WIRE_SESSION, WIRE_STRONG };

/* What a read may see. Milvus: Eventually and Bounded are LOCAL, Session is SESSION, Strong is
   STRONG. */
struct wire_read {
  uint8_t level;
  bool partial;        /* a search out of time may answer what it has */
  uint32_t max_age_ms; /* LOCAL; 0: the node's choice */
  uint64_t seq;        /* SESSION: the shard's position that must be applied */
  uint64_t epoch;
};
/* "local", "session", "strong", and Milvus's names in any case; -1: none. */
int wire_level_parse(const char *name);

struct wire_search {
  const char *field; /* "": the only vector field */
  int32_t type;      /* of the queries, a vecdb_type */
  uint32_t dim;      /* of dense ones */
  uint32_t n_queries;
  uint32_t k;
  uint32_t ef;
  uint32_t nprobe;
  float recall;
  int32_t plan;
  const void *queries; /* n_queries, packed; aligned to WIRE_ALIGN when read */
};

/* A search's rows by the value of a field (vecdb_search_groups): k groups at most, `hits` rows of
   each. They are answered as hits, group by group, with the field among theirs. */
struct wire_group {
  const char *field;
  uint32_t hits;
};

struct wire_names {
  const char *const *names;
  uint32_t n;
};

struct wire_page {
  uint32_t limit;
  uint64_t offset;
};

/* CREATE: text is a `coll` document's (meta/doc.h), its id and state of no meaning. ALTER: it is a
   schema of the new fields. RESHAPE: a change. EXPIRE: an expiry. MAP, DROP: it is empty. */
struct wire_name {
  const char *name;
  const char *text;
};

/* How it went. `message` is "" where all is well. */
struct wire_result {
  int32_t code;
  uint32_t shard;
  uint64_t epoch; /* the node's view of the shard's fence */
  uint64_t rev;
  uint64_t seq; /* position of the write, or of what was read: a token for session reads */
  uint64_t seq_epoch;
  uint32_t node; /* NOT_PRIMARY: who is, or 0 */
  uint32_t retry_ms;
  uint32_t copies;    /* writes: durable ones */
  bool partial;       /* something is missing from the answer */
  uint32_t shards_ok; /* of answers for a whole collection */
  uint32_t shards_all;
  int64_t row; /* as in vecdb_error */
  int64_t position;
  const char *field;
  const char *message;
};

/* Hits of all queries one after the other, nearest first. Keys are column 0 of the message's
   `rows`, whose row i is hit i; further columns are the fields that were asked for. */
struct wire_hits {
  uint32_t n_queries;
  uint32_t n;
  const uint32_t *counts; /* of each query */
  const float *scores;
};

/* A place in a shard's log, as in replica/types.h: equal ones mean equal logs up to there. */
struct wire_position {
  uint64_t seq;
  uint64_t epoch;
  uint64_t chain;
};

/* CHANGES: behind `after`. `now`: nothing but the position that a read of this level sees. */
struct wire_since {
  struct wire_position after;
  uint32_t entries; /* at most; 0: the node's choice */
  bool now;
};

/* What the entries behind the position that was asked for have touched, up to `position`: rows with
   the keys of the message, and those that a filter matched when its turn came. */
struct wire_changed {
  struct wire_position position;
  uint64_t schema; /* the version that the rows have there */
  bool all;        /* not known, or not asked for: the log does not have that position (any more) */
  bool more;       /* entries that could be told of are behind it */
  uint32_t n_filters;
  const vecdb_filter *filters;
};

struct wire_stats {
  uint64_t rows;
  uint64_t bytes;
  uint64_t applied; /* position */
  uint64_t commit;
  uint64_t queue_bytes; /* of requests that wait at the node */
  uint32_t queue;
  uint32_t role; /* 1: primary */
  /* How long ago everything that was committed then is applied here; UINT32_MAX: not known, also to
     nodes of before there was this field. */
  uint32_t age_ms;
  uint64_t checked; /* position of the last WIRE_CHECK that it has done; 0: none */
  uint64_t digest;  /* of its rows then */
  /* As vecdb_stats has them; 0 from nodes of before there were these. */
  uint64_t bytes_growing, bytes_index; /* of `bytes` */
  uint64_t segments_growing, segments_sealed, segments_indexed;
  uint64_t merge_bytes;
  uint64_t index_builds, index_build_ns;
};

/*
 * Where a shard's vectors of one field are: balls that hold them all. A query is no nearer to a row
 * than its distance to the ball's centre less the radius; norms bound inner products.
 */
struct wire_summary {
  const char *field;
  uint32_t dim;
  uint32_t n;
  uint64_t version;       /* grows when the summary changes */
  const float *centroids; /* n * dim */
  const float *radii;     /* of the ball around each */
  const uint64_t *rows;   /* in each */
  float norm_min;
  float norm_max;
};

/* A document of the metadata store, as text. */
struct wire_document {
  uint32_t kind; /* a doc_kind of meta/key.h */
  uint32_t a;
  uint32_t b;
  int64_t mod;
  const char *text;
  size_t n;
};
/* Of the answer to LIST: kind WIRE_COLLECTION, a its id, text its name. To EXPLAIN: WIRE_PLAN, a
   the shard, b the node, text the plan. */
enum { WIRE_COLLECTION = 0x100, WIRE_PLAN = 0x101 };

/* Parts of messages: sections by their tag. */
enum wire_part {
  WIRE_TARGET = 1,
  WIRE_OP = 2,    /* write */
  WIRE_BATCH = 3, /* rows: of a write, or of an answer */
  WIRE_KEYS = 4,  /* keys; of QUERY the one after which to go on */
  WIRE_FILTER = 5,
  WIRE_FIELDS = 6,  /* names of output fields; without it: GET, QUERY all, SEARCH only keys */
  WIRE_VECTORS = 7, /* search */
  WIRE_READ = 8,
  WIRE_PAGE = 9,
  WIRE_NAME = 10,
  WIRE_RESULT = 11,
  WIRE_HITS = 12,
  WIRE_FOUND = 13,  /* a byte per key or row: 1 where it was there */
  WIRE_NUMBER = 14, /* COUNT: rows; deletes: deleted */
  WIRE_STATE = 15,  /* stats */
  WIRE_SUMMARY = 16,
  WIRE_DOCUMENTS_OF = 17, /* documents */
  WIRE_OPTIMIZER = 18,
  WIRE_GROUP = 19,
  WIRE_SINCE = 20,
  WIRE_CHANGED = 21, /* with WIRE_KEYS beside it */
  WIRE_PARTS
};
#define WIRE_HAS(part) (1u << (part))

struct wire_message {
  uint16_t kind;
  uint8_t version; /* of who wrote it */
  uint32_t has;    /* WIRE_HAS of its parts */
  struct wire_target target;
  struct wire_write write;
  struct wire_columns rows;
  vecdb_keys keys;
  vecdb_filter filter;
  struct wire_names fields;
  struct wire_search search;
  struct wire_group group;
  struct wire_read read;
  struct wire_page page;
  struct wire_optimizer optimizer;
  struct wire_name name;
  struct wire_result result;
  struct wire_hits hits;
  const uint8_t *found;
  uint32_t n_found;
  uint64_t number;
  struct wire_stats stats;
  struct wire_summary summary;
  struct wire_since since;
  struct wire_changed changed;
  const struct wire_document *documents;
  uint32_t n_documents;
};

/* The versions that a push expects of its rows, as they were read; NULL: any. */
const uint64_t *wire_push_expected(const struct wire_message *m);

/* Appends the message to an empty buffer; out->status tells how it went. */
void wire_message_write(const struct wire_message *m, struct wire_out *out);
/*
 * Reads a message; it points into the bytes and into `mem`, which the caller frees in any case.
 * Every length is checked before it is used or allocated for, and each kind has the parts that it
 * needs and no others of this version. Bytes that are not aligned to WIRE_ALIGN are copied first.
 */
enum wire_status wire_message_read(const void *data, size_t n, struct wire_mem *mem,
                                   struct wire_message *out);

#endif
