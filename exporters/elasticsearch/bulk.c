/* How it works: every span becomes two lines, the action with index and id, and the document. The
 * id is two hashes of what tells spans apart and of the document, so that it is the same whenever
 * and from wherever the span is sent. A service document follows the first span that needs it; that
 * it was sent is remembered only when the batch was taken, or a batch that is lost for good would
 * take its service's name with it. */
#include "elasticsearch/private.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "model/jaeger_tags.h"
#include "model/jaeger_write.h"
#include "model/otlp_scan.h"

enum {
    DOCUMENT_BYTES_MAX = 64 << 20,
    LINE_BYTES_MAX = 4096,
    KEEP_BYTES = 1 << 20,
    ID_BYTES = 16,
    DATE_BYTES = 10
};
static const struct otlp_limits limits = {.depth_max = WIRE_DEPTH_MAX,
                                          .attrs_max = 1 << 20}; /* what the doors took */

struct bulk {
    struct str index_prefix;
    size_t part_bytes;
    struct otlp_scanner *scanner;
    struct map remembered;
    struct buf document, scratch, item; /* one span's */
    /* the batch that is being converted */
    struct bulk_batch *batch;
    struct str service;
};

struct bulk *bulk_new(struct str index_prefix, size_t part_bytes)
{
    struct bulk *bulk = MEM_NEW(struct bulk);

    bulk->index_prefix = str_n(mem_copy(index_prefix.ptr, index_prefix.len), index_prefix.len);
    bulk->part_bytes = part_bytes;
    bulk->scanner = otlp_scanner_new(&limits);
    buf_init(&bulk->document, DOCUMENT_BYTES_MAX);
    buf_init(&bulk->scratch, DOCUMENT_BYTES_MAX);
    buf_init(&bulk->item, DOCUMENT_BYTES_MAX + LINE_BYTES_MAX);
    return bulk;
}

void bulk_free(struct bulk **at)
{
    struct bulk *bulk = MG_STEAL(*at);

    if (!bulk)
        return;
    mem_free((char *)bulk->index_prefix.ptr);
    otlp_scanner_free(&bulk->scanner);
    map_fini(&bulk->remembered);
    buf_fini(&bulk->document);
    buf_fini(&bulk->scratch);
    buf_fini(&bulk->item);
    mem_free(bulk);
}

void bulk_batch_fini(struct bulk_batch *batch)
{
    peer_parts_fini(&batch->parts);
    map_fini(&batch->fresh);
}

/* --- documents --- */

/* Two hashes with different seeds: 128 bits that stay the same on every machine. */
static void hash_id(const void *head, size_t head_len, struct str text, uint8_t id[ID_BYTES])
{
    put_be64(id, hash64(text.ptr, text.len, hash64(head, head_len, 1)));
    put_be64(id + 8, hash64(text.ptr, text.len, hash64(head, head_len, 2)));
}

/* Appends action and document to the batch. */
static void add_item(struct bulk *bulk, const char *index, struct str day,
                     const uint8_t id[ID_BYTES])
{
    char hex[2 * ID_BYTES];

    hex_encode(id, ID_BYTES, hex);
    buf_clear(&bulk->item);
    buf_printf(&bulk->item, "{\"index\":{\"_index\":\"%.*s%s%.*s\",\"_id\":\"%.*s\"}}\n",
               STR_ARG(bulk->index_prefix), index, STR_ARG(day), (int)sizeof hex, hex);
    buf_put_str(&bulk->item, buf_str(&bulk->document));
    buf_put_char(&bulk->item, '\n');
    peer_parts_add(&bulk->batch->parts, buf_str(&bulk->item));
}

static bool add_span(struct bulk *bulk, const struct span *span, struct str day)
{
    uint8_t head[32], id[ID_BYTES];
    struct json_writer writer;

    buf_clear(&bulk->document);
    json_writer_init(&writer, &bulk->document, 0);
    jaeger_write_document(&writer, span, &bulk->scratch);
    if (buf_err(&bulk->document) != MG_OK)
        return false;
    memcpy(head, span->trace_id, 16);
    memcpy(head + 16, span->span_id, 8);
    put_be64(head + 24, span->start_ns);
    hash_id(head, sizeof head, buf_str(&bulk->document), id);
    add_item(bulk, SPAN_INDEX, day, id);
    return true;
}

static void add_service(struct bulk *bulk, struct str operation, struct str day)
{
    uint8_t id[ID_BYTES];
    struct json_writer writer;
    bool is_new;

    buf_clear(&bulk->document);
    json_writer_init(&writer, &bulk->document, 0);
    jaeger_write_service_document(&writer, bulk->service, operation);
    if (buf_err(&bulk->document) != MG_OK)
        return;
    hash_id(day.ptr, day.len, buf_str(&bulk->document), id);
    if (map_find(&bulk->remembered, str_n(id, sizeof id)))
        return;
    (void)map_put(&bulk->batch->fresh, str_n(id, sizeof id), &is_new); /* the key is all there is */
    if (is_new)
        add_item(bulk, SERVICE_INDEX, day, id);
}

/* --- walking a batch --- */

static void on_resource(void *owner, struct str resource)
{
    struct bulk *bulk = owner;
    struct resource_view view;

    resource_view(resource, &view);
    bulk->service = resource_service(&view);
}

static void on_scope(void *owner, struct str scope)
{
    (void)owner, (void)scope; /* a span carries it */
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct bulk *bulk = owner;
    char time[CLOCK_TEXT_BYTES];

    (void)ordinal;
    clock_text(span->start_ns, time);
    if (add_span(bulk, span, str_n(time, DATE_BYTES)))
        add_service(bulk, jaeger_operation(span), str_n(time, DATE_BYTES));
    else
        bulk->batch->left_out++;
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct bulk *bulk = owner;

    (void)why, (void)ordinal;
    bulk->batch->left_out++;
}

enum mg_err bulk_convert(struct bulk *bulk, struct str body, struct bulk_batch *out,
                         struct mg_why *why)
{
    static const struct span_visitor visitor = {.on_resource = on_resource,
                                                .on_scope = on_scope,
                                                .on_span = on_span,
                                                .on_refused = on_refused};

    *out = (struct bulk_batch){
        .parts = {.open = "", .between = "", .close = "", .part_bytes = bulk->part_bytes}};
    bulk->batch = out;
    enum mg_err err = otlp_scan(bulk->scanner, body, &visitor, bulk, why);
    out->left_out += (uint32_t)otlp_scanner_unread(bulk->scanner);
    bulk->batch = NULL;
    buf_shrink(&bulk->document, KEEP_BYTES);
    buf_shrink(&bulk->scratch, KEEP_BYTES);
    buf_shrink(&bulk->item, KEEP_BYTES);
    if (err != MG_OK)
        bulk_batch_fini(out);
    return err;
}

void bulk_remember(struct bulk *bulk, const struct bulk_batch *batch)
{
    struct str key;
    void *value;
    bool is_new;

    for (size_t i = 0; map_next(&batch->fresh, &i, &key, &value);) {
        if (bulk->remembered.n >= BULK_REMEMBERED_MAX)
            map_fini(&bulk->remembered);                /* empty, and ready for use */
        (void)map_put(&bulk->remembered, key, &is_new); /* the key is all there is */
    }
}

size_t bulk_remembered(const struct bulk *bulk)
{
    return bulk->remembered.n;
}
