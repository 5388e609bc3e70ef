/* zipkin.h - sends batches to a Zipkin server as JSON v2 (zipkin-api: zipkin2-api.yaml). 202, as any 2xx, is taken; 400 refuses the
 * batch. Bodies are packed with gzip, which every Zipkin server reads, unless `compression` says none.
 *
 * A request has at most about 4 MiB before it is packed, because the server refuses more than 10: a larger batch goes in several requests, one after
 * the other. When a later one fails those before it are sent again only after a restart, which Zipkin shows once. Spans without valid ids, or of
 * more than 9 MiB, are left out and counted as refused: one of them would make the server refuse the whole list. So is a span that is
 * too large alone for whoever answers 413. */
#pragma once
#include "peer/peer.h"

enum { ZIPKIN_EXPORT_GZIP, ZIPKIN_EXPORT_PLAIN };
struct zipkin_export_conf { struct send_conf send; struct peer_conf peer; int compression; };
extern const struct conf_field zipkin_export_fields[]; /* section exporters.zipkin; endpoint with its path: http://host:9411/api/v2/spans */
extern const size_t zipkin_export_fields_n;
struct zipkin_export;
/* An endpoint without a path gets /api/v2/spans. *conf must outlive it. */
enum mg_err zipkin_export_new(struct zipkin_export **out, const struct zipkin_export_conf *conf, struct mg_why *why) MG_MUST_USE;
void zipkin_export_wire(struct zipkin_export *export, struct send_wire *out);
void zipkin_export_free(struct zipkin_export **export); /* after send_close */
