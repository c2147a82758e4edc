/*
 * wrapper.cc - tests of vecdb.hpp: every class with and without exceptions, moves, failing memory,
 * and answers held against sums over all rows. tests/cpp/cpp.sh compiles it in each way that the
 * header promises, and runs it under the sanitizers. Usage: wrapper FOLDER (which is not there yet).
 */
#include "vecdb.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

/* Everything, also what is not called below. */
template class vdb::basic_database<vdb::as_results>;
template class vdb::basic_collection<vdb::as_results>;
template class vdb::basic_iterator<vdb::as_results>;
template struct vdb::basic_functions<vdb::as_results>;
#if VECDB_HPP_EXCEPTIONS
template class vdb::basic_database<vdb::as_exceptions>;
template class vdb::basic_collection<vdb::as_exceptions>;
template class vdb::basic_iterator<vdb::as_exceptions>;
template struct vdb::basic_functions<vdb::as_exceptions>;
#endif

#define CHECK(what)                                                        \
  do {                                                                     \
    if (!(what)) {                                                         \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
      std::exit(1);                                                        \
    }                                                                      \
  } while (0)

/* ---- Memory that can fail ---- */

static long allocations_left = -1; /* -1: no limit */

static void *limited(std::size_t n) noexcept {
  if (allocations_left == 0)
    return nullptr;
  if (allocations_left > 0)
    allocations_left--;
  return std::malloc(n ? n : 1);
}

void *operator new(std::size_t n) {
  if (void *p = limited(n))
    return p;
#if VECDB_HPP_EXCEPTIONS
  throw std::bad_alloc();
#else
  std::abort();
#endif
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, std::size_t) noexcept { std::free(p); }

/* ---- Rows ---- */

static const size_t n_rows = 500;
static const uint32_t dim = 6;

static std::vector<float> made(size_t n, unsigned seed) {
  std::vector<float> v(n * dim);
  unsigned state = seed;
  for (float &x : v) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(state >> 16) / 65536.0f - 0.5f;
  }
  return v;
}

static const std::vector<float> &vectors() {
  static const std::vector<float> v = made(n_rows, 7);
  return v;
}

static vdb::schema full_schema() {
  vdb::schema s("all of it");
  s.key("id")
      .scalar("n", VECDB_INT32, VECDB_NULLABLE)
      .text("t", 16)
      .array("a", VECDB_INT64, 4)
      .vector("v", dim, VECDB_L2)
      .sparse("p")
      .json("j", VECDB_NULLABLE);
  s.last().description = "any";
  return s;
}

/* Row i: n = i % 10 and null where i % 7 == 0, t = "even" or "odd", a = {i}, p = {(i % 5, 1)}. */
template <class Collection>
static auto fill(Collection &c, size_t n = n_rows) {
  std::vector<int64_t> ids(n), a(n);
  std::vector<int32_t> numbers(n);
  std::vector<uint8_t> valid(n);
  std::vector<std::string> texts(n);
  std::vector<const void *> arrays(n);
  std::vector<uint32_t> lengths(n, 1);
  std::vector<vecdb_sparse_pair> pairs(n);
  std::vector<vecdb_sparse> sparse(n);
  for (size_t i = 0; i < n; i++) {
    ids[i] = a[i] = static_cast<int64_t>(i);
    numbers[i] = static_cast<int32_t>(i % 10);
    valid[i] = i % 7 != 0;
    texts[i] = i % 2 ? "odd" : "even";
    arrays[i] = &a[i];
    pairs[i] = {static_cast<uint32_t>(i % 5), 1.0f};
    sparse[i] = {&pairs[i], 1};
  }
  vdb::batch b(n);
  b.column("id", ids).column("n", numbers).valid(valid).texts("t", texts);
  b.add("a", arrays.data()).lengths = lengths.data();
  b.vectors("v", vdb::span<const float>(vectors().data(), n * dim), dim);
  b.sparse("p", sparse);
  std::vector<std::string> json(n, "{ \"n\" : [7] }");
  b.texts("j", json);
  return c.upsert(b);
}

