# layers.awk - every #include "folder/..." of the library against the table of lib/README.md, which is
# the first file; and the sources that may know only the public header.

FNR == NR {
  # | os | base |
  if ($0 !~ /^\| [a-z]+ \| /)
    next
  split($0, cell, "|")
  gsub(/ /, "", cell[2])
  if (cell[2] == "folder")
    next
  order[++layers] = cell[2]
  known[cell[2]] = 1
  may[cell[2], cell[2]] = 1
  if (cell[3] ~ /all of these/)
    for (i = 1; i < layers; i++)
      may[cell[2], order[i]] = 1
  n = split(cell[3], word, /[ ,]+/)
  for (i = 1; i <= n; i++)
    if (word[i] ~ /^[a-z]+$/)
      may[cell[2], word[i]] = 1
  next
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
  name = $0
  sub(/^[^"]*"/, "", name)
  sub(/".*/, "", name)
  to = name ~ /\// ? name : ""
  sub(/\/.*/, "", to)
  from = FILENAME
  if (from ~ /^lib\/[a-z]+\//) {
    sub(/^lib\//, "", from)
    sub(/\/.*/, "", from)
    if (!(from in known))
      fault("layer", FILENAME, FILENAME, "folder " from " is not in the layer table of lib/README.md")
    else if (to != "" && !((from, to) in may))
      fault("layer", FILENAME ":" FNR, FILENAME, from " may not include " name)
    else if (to == "" && name != "vecdb.h" && (getline line < ("lib/" from "/" name)) < 0)
      fault("layer", FILENAME ":" FNR, FILENAME, "write it from lib/: " name)
    close("lib/" from "/" name)
  } else if (FILENAME ~ /^(tests\/api|examples)\// && to in known) {
    fault("public", FILENAME ":" FNR, FILENAME, "may use only vecdb.h, not " name)
  }
}
END { exit faults > 0 }
