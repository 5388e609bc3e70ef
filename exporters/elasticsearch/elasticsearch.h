/* elasticsearch.h - sends batches to Elasticsearch (7.0 or later) or OpenSearch by the bulk API, in Jaeger's index layout, so that
 * a Jaeger on Elasticsearch reads them (jaeger.md 8): jaeger-span-YYYY-MM-DD by the span's start in UTC, jaeger-service-YYYY-MM-DD
 * once per service and operation a day.
 *
 * Document ids are made from the span, so that a batch sent again does not double it. A bulk request has about 5 MB: a larger
 * batch goes in several, one after the other. Items of a bulk answer are judged one by one: 429 and 5xx items make the batch RETRY,
 * and so do those that the credentials do not allow (security_exception); others refuse their span. Index templates with Jaeger's
 * mappings are put once, before the first batch, unless `templates` is false: then that they are there is the operator's business.
 * While they cannot be put, batches are RETRY. */
#pragma once
#include "peer/peer.h"

struct elasticsearch_export_conf { struct send_conf send; struct peer_conf peer; struct str index_prefix; bool templates; };
extern const struct conf_field elasticsearch_export_fields[]; /* section exporters.elasticsearch */
extern const size_t elasticsearch_export_fields_n;
struct elasticsearch_export;
/* *conf must outlive it. */
enum mg_err elasticsearch_export_new(struct elasticsearch_export **out, const struct elasticsearch_export_conf *conf, struct mg_why *why) MG_MUST_USE;
void elasticsearch_export_wire(struct elasticsearch_export *export, struct send_wire *out);
void elasticsearch_export_free(struct elasticsearch_export **export); /* after send_close */