/* The rows that pass, nearest first, by sums in double. */
template <class Passes>
static std::vector<int64_t> nearest(const float *query, size_t k, Passes passes) {
  std::vector<std::pair<double, int64_t>> all;
  for (size_t i = 0; i < n_rows; i++) {
    double sum = 0;
    for (size_t j = 0; j < dim; j++) {
      double d = static_cast<double>(query[j]) - static_cast<double>(vectors()[i * dim + j]);
      sum += d * d;
    }
    if (passes(i))
      all.emplace_back(sum, static_cast<int64_t>(i));
  }
  std::sort(all.begin(), all.end());
  std::vector<int64_t> ids;
  for (size_t i = 0; i < k && i < all.size(); i++)
    ids.push_back(all[i].second);
  return ids;
}

static std::vector<int64_t> ids_of(vdb::span<const vecdb_hit> hits) {
  std::vector<int64_t> ids;
  for (const vecdb_hit &hit : hits)
    ids.push_back(hit.id);
  return ids;
}

static bool every(size_t) { return true; }

/* ---- Without exceptions ---- */

namespace nt = vdb::nothrow;
static_assert(noexcept(std::declval<nt::collection &>().count()), "nothrow");
static_assert(noexcept(std::declval<nt::database &>().close()), "nothrow");
static_assert(std::is_nothrow_move_constructible_v<nt::database>, "moves");
static_assert(std::is_nothrow_move_assignable_v<nt::collection>, "moves");
static_assert(!std::is_copy_constructible_v<nt::collection>, "no copies");
static_assert(!std::is_copy_assignable_v<vdb::rows>, "no copies");

static void test_results() {
  auto opened = nt::database::open(":memory:");
  CHECK(opened && opened.has_value() && opened.code() == VECDB_OK);
  nt::database db = *std::move(opened);
  CHECK(!nt::database().get() && db);
  auto missing = db.open_collection("none");
  CHECK(!missing && missing.code() == VECDB_ERR_NOT_FOUND && missing.error().message[0]);
  auto c = std::move(db.create("c", full_schema())).value();
  auto ids = fill(c, 10);
  CHECK(ids && ids->size() == 10 && (*ids)[9] == 9);
  CHECK(*c.count() == 10);
  auto wrong = c.count(vdb::filter("n ==="));
  CHECK(wrong.code() == VECDB_ERR_FILTER && wrong.error().position >= 0);
  vdb::batch short_batch(2);
  const std::vector<int64_t> one = {1};
  short_batch.column("id", one);
  CHECK(c.insert(short_batch).code() == VECDB_ERR_ARGUMENT ||
        c.insert(short_batch).code() == VECDB_ERR_LIMIT);
  CHECK(*c.count() == 10);
  vdb::control stopped;
  stopped.cancel();
  CHECK(c.compact(&stopped).code() == VECDB_ERR_CANCELLED);
  CHECK(nt::functions::index_type("hnsw").value() == VECDB_INDEX_HNSW);
  CHECK(nt::functions::index("HNSW(m=1,").code() == VECDB_ERR_OPTION);
  CHECK(db.drop("c") && c.count().code() == VECDB_ERR_CLOSED);
}

