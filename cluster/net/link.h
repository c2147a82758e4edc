/*
 * link.h - how bytes travel: the seam below frames. TCP and TLS over TCP are here; something else
 * (RDMA) would bring another struct link_ops and the descriptor that tells when to call it.
 *
 * What each way copies is counted, so that a bench can print copies per byte and hop: `copied` is
 * what this process copies in memory or through a cipher, `crossed` what goes through the kernel.
 */
#ifndef CLUSTER_NET_LINK_H
#define CLUSTER_NET_LINK_H

#include <sys/uio.h>

#include "net/hello.h"

enum link_status { LINK_OK, LINK_AGAIN, LINK_END, LINK_ERROR };

struct link_counts {
  uint64_t sent;
  uint64_t received;
  uint64_t copied_out;
  uint64_t copied_in;
  uint64_t crossed_out;
  uint64_t crossed_in;
};

struct link;

struct link_ops {
  /* Until LINK_OK once: whatever must be agreed upon before bytes flow. */
  enum link_status (*shake)(struct link *link);
  enum link_status (*read)(struct link *link, void *to, size_t n, size_t *got);
  enum link_status (*write)(struct link *link, const struct iovec *parts, int n, size_t *put);
  /* Bytes that were received and wait in this process: no descriptor will tell of them. */
  bool (*holds)(const struct link *link);
  void (*close)(struct link *link);
};

struct link {
  const struct link_ops *ops;
  int fd;
  bool wants_write; /* reading or shaking hands waits until it can write */
  struct link_counts counts;
  char why[HELLO_WHY]; /* of LINK_ERROR */
  /* From the peer's certificate, after shaking hands; no certificate: not certified. */
  bool certified;
  struct doc_uuid cluster;
  uint32_t node;
  char fingerprint[65];
};

/* Over a socket that does not block and becomes the link's. NULL: no memory; the socket is closed.
 */
struct link *link_tcp(int fd);

/* The node's certificate and key, and who signs those of its peers; PEM files. */
struct link_tls;
struct link_tls *link_tls_open(const char *ca_file, const char *cert_file, const char *key_file,
                               char *why);
void link_tls_close(struct link_tls *tls);
/* TLS 1.3, both sides show certificates. */
struct link *link_tls_over(struct link_tls *tls, int fd, bool server);

#endif
