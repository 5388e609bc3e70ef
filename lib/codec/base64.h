/* base64.h - RFC 4648. decode takes the standard and the URL alphabet, with or without padding
 * (OTLP/JSON bytesValue, gRPC -bin metadata); E_FORMAT otherwise, also for non-zero trailing bits. */
#pragma once
#include "base/buf.h"
/* Appends, in the standard alphabet. */
void base64_encode(struct buf *out, const void *bytes, size_t len, bool padded);
/* Appends; nothing when it fails. */
enum mg_err base64_decode(struct str text, struct buf *out) MG_MUST_USE;
