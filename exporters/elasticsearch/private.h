/* private.h - what the files of elasticsearch share. One thread. */
#pragma once
#include "base/map.h"
#include "elasticsearch/elasticsearch.h"

/* Indices: "[x-]jaeger-span-" and a date; an empty prefix: none. */
#define SPAN_INDEX    "jaeger-span-"
#define SERVICE_INDEX "jaeger-service-"

/* --- bulk.c: a batch as bodies of bulk requests --- */
struct bulk;
struct bulk *bulk_new(struct str index_prefix,
                      size_t part_bytes); /* prefix: with its hyphen; copied */
void bulk_free(struct bulk **bulk);
struct bulk_batch {
    struct peer_parts parts;
    struct map fresh;  /* keys of service documents in it that are not remembered */
    uint32_t left_out; /* spans with bad ids, or too large */
};
void bulk_batch_fini(struct bulk_batch *batch); /* zeroed memory is fine */
/* E_FORMAT: no OTLP request. */
enum mg_err bulk_convert(struct bulk *bulk, struct str body, struct bulk_batch *out,
                         struct mg_why *why) MG_MUST_USE;
/* The batch was taken: its service documents need not be sent again. */
void bulk_remember(struct bulk *bulk, const struct bulk_batch *batch);
size_t bulk_remembered(const struct bulk *bulk);
enum {
    BULK_REMEMBERED_MAX = 65536
}; /* service documents; then it begins anew, which is harmless */

/* --- items.c: what a bulk answer says of its items --- */
struct items {
    uint32_t deferred;    /* to be sent again */
    uint32_t refused;     /* for good; service documents are not counted */
    struct mg_why reason; /* of the first that was deferred, else of the first refused; "" */
};
struct json_reader;
/* E_FORMAT: not a bulk answer for so many items. */
enum mg_err items_read(struct json_reader *reader, struct str body, uint32_t expected,
                       struct str service_index, struct items *out, struct mg_why *why) MG_MUST_USE;

/* --- template.c: index templates, and which sort of them the server knows --- */
enum template_sort { TEMPLATE_LEGACY, TEMPLATE_COMPOSABLE, TEMPLATE_SORTS };
/* From the answer to GET /. E_FORMAT: none of Elasticsearch; E_UNSUPPORTED: before 7.0. */
enum mg_err template_sort_read(struct str body, enum template_sort *out,
                               struct mg_why *why) MG_MUST_USE;
enum { TEMPLATES = 2 }; /* of spans, of services */
/* Path behind the endpoint's, and body, of template i. Appends. */
void template_write(unsigned i, enum template_sort sort, struct str index_prefix, struct buf *path,
                    struct buf *body);
