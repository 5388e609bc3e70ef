/* status.h - google.rpc.Status as OTLP's error bodies and gRPC's detail trailers carry it
 * (google/rpc/status.proto, error_details.proto). Writers only; pure functions, any thread.
 *
 * code is mg_err_grpc(err). A RetryInfo detail is there exactly when retry_after_s > 0. The outputs
 * are appended to *out, whose limit decides whether they fit (buf_err). */
#pragma once
#include "base/buf.h"

/* The body of a failed HTTP answer: protobuf, or the JSON form when as_json. */
void status_body(struct buf *out, enum mg_err err, struct str message, unsigned retry_after_s,
                 bool as_json);
/* Value of the trailer grpc-status-details-bin: a Status in base64 without padding. */
void status_details_bin(struct buf *out, int grpc_code, struct str message, unsigned retry_after_s);
/* Value of the trailer google.rpc.retryinfo-bin: a RetryInfo in base64 without padding. */
void status_retryinfo_bin(struct buf *out, unsigned retry_after_s);
