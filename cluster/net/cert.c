/* cert.c - certificates for a cluster, by OpenSSL; see cert.h. */
#include "net/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cert_say(char *why, const char *what, const char *path) {
  snprintf(why, HELLO_WHY, "%s%s%s", what, path ? ": " : "", path ? path : "");
  ERR_clear_error();
  return false;
}

/* A new file that nobody else may read; NULL: it cannot be made. */
static FILE *cert_file(const char *path, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  FILE *file = fd >= 0 && fchmod(fd, mode) == 0 ? fdopen(fd, "w") : NULL;
  if (fd >= 0 && !file)
    close(fd);
  return file;
}

static bool cert_store(X509 *cert, EVP_PKEY *key, const char *cert_path, const char *key_path,
                       char *why) {
  FILE *file = cert_file(key_path, 0600);
  bool ok = file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
  ok = file && fclose(file) == 0 && ok;
  if (!ok)
    return cert_say(why, "the key cannot be written", key_path);
  file = cert_file(cert_path, 0644);
  ok = file && PEM_write_X509(file, cert) == 1;
  ok = file && fclose(file) == 0 && ok;
  return ok || cert_say(why, "the certificate cannot be written", cert_path);
}

static bool cert_extend(X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return ok;
}

/* Everything but the extensions and the signature. */
static X509 *cert_begin(EVP_PKEY *key, const char *name, uint32_t days) {
  unsigned char serial[16];
  X509 *cert = X509_new();
  X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
  BIGNUM *number = RAND_bytes(serial, sizeof serial) == 1 ? BN_bin2bn(serial, 15, NULL) : NULL;
  bool ok = subject && number && X509_set_version(cert, X509_VERSION_3) &&
            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) &&
            X509_gmtime_adj(X509_getm_notBefore(cert), -300) && /* clocks differ */
            X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 86400) &&
            X509_set_pubkey(cert, key) &&
            X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
                                       -1, -1, 0);
  BN_free(number);
  if (ok)
    return cert;
  X509_free(cert);
  return NULL;
}

bool cert_authority(const struct cert_files *files, uint32_t days, char *why) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = key ? cert_begin(key, "vecdb cluster authority", days) : NULL;
  bool ok = cert && X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
            cert_extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
            cert_extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
            cert_extend(cert, cert, NID_subject_key_identifier, "hash") &&
            X509_sign(cert, key, EVP_sha256()) > 0;
  if (!ok)
    cert_say(why, "OpenSSL makes no certificate", NULL);
  else
    ok = cert_store(cert, key, files->ca_cert, files->ca_key, why);
  X509_free(cert);
  EVP_PKEY_free(key);
  return ok;
}

static bool cert_read_authority(const struct cert_files *files, X509 **cert, EVP_PKEY **key,
                                char *why) {
  FILE *file = fopen(files->ca_cert, "re");
  *cert = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
  if (file)
    fclose(file);
  if (!*cert)
    return cert_say(why, "the authority's certificate cannot be read", files->ca_cert);
  file = fopen(files->ca_key, "re");
  *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
  if (file)
    fclose(file);
  return *key || cert_say(why, "the authority's key cannot be read", files->ca_key);
}

bool cert_node(const struct cert_files *files, struct doc_uuid cluster, uint32_t node,
               uint32_t days, char *why) {
  char uri[96], san[512], name[32];
  X509 *ca = NULL, *cert = NULL;
  EVP_PKEY *ca_key = NULL, *key = NULL;
  hello_uri_write(cluster, node, uri);
  snprintf(san, sizeof san, "URI:%s%s%s", uri, files->names ? "," : "",
           files->names ? files->names : "");
  snprintf(name, sizeof name, "vecdb node %u", node);
  bool ok = cert_read_authority(files, &ca, &ca_key, why);
  if (ok) {
    key = EVP_EC_gen("P-256");
    cert = key ? cert_begin(key, name, days) : NULL;
    ok = cert && X509_set_issuer_name(cert, X509_get_subject_name(ca)) &&
         cert_extend(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
         cert_extend(cert, ca, NID_key_usage, "critical,digitalSignature") &&
         cert_extend(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
         cert_extend(cert, ca, NID_subject_alt_name, san) &&
         X509_sign(cert, ca_key, EVP_sha256()) > 0;
    if (!ok)
      cert_say(why, "OpenSSL makes no certificate", NULL);
    else
      ok = cert_store(cert, key, files->cert, files->key, why);
  }
  X509_free(ca);
  X509_free(cert);
  EVP_PKEY_free(ca_key);
  EVP_PKEY_free(key);
  return ok;
}
