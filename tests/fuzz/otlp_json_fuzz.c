/* otlp_json_fuzz.c - any text through the OTLP/JSON reader. What it accepts must be protobuf by the
 * shapes, and a span that the scanner accepts of it must survive being written as JSON and read
 * again. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "model/otlp_json.h"
#include "model/otlp_schema.h"
#include "span_again.h"

static void any_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}

static void take_json(void *owner, const struct span *span, uint32_t ordinal)
{
    struct json_writer writer;

    (void)ordinal;
    json_writer_init(&writer, owner, 0);
    otlp_json_span(&writer, span);
}

static const struct span_visitor visitor = { any_group, any_group, take_json, any_refused };

/* The JSON of all spans in the request. */
static void retell(struct str proto, struct buf *out)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);

    buf_clear(out);
    (void)!otlp_scan(scanner, proto, &visitor, out, NULL); /* the caller looks at what came out */
    otlp_scanner_free(&scanner);
}

/* JSON -> protobuf -> JSON is a fixed point from its second turn on. */
static void check_turn(struct otlp_json *reader, struct str proto)
{
    struct buf first, second, again;

    buf_init(&first, SIZE_MAX);
    buf_init(&second, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    retell(proto, &first);
    /* one span at most, or the text would hold several documents */
    if (first.len && otlp_json_to_proto(reader, buf_str(&first), &again, NULL) == MG_OK) {
        retell(buf_str(&again), &second);
        if (!str_eq(buf_str(&first), buf_str(&second)))
            abort();
    }
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct otlp_json *reader = otlp_json_new();
    struct buf proto;
    struct mg_why why;

    buf_init(&proto, (size_t)1 << 24);
    if (otlp_json_to_proto(reader, str_n(data, size), &proto, &why) == MG_OK)
        check_turn(reader, buf_str(&proto));
    buf_fini(&proto);
    otlp_json_free(&reader);
    return 0;
}