static void test_moves() {
  auto db = *nt::database::open(":memory:");
  nt::collection a = *db.create("a", full_schema());
  vecdb_collection *held = a.get();
  nt::collection b = std::move(a);
  CHECK(!a && b.get() == held);
  nt::collection &same = b;
  b = std::move(same);
  CHECK(b.get() == held);
  nt::collection other = *db.create("b", full_schema());
  other = std::move(b); /* releases the handle to "b" */
  CHECK(other.get() == held && std::string(other.name()) == "a");
  CHECK(fill(other, 20));
  vdb::rows rows = *other.get_rows(std::vector<int64_t>{3, 99, 4});
  vdb::rows moved = std::move(rows);
  CHECK(rows.empty() && moved.size() == 2 && moved.at(1, 0).integer() == 4);
  moved = vdb::rows();
  CHECK(moved.empty() && moved.n_fields() == 0);
  std::vector<nt::collection> many;
  for (int i = 0; i < 5; i++)
    many.push_back(*db.open_collection("a"));
  CHECK(many.back().count().value() == 20);
  vdb::fields names = {"n", "t"};
  vdb::fields copy(names), gone(std::move(names));
  CHECK(copy.size() == 2 && std::string(copy.data()[1]) == "t" &&
        std::string(gone.data()[0]) == "n");
  many.clear();
  other = nt::collection();
  nt::database db2 = std::move(db);
  CHECK(!db && db2 && db2.close());
}

static void test_helpers() {
  CHECK(std::string(vdb::version()) == VECDB_VERSION_STRING && vdb::version_number() == 100);
  CHECK(std::string(vdb::status_name(63)) == "VECDB_ERR_CORRUPT" && *vdb::status_text(63));
  CHECK(*vdb::kernels() && std::string(vdb::index_type_name(VECDB_INDEX_DISK)) == "DISK");
  CHECK(!vdb::index_type_name(-1));
  std::vector<float> v = {3, 4, 0, 0}, back(4);
  vecdb_field vectors = {};
  vectors.name = "v";
  vectors.type = VECDB_FLOAT_VECTOR;
  vectors.dim = 64;
  vectors.metric = VECDB_L2;
  vecdb_index_params graph = VECDB_INDEX_PARAMS_INIT;
  graph.type = VECDB_INDEX_HNSW;
  auto few = nt::functions::index_estimate(vectors, graph, 1000, 1);
  auto many = nt::functions::index_estimate(vectors, graph, 100000, 1);
  CHECK(few && many && few->build > 0 && many->build > few->build);
  CHECK(nt::functions::normalize(v, 2) && std::fabs(v[0] - 0.6f) < 1e-6f && v[2] == 0);
  std::vector<uint16_t> halves(4);
  vdb::to_float16(v, halves);
  vdb::from_float16(halves, back);
  CHECK(std::fabs(back[1] - 0.8f) < 1e-3f);
  vdb::to_bfloat16(v, halves);
  vdb::from_bfloat16(halves, back);
  CHECK(std::fabs(back[1] - 0.8f) < 1e-2f);
}

#if VECDB_HPP_EXCEPTIONS
/* ---- With exceptions ---- */

template <class F>
static int code_of(F &&f) {
  try {
    f();
  } catch (const vdb::error &e) {
    CHECK(e.code() == e.detail().code && std::string(e.what()).find("VECDB_ERR_") == 0);
    return e.code();
  }
  return VECDB_OK;
}

