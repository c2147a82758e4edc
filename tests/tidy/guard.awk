# guard.awk - calls of an engine on collections and rows go through guard.c, which knows who asks.
# milvus_rebuild.c copies whole collections, for administrators; metrics_page.c counts all, for who
# may monitor. And the server knows no database but through an engine.

BEGIN {
  n = split("search search_range search_groups search_hybrid iterator_open explain query count get insert upsert \
             update push pull delete delete_where collection_get collection_create collection_drop \
             collection_list collection_stats sparse_counts index_list", word, /[ \n]+/)
  for (i = 1; i <= n; i++) {
    guarded["engine_" word[i]] = 1
    hidden["vecdb_" word[i]] = 1
  }
}
FNR == 1 {
  code_reset()
  open = FILENAME ~ /\/(guard|milvus_rebuild|metrics_page)\.c$/
}
{
  line = code($0)
  while (match(line, /[A-Za-z_][A-Za-z0-9_]*/)) {
    name = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    if (line !~ /^[ ]*[(,]/)
      continue
    if (name in hidden)
      fault("guard", FILENAME ":" FNR, FILENAME, name " is called past the engine")
    if (name in guarded && !open)
      fault("guard", FILENAME ":" FNR, FILENAME, name " is called past guard.c")
  }
}
END { exit faults > 0 }
