# banned.awk - calls that have one home in the library, or none.

function ban(rule, home, names, n, word, i) {
  n = split(names, word, /[ \n]+/)
  for (i = 1; i <= n; i++)
    if (word[i] != "") {
      rule_of[word[i]] = rule
      home_of[word[i]] = home
    }
}

BEGIN {
  ban("memory", "^lib/base/mem\\.c$",
      "malloc calloc realloc reallocarray free aligned_alloc posix_memalign memalign strdup strndup \
       getline getdelim asprintf vasprintf")
  ban("files", "^lib/os/(vfs_[a-z]+|secret)\\.c$",
      "open openat creat read pread preadv write pwrite pwritev fsync fdatasync sync sync_file_range \
       mmap munmap mremap msync posix_madvise posix_fadvise rename renameat unlink unlinkat \
       remove mkdir rmdir opendir readdir closedir scandir stat fstat lstat statvfs ftruncate truncate \
       fallocate posix_fallocate flock lockf fcntl close lseek access chmod link symlink readlink \
       fopen fdopen freopen fclose fread fwrite fseek ftell fflush fgets fputs fputc tmpfile mkstemp \
       io_uring_queue_init")
  ban("advice", "^lib/(os/secret|base/mem)\\.c$", "madvise")
  ban("clock", "^lib/os/(clock_|env|thread)[a-z_]*\\.c$",
      "clock_gettime time gettimeofday clock nanosleep clock_nanosleep usleep sleep rand srand random \
       srandom drand48 getrandom getentropy arc4random localtime gmtime strftime")
  ban("never", "^$",
      "printf fprintf vprintf vfprintf puts putchar perror exit _exit _Exit quick_exit abort strcpy \
       strncpy strcat strncat sprintf vsprintf gets atoi atol atoll atof alloca system popen fork \
       execv execve strtok setjmp longjmp signal sigaction raise assert qsort_r setenv putenv")
}
FNR == 1 { code_reset() }
{
  line = code($0)
  while (match(line, /[A-Za-z_][A-Za-z0-9_]*[ ]*\(/)) {
    before = RSTART > 1 ? substr(line, RSTART - 1, 1) : ""
    name = substr(line, RSTART, RLENGTH - 1)
    line = substr(line, RSTART + RLENGTH)
    sub(/ +$/, "", name)
    if (before == "." || before == ">")
      continue
    if (name ~ /^pthread_/ && FILENAME !~ /^lib\/os\/thread[a-z_]*\.[ch]$/)
      fault("threads", FILENAME ":" FNR, FILENAME, name " belongs in lib/os/thread_posix.c")
    else if (name in rule_of && FILENAME !~ home_of[name])
      fault(rule_of[name], FILENAME ":" FNR, FILENAME,
            name " is not called " (home_of[name] == "^$" ? "in the library" : "here"))
  }
}
END { exit faults > 0 }
