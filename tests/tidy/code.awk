# code.awk - for the other scripts: code(line) is the line without comments and with strings and
# character constants emptied; comments over several lines are followed. fault() reports a broken
# rule, unless tests/tidy/exceptions has the rule with this name.

function code_reset() { code_in_comment = 0 }

function code(line, out, c, two, quote, i, n) {
  if (!code_in_comment && line !~ /["'\/]/)
    return line # most lines
  out = ""
  n = length(line)
  for (i = 1; i <= n; i++) {
    two = substr(line, i, 2)
    c = substr(line, i, 1)
    if (code_in_comment) {
      if (two == "*/") {
        code_in_comment = 0
        i++
      }
    } else if (two == "/*") {
      code_in_comment = 1
      i++
    } else if (two == "//") {
      break
    } else if (c == "\"" || c == "'") {
      quote = c
      out = out c
      for (i++; i <= n && (c = substr(line, i, 1)) != quote; i++)
        if (c == "\\")
          i++
      out = out quote
    } else {
      out = out c
    }
  }
  return out
}

# rule: a word; where: file or file:line; name: what is at fault (file, function or symbol).
function fault(rule, where, name, text) {
  if (!exceptions_read) {
    while ((getline exceptions_line < "tests/tidy/exceptions") > 0)
      if (exceptions_line ~ /^[a-z]/) {
        split(exceptions_line, exceptions_word, " ")
        exceptions[exceptions_word[1], exceptions_word[2]] = 1
      }
    exceptions_read = 1
  }
  if ((rule, name) in exceptions)
    return
  print where ": " text
  faults++
}
