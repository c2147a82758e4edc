/* hello.cc - the shortest useful program in C++: open, create, upsert, search; errors are exceptions. */
#include <cstdio>

#include "vecdb.hpp"

int main() {
  try {
    auto db = vdb::database::open(":memory:");
    auto fruit = db.create("things", vdb::schema()
                                         .key("id")
                                         .text("topic", 32)
                                         .vector("embedding", 3, VECDB_COSINE));
    const std::vector<int64_t> ids = {1, 2, 3};
    const std::vector<std::string> topics = {"fruit", "fruit", "tool"};
    const std::vector<float> embeddings = {1, 0, 0, 0.8f, 0.6f, 0, 0.9f, 0.1f, 0};
    fruit.upsert(vdb::batch(3).column("id", ids).texts("topic", topics).vectors(
        "embedding", embeddings, 3));

    const std::vector<float> query = {1, 0.1f, 0};
    auto found = fruit.search(vdb::search(query, 2)
                                  .where(vdb::filter("topic == {t}").bind("t", "fruit"))
                                  .with({"topic"}));
    for (const vecdb_hit &hit : found.of())
      std::printf("%lld (%s): %.3f\n", static_cast<long long>(hit.id),
                  std::string(found.rows.at(hit.row, "topic").text()).c_str(),
                  static_cast<double>(hit.score));

    /* The same calls, without exceptions. */
    auto missing = vdb::nothrow::database::open("/nowhere/at/all");
    if (!missing)
      std::printf("%s\n", vdb::status_name(missing.code()));
  } catch (const vdb::error &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