static void test_rows(vdb::collection &c) {
  CHECK(c.count() == n_rows && std::string(c.name()) == "c" && c.schema()->n_fields == 7);
  std::vector<uint8_t> found;
  vdb::rows rows = c.get_rows(std::vector<int64_t>{14, 1000, 15}, {}, &found);
  CHECK(rows.size() == 2 && rows.n_fields() == 7 && found == (std::vector<uint8_t>{1, 0, 1}));
  CHECK(std::string(rows.field(0)) == "id" && rows.find("nothing") == -1);
  CHECK(rows.at(0, "n").is_null() && rows.at(0, "nothing").is_null());
  CHECK(rows.at(1, "n").integer() == 5 && rows.at(1, "n").number() == 5);
  CHECK(rows.at(1, "t").text() == "odd" && rows.at(1, "n").text().empty());
  CHECK(rows.at(1, "j").type() == VECDB_JSON && rows.at(1, "j").text() == "{\"n\":[7]}");
  CHECK(rows.at(1, "a").elements<int64_t>()[0] == 15 && rows.at(1, "a").elements<float>().empty());
  CHECK(rows.at(1, "v").elements<float>().size() == dim);
  CHECK(rows.at(1, "v").elements<float>()[2] == vectors()[15 * dim + 2]);
  CHECK(rows.at(1, "p").elements<vecdb_sparse_pair>()[0].index == 0);

  vecdb_query_params page = VECDB_QUERY_PARAMS_INIT;
  page.limit = 2;
  std::vector<int64_t> ten = {10};
  vdb::keys after(ten);
  rows = c.query(vdb::filter("n < {x} and t in {list} and array_length(a) == 1")
                     .bind("x", 4)
                     .bind("list", std::vector<std::string>{"odd", "no"}),
                 {"t"}, page, &after);
  CHECK(rows.size() == 2 && rows.at(0, 0).integer() == 11 && rows.at(1, 0).integer() == 13);
  CHECK(c.count(vdb::filter("id in {l}").bind("l", std::vector<int64_t>{1, 2, 999})) == 2);
  CHECK(c.count(vdb::filter("id in {l}").bind("l", std::vector<double>{1, 2.5})) == 1);
  CHECK(c.count(vdb::filter("(id > 5) == {b}").bind("b", true)) == n_rows - 6);
  CHECK(c.count(vdb::filter("id < {d}").bind("d", 2.5)) == 3);
  CHECK(code_of([&] { c.count(vdb::filter("no == 1")); }) == VECDB_ERR_UNKNOWN_FIELD);
  uint64_t all = 0;
  const uint32_t indices[] = {0, 4, 9};
  CHECK(c.sparse_counts("p", indices, &all) == (std::vector<uint64_t>{100, 100, 0}));
  CHECK(all == n_rows);
  CHECK(c.sparse_counts("p", indices, &all, vdb::filter("id < 0")) ==
        (std::vector<uint64_t>{0, 0, 0}));
  CHECK(all == 0);
}

static void test_search(vdb::collection &c) {
  const std::vector<float> queries = made(3, 99);
  vdb::hits found = c.search(vdb::search(queries, 7, 3).in("v").with({"t"}));
  for (size_t q = 0; q < 3; q++)
    CHECK(ids_of(found.of(q)) == nearest(&queries[q * dim], 7, every));
  const vecdb_hit &hit = found.of(2)[3];
  CHECK(found.rows.at(hit.row, 0).integer() == hit.id && found.info.rows > 0);
  auto odd = [](size_t i) { return i % 2 == 1; };
  vdb::search s(vdb::span<const float>(queries.data(), dim), n_rows);
  s.in("v").where(vdb::filter("t == {t}").bind("t", "odd"));
  CHECK(ids_of(c.search(s).of()) == nearest(queries.data(), n_rows, odd));

  vdb::hits groups = c.search_groups(vdb::search(queries, 2, 3).in("v"), "t", 4);
  for (size_t g = 0; g < 6; g++) {
    bool is_odd = groups.of(g)[0].id % 2 == 1;
    CHECK(ids_of(groups.of(g)) == nearest(&queries[g / 2 * dim], 4,
                                          [&](size_t i) { return (i % 2 == 1) == is_odd; }));
  }
  CHECK(groups.of(0)[0].id == nearest(queries.data(), 1, every)[0]);

  vdb::hybrid both(5, VECDB_FUSION_SCORES);
  both.add(vdb::search(queries, 5, 3).in("v"), -1).with({"t"});
  vdb::hits ranked = c.search_hybrid(both);
  for (size_t q = 0; q < 3; q++)
    CHECK(ids_of(ranked.of(q)) == nearest(&queries[q * dim], 5, every));
  CHECK(ranked.rows.size() == 15);
  both.add_within(vdb::search(queries, 5, 1).in("v"), 1);
  CHECK(code_of([&] { c.search_hybrid(both); }) != VECDB_OK); /* one query, not three */

  vdb::hits within = c.search_range(s, 0.4f);
  CHECK(within.of().size() > 3 && within.of().size() < 250);
  CHECK(ids_of(within.of()) == nearest(queries.data(), within.of().size(), odd));
  for (const vecdb_hit &h : within.of())
    CHECK(h.score <= 0.4f);

  std::vector<int64_t> walked;
  vdb::iterator walk = c.iterate(s);
  for (vdb::hits part = walk.next(64, true); !part.all.empty(); part = walk.next(64))
    for (const vecdb_hit &h : part.of())
      walked.push_back(h.id);
  CHECK(walked == nearest(queries.data(), n_rows, odd));

  const vecdb_sparse_pair pair = {2, 3.0f};
  vdb::hits sparse = c.search(vdb::search(vecdb_sparse{&pair, 1}, 200).in("p"));
  CHECK(sparse.of().size() == 100 && sparse.of()[0].id == 2 && sparse.of()[0].score == 3.0f);
  CHECK(c.explain(s).find("t == ") != std::string::npos);
  CHECK(code_of([&] { c.search(vdb::search(queries, 0, 3).in("v")); }) == VECDB_ERR_K);
  CHECK(code_of([&] { c.search(vdb::search(queries, UINT32_MAX, 3).in("v")); }) == VECDB_ERR_K);
  CHECK(code_of([&] { c.search(vdb::search(queries, 1).in("v")); }) == VECDB_ERR_DIMENSION);
  CHECK(code_of([&] { c.explain(vdb::search(queries, 1, 3).in("t")); }) == VECDB_ERR_TYPE);
}

