/* elasticsearch.h - sends batches to Elasticsearch (7.0 or later) or OpenSearch by the bulk API, in Jaeger's index layout, so that
 * a Jaeger on Elasticsearch reads them: jaeger-span-YYYY-MM-DD by the span's start in UTC, jaeger-service-YYYY-MM-DD
 * once per service and operation a day. Jaeger then shows the spans as /api/traces does, but that an attribute `error` gives way
 * to the status, that a status which is not set is taken from it or from an HTTP status, and that NaN and infinities are texts.
 * Dependencies are not written.
 *
 * Document ids are made from the span, so that a batch sent again does not double it. A bulk request has about 5 MB before it is packed
 * with gzip, which all of them read: a larger batch goes in several, one after the other. Items of a bulk answer
 * are judged one by one: 429 and 5xx items make the batch RETRY, and so do those that an operator has to allow (security_exception, and
 * index_not_found_exception where indices are not made by writing to them); others refuse their span. Index templates with Jaeger's
 * mappings are put once, before the first batch, unless `templates` is false: then that they are there is the operator's business.
 * While they cannot be put, batches are RETRY. */
#pragma once
#include "peer/peer.h"

enum { ELASTICSEARCH_EXPORT_GZIP, ELASTICSEARCH_EXPORT_PLAIN };
struct elasticsearch_export_conf { struct send_conf send; struct peer_conf peer; int compression; struct str index_prefix; bool templates; };
extern const struct conf_field elasticsearch_export_fields[]; /* section exporters.elasticsearch */
extern const size_t elasticsearch_export_fields_n;
struct elasticsearch_export;
/* *conf must outlive it. */
enum mg_err elasticsearch_export_new(struct elasticsearch_export **out, const struct elasticsearch_export_conf *conf, struct mg_why *why) MG_MUST_USE;
void elasticsearch_export_wire(struct elasticsearch_export *export, struct send_wire *out);
void elasticsearch_export_free(struct elasticsearch_export **export); /* after send_close */
