/* inflate.h - the body of a request as what it is, whatever it was sent in: for handlers whose
 * bodies are small. Doors that take spans inflate where they have memory kept warm. Loop thread. */
#pragma once
#include "codec/zip.h"
#include "http/http.h"

/* E_ENCODING: not an encoding that is read here; the sentence names those that are. */
enum mg_err http_request_zip_kind(const struct http_request *request, enum zip_kind *out,
                                  struct mg_why *why) MG_MUST_USE;
/* *body is the request's own body, or its inflated bytes in `room`, which the caller has made
 * (buf_init) and ends (buf_fini). E_ENCODING, E_FORMAT, E_TOO_BIG: more than `limit` bytes. */
enum mg_err http_request_inflate(struct http_request *request, size_t limit, struct buf *room,
                                 struct str *body, struct mg_why *why) MG_MUST_USE;