/* Rows 1 and 2 of two dimensions; the second is at 3, 4. */
static void test_pushes(vdb::collection &c) {
  const std::vector<int64_t> id = {2}, both = {2, 9};
  const std::vector<float> delta = {1, -1};
  CHECK(code_of([&] { c.push({"v", id, delta}); }) == VECDB_ERR_SCHEMA);
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  rule.kind = VECDB_OPTIMIZER_ADAM;
  c.optimizer_set("v", &rule);
  CHECK(c.optimizer("v").beta2 == 0.999f);
  CHECK(c.push({"v", id, delta, VECDB_PUSH_DELTA}) == (std::vector<uint64_t>{2}));
  vdb::pulled found = c.pull("v", both, 2);
  CHECK(found.versions == (std::vector<uint64_t>{2, 0}));
  CHECK(found.values[0] == 4 && found.values[1] == 3);
  const vdb::keys key(id);
  const std::vector<uint64_t> old = {1};
  vdb::push late("v", key, delta, VECDB_PUSH_VALUE);
  late.expecting(old);
  CHECK(code_of([&] { c.push(late); }) == VECDB_ERR_VERSION);
  CHECK(code_of([&] { c.push({"v", id, std::vector<float>{1}}); }) == VECDB_ERR_DIMENSION);
  CHECK(code_of([&] { c.push({"v", both, delta}); }) == VECDB_ERR_DIMENSION);
  CHECK(code_of([&] { c.pull("v", id, 1); }) == VECDB_ERR_ARGUMENT);
}

/* Indexes of places in JSON. */
static void test_json_indexes(vdb::collection &c) {
  vdb::schema meta;
  meta.json("ja", VECDB_NULLABLE).json_index("['a']", VECDB_DOUBLE).json("jb", VECDB_NULLABLE);
  meta.json("jc", VECDB_NULLABLE).json_index("[0]", VECDB_BOOL).json_index("['b']", VECDB_VARCHAR);
  c.fields_add(meta);
  c.json_index_create("jb", "['a']", VECDB_BOOL);
  CHECK(code_of([&] { c.json_index_create("jb", "['a']", VECDB_BOOL); }) == VECDB_ERR_EXISTS);
  c.json_index_drop("ja", "['a']");
  const vecdb_field *json = c.schema()->fields + 7;
  CHECK(json[0].n_json_indexes == 0 && json[1].n_json_indexes == 1 && json[2].n_json_indexes == 2);
  CHECK(std::string(json[2].json_indexes[1].path) == "[\"b\"]");
  for (const char *name : {"ja", "jb", "jc"})
    c.field_drop(name);
}

