# header.awk - vecdb.h as doxygen wants to read it. A comment belongs to what follows it or, behind
# code, to what stands before it; one over several declarations without a blank line between them
# belongs to each; sections become pages.

/^\/\* ---- .* -+ \*\/$/ {
  title = $0
  gsub(/^\/\* ---- | -+ \*\/$/, "", title)
  name = tolower(title)
  gsub(/[^a-z]+/, "_", name)
  printf "%s/** @defgroup %s %s\n@{ */\n", section ? "/** @} */\n" : "", name, title
  section = 1
  next
}

NR == 1 { print "/** @file"; inside = 1; next }
/^#ifdef __cplusplus/ && section { print "/** @} */"; section = 0 }
/^(typedef )?enum/ { enumerators = 1 }
/^}/ { enumerators = 0 }
/^$/ { shared = "" }

{ line = $0; starts = 0 }

!inside && /^ *\/\*/ {
  # A word or two above some enumerators are a heading, not about the next one.
  starts = !(enumerators && /^  \/\* [a-z]/)
  if (starts)
    sub(/\/\*/, "/**", line)
  if (/^\/\*/)
    shared = ""
}
!inside && /[^ ].*\/\*/ && !/^ *\/\*/ { sub(/\/\*/, "/**<", line) }
inside || starts { gsub(/</, "\\<", line) }

# The declaration is the second of those that share a comment.
/^VECDB_API/ && shared && used { print shared }
/^VECDB_API/ { used = 1 }
inside || (starts && /^\/\*/) { shared = shared (shared ? "\n" : "") line; used = 0 }

{
  for (rest = $0; match(rest, /\/\*|\*\//); rest = substr(rest, RSTART + 2))
    inside = substr(rest, RSTART, 2) == "/*"
  print line
}
