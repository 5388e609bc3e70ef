/* otlp_scan_fuzz.c - any bytes through the scanner. What it accepts must be readable by every view,
 * writable as protobuf and as JSON, and come back the same from both. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "model/otlp_json.h"
#include "span_again.h"

static void check_json(const struct span *span)
{
    struct otlp_json *reader = otlp_json_new();
    struct json_writer writer;
    struct buf json, proto;

    buf_init(&json, SIZE_MAX);
    buf_init(&proto, SIZE_MAX);
    json_writer_init(&writer, &json, 0);
    otlp_json_span(&writer, span);
    if (otlp_json_to_proto(reader, buf_str(&json), &proto, NULL) != MG_OK)
        abort();
    buf_fini(&json);
    buf_fini(&proto);
    otlp_json_free(&reader);
}

static void check_views(const struct span *span)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    struct resource_view resource;
    struct scope_view scope;
    struct event_view event;
    struct link_view link;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    resource_view(span->resource, &resource);
    buf_put_str(&text, resource_service(&resource));
    scope_view(span->scope, &scope);
    while (event_next(&at, end, &event) == 1)
        buf_put_str(&text, event.name);
    at = wire_begin(span->links);
    end = wire_end(span->links);
    while (link_next(&at, end, &link) == 1)
        buf_put_str(&text, link.trace_state);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        value_text(&text, &span->attrs[i].value);
    buf_fini(&text);
}

static void check_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)owner;
    (void)ordinal;
    check_views(span);
    must_come_again(span);
    check_json(span);
}

static void refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)ordinal;
    (void)span_refusal_text(why);
}

static const struct span_visitor visitor = { any_group, any_group, check_span, refused };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct mg_why why;

    (void)!otlp_scan(scanner, str_n(data, size), &visitor, NULL, &why); /* any verdict is fine */
    otlp_scanner_free(&scanner);
    return 0;
}