static void test_upkeep(vdb::database &db, vdb::collection &c, const std::string &folder) {
  c.flush();
  c.index_create("v", vdb::functions::index("HNSW(m=8, ef_construction=40)"));
  c.compact();
  c.wait();
  c.warm();
  CHECK(c.warm_rows("id >= 0") == c.count("id >= 0"));
  auto indexes = c.index_list("v");
  CHECK(indexes.size() == 1 && indexes[0].info.params.type == VECDB_INDEX_HNSW);
  CHECK(indexes[0].info.rows == n_rows && indexes[0].info.n_points == indexes[0].points.size());
  c.index_drop("v");
  CHECK(c.index_list("v").empty());
  CHECK(code_of([&] { c.index_list("none"); }) == VECDB_ERR_UNKNOWN_FIELD);

  vdb::collection other = db.create("b", vdb::schema().auto_key("id").vector("v", 2));
  CHECK(db.list() == (std::vector<std::string>{"b", "c"}));
  const std::vector<float> two = {1, 0, 0, 1};
  CHECK(other.insert(vdb::batch(2).vectors("v", two, 2)) == (std::vector<int64_t>{1, 2}));
  const std::vector<float> new_v = {3, 4, 0, 1};
  vdb::batch changed(2);
  const std::vector<int64_t> some = {2, 9};
  changed.column("id", some).vectors("v", new_v, 2);
  CHECK(other.update(changed) == (std::vector<uint8_t>{1, 0}));
  CHECK(other.get_rows(std::vector<int64_t>{2}).at(0, "v").elements<float>()[1] == 4);
  test_pushes(other);
  CHECK(other.erase(std::vector<int64_t>{1, 7}) == 1 && other.erase_where("true") == 1);
  CHECK(code_of([&] { other.erase_where(""); }) == VECDB_ERR_FILTER);
  vdb::collection named = db.create("s", vdb::schema().key("k", 9).vector("v", 2));
  CHECK(named.insert(vdb::batch(2).texts("k", {"x", "yy"}).vectors("v", two, 2)).empty());
  const std::string_view key[] = {"yy"};
  CHECK(named.get_rows(vdb::keys(key)).at(0, 0).text() == "yy");
  db.drop("s");
  CHECK(code_of([&] { named.stats(); }) == VECDB_ERR_CLOSED);

  vdb::schema later;
  later.scalar("until", VECDB_INT64, VECDB_NULLABLE);
  c.fields_add(later);
  c.field_rename("until", "gone");
  uint64_t ttl = 0;
  c.expire("gone", 5);
  CHECK(std::string(c.expiry(&ttl)) == "gone" && ttl == 5 && c.count() == n_rows);
  c.expire(nullptr, 0);
  c.field_drop("gone");
  CHECK(!c.expiry() && c.schema()->n_fields == 7);
  test_json_indexes(c);
  CHECK(code_of([&] { c.field_drop("gone"); }) == VECDB_ERR_UNKNOWN_FIELD);

  std::vector<std::string> faults;
  db.flush_all();
  db.check(&faults);
  CHECK(faults.empty() && c.stats().rows == n_rows);
  db.backup((folder + "/copy").c_str());
  CHECK(code_of([&] { db.backup((folder + "/copy").c_str()); }) == VECDB_ERR_EXISTS);
  CHECK(code_of([&] { db.rekey("k", 0); }) == VECDB_ERR_ARGUMENT); /* it is not encrypted */
  vdb::database::restore((folder + "/copy").c_str(), (folder + "/again").c_str());
  auto again = vdb::database::open((folder + "/again").c_str());
  CHECK(again.open_collection("c").count() == n_rows);
  vecdb_options reading = VECDB_OPTIONS_INIT;
  reading.flags = VECDB_READ_ONLY | VECDB_FOLLOW | VECDB_HOST_DRIVEN;
  auto reader = vdb::database::open((folder + "/again").c_str(), reading);
  auto seen = reader.open_collection("c");
  CHECK(again.open_collection("c").erase(std::vector<int64_t>{0}) == 1);
  CHECK(reader.refresh().records == 1 && seen.count() == n_rows - 1);
  CHECK(code_of([&] { again.refresh(); }) == VECDB_ERR_ARGUMENT);
  seen = vdb::collection();
  reader.close();
  again.close();
}

