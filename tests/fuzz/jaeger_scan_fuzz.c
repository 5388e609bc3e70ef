/* jaeger_scan_fuzz.c - the first byte says which wire, the others go through the scanner. What it
 * accepts must be OTLP in every part, come back the same through OTLP's scanner, and be writable as
 * Jaeger's message and document; the message is taken again, the document is JSON. */
#include "codec/json_read.h"
#include "model/jaeger_scan.h"
#include "model/jaeger_write.h"
#include "span_again.h"

#define WIRES 5

static void check_message(const struct span *span)
{
    struct jaeger_scanner *scanner = jaeger_scanner_new();
    struct again again = { NULL, 0 };
    struct buf message;

    buf_init(&message, SIZE_MAX);
    jaeger_write_span(&message, span);
    enum mg_err err = jaeger_scan(scanner, JAEGER_SPAN, buf_str(&message), &again_visitor, &again, NULL);
    /* What the scope is made of becomes tags again, so a span with the most tags there may be can
     * have too many. */
    if (err != MG_OK ? span->n_attrs < 4000 : again.seen != 1)
        abort();
    buf_fini(&message);
    jaeger_scanner_free(&scanner);
}

static void check_document(const struct span *span)
{
    struct json_reader *reader = json_reader_new(64);
    struct buf document, scratch;
    struct json_writer writer;
    enum json_token token;

    buf_init(&document, SIZE_MAX);
    buf_init(&scratch, SIZE_MAX);
    json_writer_init(&writer, &document, 0);
    jaeger_write_document(&writer, span, &scratch);
    json_reader_begin(reader, buf_str(&document));
    do {
        token = json_next(reader);
        if (token == JSON_TOKEN_ERROR)
            abort();
    } while (token != JSON_TOKEN_END);
    json_reader_free(&reader);
    buf_fini(&document);
    buf_fini(&scratch);
}

static void check_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct again *again = owner;

    (void)ordinal;
    again->seen++;
    must_come_again(span);
    check_message(span);
    check_document(span);
}

static const struct span_visitor visitor = { any_group, any_group, check_span, must_not_refuse };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct again visited = { NULL, 0 };
    struct mg_why why;

    if (!size)
        return 0;
    struct jaeger_scanner *scanner = jaeger_scanner_new();
    if (jaeger_scan(scanner, (enum jaeger_wire)(data[0] % WIRES), str_n(data + 1, size - 1), &visitor, &visited, &why) != MG_OK && !why.text[0])
        abort();
    jaeger_scanner_free(&scanner);
    return 0;
}
