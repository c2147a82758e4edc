/* certify.c - see certify.h. */
#include "ctl/certify.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "meta/key.h"
#include "net/cert.h"

enum { CERTIFY_PATH = 512, CERTIFY_CA_DAYS = 3650, CERTIFY_DAYS = 825 };

static const char certify_usage[] =
    "usage: vecdb cluster certify FOLDER CLUSTER N...\n"
    "An authority in the folder, unless one is there, and certificates of nodes and clients.\n";

static int certify_failed(FILE *err, const char *why) {
  fprintf(err, "%s\n", why);
  return 1;
}

static int certify_one(const char *folder, struct cert_files *files, struct doc_uuid cluster,
                       const char *number, FILE *err) {
  char cert[CERTIFY_PATH], key[CERTIFY_PATH], why[HELLO_WHY];
  char *end;
  unsigned long long n = *number >= '1' && *number <= '9' ? strtoull(number, &end, 10) : 0;
  if (!n || *end || n > UINT32_MAX) {
    fputs(certify_usage, err);
    return 2;
  }
  snprintf(cert, sizeof cert, "%s/%llu.pem", folder, n);
  snprintf(key, sizeof key, "%s/%llu.key", folder, n);
  files->cert = cert;
  files->key = key;
  return cert_node(files, cluster, (uint32_t)n, CERTIFY_DAYS, why) ? 0 : certify_failed(err, why);
}

int ctl_certify(int argc, char **argv, FILE *out, FILE *err) {
  struct doc_uuid cluster;
  char ca[CERTIFY_PATH], key[CERTIFY_PATH], why[HELLO_WHY];
  if (argc < 3 || !doc_uuid_parse(argv[1], &cluster)) {
    fputs(certify_usage, err);
    return 2;
  }
  int n = snprintf(ca, sizeof ca, "%s/ca.pem", argv[0]);
  snprintf(key, sizeof key, "%s/ca.key", argv[0]);
  if (n > CERTIFY_PATH - 32)
    return certify_failed(err, "the folder's name is too long");
  struct cert_files files = {.ca_cert = ca, .ca_key = key};
  struct stat there;
  if (stat(ca, &there) != 0 && !cert_authority(&files, CERTIFY_CA_DAYS, why))
    return certify_failed(err, why);
  int status = 0;
  for (int i = 2; i < argc && !status; i++)
    status = certify_one(argv[0], &files, cluster, argv[i], err);
  if (!status)
    fprintf(out, "%d certificates in %s\n", argc - 2, argv[0]);
  return status;
}
