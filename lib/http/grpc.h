/* grpc.h - the small formats of gRPC over HTTP/2: the message prefix, grpc-timeout, grpc-message
 * ("gRPC over HTTP2"). Pure functions, any thread. */
#pragma once
#include "base/buf.h"

#define GRPC_PREFIX_BYTES 5 /* flag, then the length as 32 bits big-endian */

/* 1 to 8 digits and one of H M S m u n; E_FORMAT otherwise. *ns is at most INT64_MAX (a longer time
 * is cut to that), so that adding it to a clock does not wrap. 0 means: expired on arrival. */
enum mg_err grpc_timeout_parse(struct str text, uint64_t *ns) MG_MUST_USE;
/* Percent-escapes every byte outside 0x20..0x7e, and '%' itself. */
void grpc_message_escape(struct buf *out, struct str text);
/* The reverse; a malformed escape is kept as it stands, as the protocol demands. */
void grpc_message_unescape(struct buf *out, struct str text);
void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], bool compressed, uint32_t len);
/* A body with exactly one message; *message points into `bytes`. E_FORMAT: none, two, cut, or a
 * flag that is neither 0 nor 1. */
enum mg_err grpc_unframe(struct str bytes, struct str *message, bool *compressed) MG_MUST_USE;
