/* Traces as messages of a stream: how they are cut, and what is in them. */
#include <stdio.h>
#include "spans.h"
#include "api/jaeger/grpc_traces.h"

typedef enum mg_err write_fn(struct buf *out, const struct query_trace *trace, bool raw,
                             grpc_message_fn *send, void *owner);

struct sent {
    struct str at[64];
    size_t n, fails_at; /* 0: never */
};

static enum mg_err on_message(void *owner, struct buf *message)
{
    struct sent *sent = owner;

    assert_true(sent->n < MG_COUNT(sent->at) && message->len > 0);
    sent->at[sent->n++] = arena_str(&spans_arena, buf_str(message));
    buf_clear(message);
    return sent->n == sent->fails_at ? MG_E_IO : MG_OK;
}

static enum mg_err write_limited(write_fn *write, struct span **spans, size_t n, bool raw,
                                 struct sent *sent, size_t limit)
{
    struct query_trace trace = {.spans = spans, .n = n};
    struct buf out;

    buf_init(&out, limit);
    sent->n = 0;
    enum mg_err err = write(&out, &trace, raw, on_message, sent);
    buf_fini(&out);
    return err;
}

static void write_all(write_fn *write, struct span **spans, size_t n, struct sent *sent)
{
    assert_int_equal(write_limited(write, spans, n, false, sent, 64 << 20), MG_OK);
}

/* How many fields of that number the message has; *last is one of them. */
static size_t count_of(struct str message, uint32_t number, struct str *last)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    size_t n = 0;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1)
        if (field.number == number) {
            n++;
            *last = field.bytes;
        }
    assert_int_equal(got, 0);
    return n;
}

/* "2,1;1" for two resources, the first with two scopes of two and one span. */
static const char *shape_of(struct str traces)
{
    static char text[256];
    const uint8_t *at = wire_begin(traces), *end = wire_end(traces);
    struct wire_field resource, scope;
    size_t n = 0;
    struct str span;

    while (wire_next(&at, end, &resource) == 1) {
        const uint8_t *p = wire_begin(resource.bytes), *stop = wire_end(resource.bytes);
        const char *before = n ? ";" : "";
        assert_int_equal(count_of(resource.bytes, 1, &span), 1);
        while (wire_next(&p, stop, &scope) == 1) {
            if (scope.number != 2)
                continue;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%zu", before,
                                  count_of(scope.bytes, 2, &span));
            assert_int_equal(count_of(scope.bytes, 1, &span), 1);
            before = ",";
        }
    }
    return text;
}

static struct span **spans_new(size_t n)
{
    struct span **spans = arena_alloc(&spans_arena, (n + 1) * sizeof *spans);

    for (size_t i = 0; i < n; i++) {
        spans[i] = span_of(i + 1, i ? 1 : 0, SPAN_CLIENT);
        spans[i]->start_ns += i;
    }
    return spans;
}

static void set_blob(struct span *span, size_t bytes)
{
    struct attr *attr = ARENA_NEW(&spans_arena, struct attr);
    char *text = arena_alloc(&spans_arena, bytes + 1);

    memset(text, 'x', bytes);
    *attr = (struct attr){STR("blob"), {.type = VALUE_STRING, .str = str_n(text, bytes)}};
    span->attrs = attr;
    span->n_attrs = 1;
}

static void ten_spans_a_chunk(void **state)
{
    static const struct {
        size_t spans;
        const char *chunks;
    } rows[] = {{1, "1 "}, {9, "9 "}, {10, "10 "}, {11, "10 1 "}, {20, "10 10 "}, {27, "10 10 7 "}};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct sent sent = {.n = 0};
        char got[64] = "";
        struct str span;
        write_all(grpc_v2_trace, spans_new(rows[i].spans), rows[i].spans, &sent);
        for (size_t k = 0; k < sent.n; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%zu ",
                     count_of(sent.at[k], 1, &span));
        assert_string_equal(got, rows[i].chunks);
    }
}

static struct str only(struct str message, uint32_t number)
{
    struct str last = STR("");

    if (count_of(message, number, &last) != 1)
        fail_msg("field %u is not there once", number);
    return last;
}

/* The tags of a message under that number: "key=text|". Numbers and truths by their field. */
static const char *tags_of(struct str message, uint32_t number)
{
    static char text[1024];
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field, part;
    size_t n = 0;

    text[0] = '\0';
    while (wire_next(&at, end, &field) == 1) {
        if (field.number != number)
            continue;
        const uint8_t *p = wire_begin(field.bytes), *stop = wire_end(field.bytes);
        while (wire_next(&p, stop, &part) == 1)
            if (part.number != 2)
                n += part.type == WIRE_BYTES
                         ? (size_t)snprintf(text + n, sizeof text - n, "%.*s%s",
                                            STR_ARG(part.bytes), part.number == 1 ? "=" : "")
                         : (size_t)snprintf(text + n, sizeof text - n, "%llu",
                                            (unsigned long long)part.value);
        n += (size_t)snprintf(text + n, sizeof text - n, "|");
    }
    return text;
}

