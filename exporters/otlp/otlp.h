/* otlp.h - sends batches to an OTLP receiver: gRPC or HTTP, gzip or zstd, TLS (OTLP specification). Partial success is counted.
 * What is too large for the server goes in halves, down to single spans; one that is too large alone is left out and counted as refused.
 * A server without the service, as when endpoint and protocol do not fit each other, is RETRY: nothing of a batch was judged. */
#pragma once
#include "peer/peer.h"

enum { OTLP_EXPORT_GRPC, OTLP_EXPORT_HTTP };
enum { OTLP_EXPORT_GZIP, OTLP_EXPORT_ZSTD, OTLP_EXPORT_PLAIN };
struct otlp_export_conf { struct send_conf send; struct peer_conf peer; int protocol, compression; };
extern const struct conf_field otlp_export_fields[]; /* section exporters.otlp */
extern const size_t otlp_export_fields_n;
struct otlp_export;
/* HTTP: /v1/traces is put behind the endpoint's path unless it has that already. gRPC: the endpoint has no path. *conf must
 * outlive it. */
enum mg_err otlp_export_new(struct otlp_export **out, const struct otlp_export_conf *conf, struct mg_why *why) MG_MUST_USE;
void otlp_export_wire(struct otlp_export *export, struct send_wire *out);
void otlp_export_free(struct otlp_export **export); /* after send_close */
