/* process.c - see process.h. */
#include "server/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double process_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct process_stat {
  unsigned long long start_ticks, virtual_bytes, resident_pages;
  unsigned threads;
};

/* Of /proc/self/stat, whose second field may hold anything between its parentheses. */
static bool process_stat(struct process_stat *out) {
  char text[1024];
  FILE *file = fopen("/proc/self/stat", "r");
  size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file)
    fclose(file);
  text[n] = '\0';
  const char *rest = strrchr(text, ')');
  return rest && sscanf(rest + 1,
                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u"
                        " %*d %llu %llu %llu",
                        &out->threads, &out->start_ticks, &out->virtual_bytes,
                        &out->resident_pages) == 4;
}

static unsigned process_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  unsigned n = 0;
  if (!folder)
    return 0;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
    n += entry->d_name[0] != '.';
  closedir(folder);
  return n - 1; /* without that of the folder */
}

void srv_process_page(struct srv_page *p) {
  struct process_stat s;
  struct rlimit limit;
  srv_page_family(p, "process_cpu_seconds_total", "counter", "seconds", "Processor time.");
  srv_page_value(p, "", NULL, process_clock(CLOCK_PROCESS_CPUTIME_ID));
  srv_page_family(p, "process_open_fds", "gauge", "", "Open file descriptors.");
  srv_page_number(p, NULL, process_descriptors());
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    srv_page_family(p, "process_max_fds", "gauge", "", "File descriptors that may be open.");
    srv_page_number(p, NULL, limit.rlim_cur);
  }
  if (!process_stat(&s))
    return;
  double boot = process_clock(CLOCK_REALTIME) - process_clock(CLOCK_BOOTTIME);
  srv_page_family(p, "process_start_time_seconds", "gauge", "seconds",
                  "When the process began, since 1970-01-01 UTC.");
  srv_page_value(p, "", NULL, boot + (double)s.start_ticks / (double)sysconf(_SC_CLK_TCK));
  srv_page_family(p, "process_resident_memory_bytes", "gauge", "bytes", "Memory in use.");
  srv_page_number(p, NULL, s.resident_pages * (unsigned long long)sysconf(_SC_PAGESIZE));
  srv_page_family(p, "process_virtual_memory_bytes", "gauge", "bytes", "Addresses in use.");
  srv_page_number(p, NULL, s.virtual_bytes);
  srv_page_family(p, "process_threads", "gauge", "", "Threads.");
  srv_page_number(p, NULL, s.threads);
}