/* An example with attributes that have to be sorted and events out of order. */
static struct span *example(void)
{
    struct span *span = span_of(0xb7, 0xf0, SPAN_SERVER);
    static const struct attr attrs[] = {A_INT("http.status_code", 500), A_INT("a.ip", 1),
                                        A_INT("peer.ipv4", 2130706433)};

    span->resource = resource_of(
        ATTRS(A_STR("service.name", "cart"), A_STR("z", "1"), A_STR("host.name", "h1")));
    span->scope = scope_of("lib", "1.2");
    span->name = STR("GET /cart");
    span->attrs = attrs;
    span->n_attrs = MG_COUNT(attrs);
    span->status_code = STATUS_ERROR;
    span->status_message = STR("boom");
    span->events = joined(event_of(1000000007, "second", NO_ATTRS),
                          event_of(1000000003, "retry", ATTRS(A_INT("n", 2))));
    span->links = link_of("", "0000000000000007", NO_ATTRS);
    return span;
}

static void a_v2_span(void **state)
{
    struct span *span = example();
    struct sent sent = {.n = 0};

    (void)state;
    write_all(grpc_v2_trace, &span, 1, &sent);
    struct str got = only(sent.at[0], 1);
    assert_memory_equal(only(got, 1).ptr, span->trace_id, 16);
    assert_true(str_eq(only(got, 3), STR("GET /cart")));
    assert_string_equal(tags_of(got, 8),
                        "otel.scope.name=lib|otel.scope.version=1.2|a.ip=1|http.status_code=500|"
                        "peer.ipv4=127.0.0.1|span.kind=server|otel.status_code=ERROR|error=1|"
                        "otel.status_description=boom|");
    struct str process = only(got, 10);
    assert_true(str_eq(only(process, 1), STR("cart")));
    assert_string_equal(tags_of(process, 2), "host.name=h1|z=1|");
    assert_true(str_eq(only(got, 12), STR("Invalid span link removed")));
    struct str reference = only(got, 4); /* the parent's; the link leads nowhere */
    assert_int_equal(only(reference, 2).ptr[7], (char)0xf0);
    struct str log;
    assert_int_equal(count_of(got, 9, &log), 2);
    assert_string_equal(tags_of(log, 2), "event=second|"); /* the later one is the last */
}

/* Raw: as received, but for the links that api_v2 cannot say. */
static void a_raw_v2_span(void **state)
{
    struct span *span = example();
    struct sent sent = {.n = 0};
    struct str log, warning;

    (void)state;
    assert_int_equal(write_limited(grpc_v2_trace, &span, 1, true, &sent, 1 << 20), MG_OK);
    struct str got = only(sent.at[0], 1);
    assert_string_equal(tags_of(got, 8),
                        "otel.scope.name=lib|otel.scope.version=1.2|http.status_code=500|a.ip=1|"
                        "peer.ipv4=2130706433|span.kind=server|otel.status_code=ERROR|error=1|"
                        "otel.status_description=boom|");
    assert_string_equal(tags_of(only(got, 10), 2), "z=1|host.name=h1|");
    assert_int_equal(count_of(got, 9, &log), 2);
    assert_string_equal(tags_of(log, 2), "event=retry|n=2|");
    assert_int_equal(count_of(got, 12, &warning), 0);
}

/* A client's and a server's span with one id are told apart, as over HTTP; twins are shown once. */
static void adjusted_as_over_http(void **state)
{
    struct span *spans[] = {span_of(7, 0, SPAN_CLIENT), span_of(7, 0, SPAN_SERVER),
                            span_of(8, 7, SPAN_INTERNAL), span_of(8, 7, SPAN_INTERNAL)};
    static const struct attr one[] = {A_INT("a", 1), A_INT("b", 2)};
    static const struct attr two[] = {A_INT("b", 2), A_INT("a", 1)};
    write_fn *const writes[] = {grpc_v2_trace, grpc_v3_trace};
    struct sent sent = {.n = 0};
    struct str message;

    (void)state;
    spans[2]->attrs = one;
    spans[3]->attrs = two;
    spans[2]->n_attrs = spans[3]->n_attrs = 2;
    for (size_t i = 0; i < MG_COUNT(writes); i++) {
        write_all(writes[i], spans, 4, &sent);
        message = i ? only(only(sent.at[0], 1), 2) : sent.at[0];
        struct str span;
        assert_int_equal(count_of(message, i ? 2 : 1, &span), 3);
        assert_int_equal(write_limited(writes[i], spans, 4, true, &sent, 1 << 20), MG_OK);
        message = i ? only(only(sent.at[0], 1), 2) : sent.at[0];
        assert_int_equal(count_of(message, i ? 2 : 1, &span), 4);
    }
    write_all(grpc_v3_trace, spans, 4, &sent);
    struct str child;
    assert_int_equal(count_of(only(only(sent.at[0], 1), 2), 2, &child), 3);
    assert_int_equal(only(child, 4).ptr[7], 1); /* the server's new id */
}

