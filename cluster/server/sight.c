/* sight.c - see sight.h. */
#include "server/sight.h"

#include <string.h>

#include "server/grpc.h"
#include "server/http.h"

/* Bytes that cannot become HTTP/2's preface are left to HTTP/1.1, which also answers those that are
   neither. */
enum srv_sight srv_sight_of(const char *first, size_t n) {
  static const char preface[] = "PRI * HTTP/2.0";
  _Static_assert(sizeof preface - 1 == SRV_SIGHT_BYTES, "the preface tells");
  if (memcmp(first, preface, n) != 0)
    return SRV_SIGHT_HTTP1;
  return n == SRV_SIGHT_BYTES ? SRV_SIGHT_HTTP2 : SRV_SIGHT_NOTHING;
}

void srv_sight_hand(struct srv_server *server, const struct srv_stream *stream,
                    enum srv_sight sight) {
  struct srv_stream taken = *stream;
  if (sight == SRV_SIGHT_HTTP1)
    srv_http_adopt(server->http, &taken);
  else if (sight == SRV_SIGHT_HTTP2)
    srv_grpc_adopt(server->grpc, &taken);
  else
    srv_stream_close(&taken); /* with too little said, too */
}
