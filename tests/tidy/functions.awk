# functions.awk - functions and names of the library: lengths, parameters, linkage, declarations in
# headers, names unique across all files. It relies on the layout of the code: definitions begin in the
# first column, and a function ends with a brace there. A macro may have a name twice when a header that
# is pasted behind it (kern_body.h) takes it back. `limit=tests` checks lengths only.

function file_start() {
  code_reset()
  file = FILENAME
  header = ""
  in_function = in_enum = in_body = continued = 0
  is_header = file ~ /\.h$/
}

# The name of the function that the text declares or defines, or "".
function function_name(text, at) {
  gsub(/__attribute__ *\(\([^()]*(\([^()]*(\([^()]*\)[^()]*)*\)[^()]*)*\)\)/, " ", text)
  gsub(/VDB_PRINTF\([^()]*\)/, " ", text)
  function_text = text
  at = index(text, "(")
  if (!at || substr(text, 1, at) ~ /=/)
    return ""
  text = substr(text, 1, at - 1)
  sub(/ +$/, "", text)
  if (text !~ /[ *][A-Za-z_][A-Za-z0-9_]*$/)
    return ""
  sub(/.*[ *]/, "", text)
  return text
}

# How many parameters the function in function_text has.
function parameters(i, c, level, count, empty) {
  count = 1
  empty = 1
  for (i = index(function_text, "("); i <= length(function_text); i++) {
    c = substr(function_text, i, 1)
    if (c == "(")
      level++
    else if (c == ")" && --level == 0)
      break
    else if (c == "," && level == 1)
      count++
    else if (c != " ")
      empty = 0
  }
  return empty ? 0 : count
}

# A name of the whole library; the same name in another file is a fault. Tags are names of their own.
function claim(name, kind, key) {
  if (name == "")
    return
  key = kind == "type" ? "struct " name : name
  if ((key in owner) && owner[key] != file)
    fault("unique", file ":" FNR, name, kind " " name " is also in " owner[key])
  else
    owner[key] = file
}

# The enumerators of the text between the braces of an enum.
function enumerators(text, n, part, i) {
  n = limit == "" ? split(text, part, ",") : 0
  for (i = 1; i <= n; i++)
    if (match(part[i], /^ *[A-Za-z][A-Za-z0-9_]*/)) {
      sub(/^ +/, "", part[i])
      sub(/[^A-Za-z0-9_].*/, "", part[i])
      claim(part[i], "enumerator")
    }
}

function declaration(text, ends_in, name) {
  sub(/^ +/, "", text)
  if (text ~ /^(struct|enum|union) [a-z_0-9]+ *\{/ || text ~ /^typedef (struct|enum|union)/) {
    name = text
    sub(/^typedef /, "", name)
    sub(/^(struct|enum|union) */, "", name)
    sub(/[^A-Za-z0-9_].*/, "", name)
    if (text ~ /\{/)
      claim(name, "type")
    return 0
  }
  if (text ~ /^(typedef|extern|struct [a-z_0-9]+;|enum *\{|_Static_assert)/)
    return 0
  name = function_name(text)
  if (name == "") {
    # A variable: static T name... = or ; or [
    if (text ~ /^static /) {
      sub(/ *(=|;|\[).*/, "", text)
      sub(/.*[ *]/, "", text)
      claim(text, "variable")
    }
    return 0
  }
  if (text !~ /^#/ && parameters() > 8)
    fault("parameters", file ":" FNR, name, name " has " parameters() " parameters, more than 8")
  if (ends_in == "{") {
    text = function_text
    sub(/^ +/, "", text)
    if (text ~ /^(static|VDB_INLINE|VDB_INTERNAL|VECDB_API)/ || is_header && text ~ /^[A-Z_]*INLINE/)
      claim(name, "function")
    else if (text !~ /^[A-Z_]*INLINE/ && name !~ /^vecdb_/)
      fault("linkage", file ":" FNR, name, name " is neither static, VDB_INTERNAL nor VECDB_API")
    if (text ~ /^VDB_INTERNAL/ && !is_header)
      defined[name] = file ":" FNR
  } else if (text ~ /^VDB_INTERNAL/ && is_header) {
    declared[name] = 1
  }
  return name
}

FNR == 1 { file_start() }
{
  line = code($0)
  if (limit == "tests" && line ~ /^#/)
    next
  # Preprocessor lines, with their continuations, are not code here.
  if (continued || line ~ /^[ \t]*#/) {
    if (!continued && match(line, /^#[ \t]*define[ \t]+[A-Za-z_][A-Za-z0-9_]*/)) {
      macro = substr(line, RSTART, RLENGTH)
      sub(/.*[ \t]/, "", macro)
      if (macro != "_GNU_SOURCE" && macro != "XXH_INLINE_ALL")
        macro_in[macro] = macro_in[macro] " " file
    } else if (match(line, /^#[ \t]*undef[ \t]+[A-Za-z_][A-Za-z0-9_]*/)) {
      macro = substr(line, RSTART, RLENGTH)
      sub(/.*[ \t]/, "", macro)
      undone[macro, is_header ? "any" : file] = 1
    }
    continued = line ~ /\\$/
    next
  }
  if (in_function) {
    if (line ~ /^}/) {
      in_function = 0
      length_now = FNR - first + 1
      if (length_now > 70)
        fault("function", file ":" first, name, name " has " length_now " lines, more than 70")
    }
    next
  }
  if (in_enum) {
    inner = inner " " line
    if (line ~ /}/) {
      in_enum = 0
      sub(/}.*/, "", inner)
      enumerators(inner)
    }
    next
  }
  if (in_body) {
    if (line ~ /^}/)
      in_body = 0
    next
  }
  if (header == "" && line !~ /^[A-Za-z_]/)
    next
  if (header == "") {
    first = FNR
  }
  header = header " " line
  sub(/^ +/, "", header)
  if (header !~ /[;{]/)
    next
  text = header
  header = ""
  ends_in = match(text, /[;{]/) ? substr(text, RSTART, 1) : ""
  if (text ~ /^(typedef )?enum[ a-z_0-9]*\{/) {
    declaration(text, "{")
    inner = text
    sub(/^[^{]*\{/, "", inner)
    in_enum = inner !~ /}/
    if (!in_enum) {
      sub(/}.*/, "", inner)
      enumerators(inner)
    }
    next
  }
  if (limit == "tests") {
    name = function_name(text)
    in_function = name != "" && ends_in == "{" && text !~ /} *$/
    next
  }
  name = declaration(text, ends_in)
  if (ends_in == "{" && text !~ /}[^}]*$/) {
    if (name)
      in_function = 1
    else
      in_body = 1
  }
}
END {
  for (d in defined)
    if (!(d in declared))
      fault("declared", defined[d], d, d " has no declaration in a header")
  for (m in macro_in) {
    n = split(macro_in[m], where, " ")
    kept = ""
    for (i = 1; i <= n; i++)
      if (!((m, where[i]) in undone) && !((m, "any") in undone) && index(kept " ", " " where[i] " ") == 0)
        kept = kept " " where[i]
    split("", files)
    distinct = 0
    for (i = 1; i <= n; i++)
      if (!(where[i] in files)) {
        files[where[i]] = 1
        distinct++
      }
    if (distinct > 1 && kept != "")
      fault("unique", substr(kept, 2), m, "macro " m " is in several files:" macro_in[m])
  }
  exit faults > 0
}
