/*
 * replay_main.c - runs a fuzz target over the files of kept corpora, without libFuzzer. Usage:
 * fuzz_NAME FOLDER... An empty corpus is a failure: it would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs one file; returns 0 on success. The buffer has exactly the file's size, so that the address
   sanitizer sees reads behind it. */
static int replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat st;
  if (!file || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) {
    perror(path);
    if (file)
      fclose(file);
    return 1;
  }
  size_t size = (size_t)st.st_size;
  uint8_t *data = malloc(size ? size : 1);
  int failed = !data || fread(data, 1, size, file) != size;
  fclose(file);
  if (failed)
    perror(path);
  else
    (void)LLVMFuzzerTestOneInput(data, size);
  free(data);
  return failed;
}

/* Runs the files of a folder; returns how many, or -1 after a failure. */
static long replay_folder(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) {
    perror(folder);
    return -1;
  }
  long count = 0;
  for (struct dirent *entry; count >= 0 && (entry = readdir(dir));) {
    char path[4096];
    if (entry->d_name[0] == '.')
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    count = replay_file(path) == 0 ? count + 1 : -1;
  }
  closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  long total = 0;
  for (int i = 1; i < argc; i++) {
    long count = replay_folder(argv[i]);
    if (count < 0)
      return 1;
    total += count;
  }
  printf("%ld inputs replayed\n", total);
  return total > 0 ? 0 : 1;
}