static void test_callbacks(vdb::database &db, vdb::collection &c) {
  struct mine {
    int x;
  };
  vdb::control throws(0, [](std::string_view, uint64_t, uint64_t) -> bool { throw mine{5}; });
  int got = 0;
  try {
    db.check(nullptr, &throws);
  } catch (const mine &m) {
    got = m.x;
  }
  CHECK(got == 5);
  uint64_t calls = 0;
  vdb::control counts(0, [&](std::string_view phase, uint64_t, uint64_t) {
    calls += !phase.empty();
    return true;
  });
  db.check(nullptr, &counts);
  CHECK(calls > 0 && c.count() == n_rows);
  vdb::control stops(0, [](std::string_view, uint64_t, uint64_t) { return false; });
  CHECK(code_of([&] { db.check(nullptr, &stops); }) == VECDB_ERR_CANCELLED);
}

/* Each allocation of C++ fails in turn: an exception or a code comes, and the next try goes
   well. */
static void test_memory() {
  auto db = *nt::database::open(":memory:");
  auto c = *db.create("c", full_schema());
  CHECK(fill(c, 50));
  const std::vector<float> query = made(1, 5);
  vdb::search s(query, 5);
  s.in("v").with({"t"});
  long failures = 0;
  for (long n = 0;; n++) {
    allocations_left = n;
    auto found = c.search(s);
    allocations_left = -1;
    if (found) {
      CHECK(found->of().size() == 5);
      break;
    }
    CHECK(found.code() == VECDB_ERR_NO_MEMORY);
    failures++;
  }
  CHECK(failures > 0);
  for (long n = 0;; n++) {
    allocations_left = n;
    bool good = false;
    try {
      vdb::batch b(1);
      b.column("id", vdb::span<const int64_t>()).texts("t", {"x"});
      vdb::filter f("t in {l}");
      f.bind("l", std::vector<std::string>{"a text that is too long to stand within the string"});
      good = c.count(f).has_value() && db.list().has_value() && c.explain(s).has_value() &&
             c.index_list("v").has_value();
    } catch (const std::bad_alloc &) {
    }
    allocations_left = -1;
    if (good)
      break;
    CHECK(*c.count() == 50);
  }
}

static void test_exceptions(const std::string &folder) {
  CHECK(code_of([&] { vdb::database::open("/dev/null/x"); }) != VECDB_OK);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.index_rows = 100;
  auto db = vdb::database::open((folder + "/db").c_str(), options);
  CHECK(code_of([&] { vdb::database::open((folder + "/db").c_str()); }) == VECDB_ERR_BUSY);
  auto c = db.create("c", full_schema());
  CHECK(fill(c).size() == n_rows);
  CHECK(code_of([&] { db.create("c", full_schema()); }) == VECDB_ERR_EXISTS);
  test_rows(c);
  test_search(c);
  test_upkeep(db, c, folder);
  test_callbacks(db, c);
  while (db.step(0, 0)) {
  }
  c = vdb::collection();
  db.close();
}
#endif

int main(int argc, char **argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  test_results();
  test_moves();
  test_helpers();
#if VECDB_HPP_EXCEPTIONS
  test_memory();
  test_exceptions(folder);
#endif
  std::printf("vecdb.hpp: all well, C++%ld%s\n", __cplusplus / 100 % 100,
              VECDB_HPP_EXCEPTIONS ? "" : ", without exceptions");
  return 0;
}
