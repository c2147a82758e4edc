# lines.awk - rules that need only the text: length of lines and files, opening comment, tabs,
# trailing blanks, marks of unfinished work.

function file_end() {
  if (file != "" && lines > 800)
    fault("file", file, file, lines " lines, more than 800")
}

FNR == 1 {
  file_end()
  file = FILENAME
  source = file ~ /\.[ch]$/
  if (source && $0 !~ /^\/\*/)
    fault("opening", file, file, "does not open with a comment on what it is responsible for")
}
{
  lines = FNR
  # Columns: bytes that continue a UTF-8 character do not count.
  text = $0
  gsub(/[\200-\277]/, "", text)
  if (source && length(text) > 100)
    fault("line", file ":" FNR, file, length(text) " columns, more than 100")
  if (source && /\t/)
    fault("tab", file ":" FNR, file, "tab")
  if (/[ \t\r]$/)
    fault("blank", file ":" FNR, file, "blank at the end of the line")
  # The README of the library names the marks.
  if (file !~ /\.md$/ && /(^|[^A-Za-z])(T[O]DO|F[I]XME|X[X]X)([^A-Za-z]|$)/)
    fault("mark", file ":" FNR, file, "mark of unfinished work")
}
END {
  file_end()
  exit faults > 0
}
