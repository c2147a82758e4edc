# guard.awk - calls of the library on collections and rows go through guard.c, which knows who asks.
# milvus_rebuild.c copies whole collections, for administrators; metrics_page.c counts all, for who
# may monitor.

BEGIN {
  n = split("search search_range search_groups search_hybrid iterator_open explain query count get insert upsert \
             update push pull delete delete_where collection_get collection_create collection_drop \
             collection_list collection_stats sparse_counts index_list", word, /[ \n]+/)
  for (i = 1; i <= n; i++)
    guarded["vecdb_" word[i]] = 1
}
FNR == 1 { code_reset() }
FILENAME ~ /\/(guard|milvus_rebuild|metrics_page)\.c$/ { next }
{
  line = code($0)
  while (match(line, /[A-Za-z_][A-Za-z0-9_]*/)) {
    name = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    if (name in guarded && line ~ /^[ ]*[(,]/)
      fault("guard", FILENAME ":" FNR, FILENAME, name " is called past guard.c")
  }
}
END { exit faults > 0 }