static void v3_groups(void **state)
{
    struct span **spans = spans_new(5);
    struct sent sent = {.n = 0};

    (void)state;
    write_all(grpc_v3_trace, spans, 5, &sent);
    assert_int_equal(sent.n, 1);
    assert_string_equal(shape_of(sent.at[0]), "5");
    spans[1]->scope = spans[3]->scope = scope_of("x", "");
    spans[2]->resource = resource_of(ATTRS(A_STR("service.name", "other")));
    write_all(grpc_v3_trace, spans, 5, &sent);
    assert_int_equal(sent.n, 1);
    assert_string_equal(shape_of(sent.at[0]), "2,2;1");
}

/* Spans of 1 MiB and a little: three fit into a message. Each further one has its groups again. */
static void large_traces_are_split(void **state)
{
    struct span **spans = spans_new(9);
    struct sent sent = {.n = 0};
    struct str last;

    (void)state;
    for (size_t i = 0; i < 9; i++)
        set_blob(spans[i], 1024 * 1024 + 100);
    spans[8]->scope = scope_of("x", "");
    write_all(grpc_v3_trace, spans, 9, &sent);
    assert_int_equal(sent.n, 3);
    assert_string_equal(shape_of(sent.at[0]), "3");
    assert_string_equal(shape_of(sent.at[1]), "3");
    assert_string_equal(shape_of(sent.at[2]), "2,1");
    for (size_t i = 0; i < sent.n; i++)
        assert_true(sent.at[i].len <= GRPC_MESSAGE_BYTES);
    write_all(grpc_v2_trace, spans, 9, &sent);
    assert_int_equal(sent.n, 3);
    for (size_t i = 0; i < sent.n; i++) {
        assert_int_equal(count_of(sent.at[i], 1, &last), 3);
        assert_true(sent.at[i].len <= GRPC_MESSAGE_BYTES);
    }
}

/* Sizes around the limit: a message is never larger than it, and none is cut earlier than has to
 * be by more than what frames take. */
static void at_the_limit(void **state)
{
    struct span **spans = spans_new(2);
    struct sent sent = {.n = 0};
    write_fn *const writes[] = {grpc_v2_trace, grpc_v3_trace};

    (void)state;
    set_blob(spans[0], 1000);
    for (size_t i = 0; i < MG_COUNT(writes); i++) {
        size_t together = 0, apart = 0;
        for (size_t bytes = GRPC_MESSAGE_BYTES - 1700; bytes < GRPC_MESSAGE_BYTES; bytes += 61) {
            set_blob(spans[1], bytes);
            write_all(writes[i], spans, 2, &sent);
            for (size_t k = 0; k < sent.n; k++)
                if (sent.at[k].len > GRPC_MESSAGE_BYTES)
                    assert_int_equal(sent.n, 2); /* the span alone */
            assert_true(sent.n == 2 || sent.at[0].len <= GRPC_MESSAGE_BYTES);
            together += sent.n == 1;
            apart += sent.n == 2;
            if (sent.n == 2)
                assert_true(sent.at[0].len + sent.at[1].len + 200 > GRPC_MESSAGE_BYTES);
            arena_reset(&spans_arena);
            spans = spans_new(2);
            set_blob(spans[0], 1000);
        }
        assert_true(together > 0 && apart > 0);
    }
}

static void one_span_beyond_the_limit(void **state)
{
    struct span **spans = spans_new(3);
    struct sent sent = {.n = 0};

    (void)state;
    set_blob(spans[1], 5 * 1024 * 1024);
    write_all(grpc_v3_trace, spans, 3, &sent);
    assert_int_equal(sent.n, 3);
    assert_true(sent.at[1].len > GRPC_MESSAGE_BYTES);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(shape_of(sent.at[i]), "1");
    write_all(grpc_v2_trace, spans, 3, &sent);
    assert_int_equal(sent.n, 3);
}

static void failures(void **state)
{
    write_fn *const writes[] = {grpc_v2_trace, grpc_v3_trace};
    struct span **spans = spans_new(30);

    (void)state;
    for (size_t i = 0; i < 30; i++)
        set_blob(spans[i], 500 * 1024);
    for (size_t i = 0; i < MG_COUNT(writes); i++)
        for (int raw = 0; raw < 2; raw++) {
            struct sent sent = {.fails_at = 2};
            assert_int_equal(write_limited(writes[i], spans, 30, raw, &sent, 64 << 20), MG_E_IO);
            assert_int_equal(sent.n, 2);
            sent = (struct sent){.n = 0};
            assert_int_equal(write_limited(writes[i], spans, 30, raw, &sent, 100 * 1024),
                             MG_E_TOO_BIG);
            assert_int_equal(sent.n, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_spans_a_chunk), cmocka_unit_test(a_v2_span),
        cmocka_unit_test(a_raw_v2_span),     cmocka_unit_test(adjusted_as_over_http),
        cmocka_unit_test(v3_groups),         cmocka_unit_test(large_traces_are_split),
        cmocka_unit_test(at_the_limit),      cmocka_unit_test(one_span_beyond_the_limit),
        cmocka_unit_test(failures),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
