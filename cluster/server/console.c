/*
 * console.c - the console: a page with its style and script, which are files of cluster/console
 * until the server is built, and part of it from then on. They hold nothing of the database and are
 * for everybody; what the page shows, it asks for as any client.
 */
#include "server/handlers.h"
#include "server/server.h"

extern const char srv_console_html_text[], srv_console_css_text[], srv_console_js_text[];
extern const unsigned srv_console_html_bytes, srv_console_css_bytes, srv_console_js_bytes;

/* Nothing is loaded from elsewhere, run that is not the script, or framed by another page. */
static const char console_headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src"
    " 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    "Cache-Control: no-cache\r\n";

static void console_give(struct srv_call *call, const char *text, size_t bytes, const char *type) {
  if (!call->server->config.console) {
    srv_call_fail(call, 404, "NOT_FOUND", "the console is switched off (server.console)");
    return;
  }
  call->status = 200;
  call->text = text;
  call->text_bytes = bytes;
  call->content_type = type;
  call->headers = console_headers;
}

void srv_console_html(struct srv_call *call) {
  console_give(call, srv_console_html_text, srv_console_html_bytes, "text/html; charset=utf-8");
}

void srv_console_css(struct srv_call *call) {
  console_give(call, srv_console_css_text, srv_console_css_bytes, "text/css; charset=utf-8");
}

void srv_console_js(struct srv_call *call) {
  console_give(call, srv_console_js_text, srv_console_js_bytes, "text/javascript; charset=utf-8");
}
