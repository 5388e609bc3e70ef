/* jaeger_scan_test.c - Jaeger's wires into spans: bytes of real clients, one description in every
 * wire, and what is refused. */
#include "jaeger_captures.h"
#include "jaeger_encode.h"

#define IDS "0 00000000000000000000000000000001-0000000000000010"

static bool is_proto(enum jaeger_wire wire)
{
    return wire == JAEGER_POST_SPANS || wire == JAEGER_SPAN;
}

/* Can this wire say it? */
static bool fits(enum jaeger_wire wire, const struct batch_described *batch)
{
    bool has_own = false;

    for (size_t i = 0; i < batch->n; i++)
        has_own |= batch->spans[i].service != NULL;
    return wire == JAEGER_SPAN ? batch->n == 1 && !has_own : wire == JAEGER_POST_SPANS || !has_own;
}

static void expect_all(const char *what, const struct batch_described *batch, const char *want)
{
    for (enum jaeger_wire wire = 0; wire < ALL_WIRES; wire++)
        if (fits(wire, batch))
            expect_text(what, wire_names[wire], scan_text(wire, body_of(wire, batch)), want);
}

/* One span "op", 10..15 us, of service "svc": `scope` and `rest` are what differs. */
static void expect_span(const struct described *span, const char *scope, const char *rest)
{
    struct described whole = *span;
    struct batch_described batch = { "svc", NULL, &whole, 1 };
    char want[2048];

    whole.name = "op";
    whole.start_us = 10;
    whole.duration_us = 5;
    snprintf(want, sizeof want, "R service.name:s=svc\nS %s\n" IDS "%s\n", scope, rest);
    expect_all(rest, &batch, want);
}

/* --- what OTLP's span is --------------------------------------------- */

static const struct {
    const char *tags, *scope, *rest;
} tag_rows[] = {
    { NULL, "/", " 'op' 10000..15000" },
    { "a:s=x b:b=true c:i=-3 d:d=1.5 e:x=00ff", "/",
      " 'op' 10000..15000 a:s=x b:b=true c:i=-3 d:d=1.5 e:x=00ff" },
    { "a:s= b:b=false c:i=0 d:d=0 e:x=", "/",
      " 'op' 10000..15000 a:s= b:b=false c:i=0 d:d=0 e:x=" },
    { "a:i=9223372036854775807 b:i=-9223372036854775808", "/",
      " 'op' 10000..15000 a:i=9223372036854775807 b:i=-9223372036854775808" },
    { "a:?=1 a:s=twice a:s=twice", "/",
      " 'op' 10000..15000 a:s=<unknown Jaeger tag type> a:s=twice a:s=twice" },
    /* kind */
    { "span.kind:s=client", "/", " 'op' 10000..15000 client" },
    { "span.kind:s=server", "/", " 'op' 10000..15000 server" },
    { "span.kind:s=producer", "/", " 'op' 10000..15000 producer" },
    { "span.kind:s=consumer", "/", " 'op' 10000..15000 consumer" },
    { "span.kind:s=internal", "/", " 'op' 10000..15000 internal" },
    { "span.kind:s=CLIENT", "/", " 'op' 10000..15000" },
    { "span.kind:i=2", "/", " 'op' 10000..15000 span.kind:i=2" },
    { "span.kind:s=client span.kind:s=server", "/",
      " 'op' 10000..15000 server span.kind:s=client" },
    /* status */
    { "error:b=true", "/", " 'op' 10000..15000 ERROR" },
    { "error:b=false", "/", " 'op' 10000..15000 error:b=false" },
    { "error:s=true", "/", " 'op' 10000..15000 error:s=true" },
    { "error:i=1", "/", " 'op' 10000..15000 error:i=1" },
    { "error:b=true otel.status_code:s=OK", "/", " 'op' 10000..15000 ERROR" },
    { "error:b=false otel.status_code:s=ERROR", "/", " 'op' 10000..15000 ERROR error:b=false" },
    { "otel.status_code:s=OK", "/", " 'op' 10000..15000 OK" },
    { "otel.status_code:s=error", "/", " 'op' 10000..15000 ERROR" },
    { "otel.status_code:s=UNSET http.status_code:i=500", "/",
      " 'op' 10000..15000 http.status_code:i=500" },
    { "otel.status_code:s=odd http.status_code:i=500", "/",
      " 'op' 10000..15000 ERROR otel.status_code:s=odd http.status_code:i=500" },
    { "http.status_code:i=200", "/", " 'op' 10000..15000 http.status_code:i=200" },
    { "http.status_code:i=399", "/", " 'op' 10000..15000 http.status_code:i=399" },
    { "http.status_code:i=400", "/", " 'op' 10000..15000 ERROR http.status_code:i=400" },
    { "http.status_code:i=499 span.kind:s=server", "/",
      " 'op' 10000..15000 server http.status_code:i=499" },
    { "http.status_code:i=500 span.kind:s=server", "/",
      " 'op' 10000..15000 server ERROR http.status_code:i=500" },
    { "http.status_code:s=404 span.kind:s=client", "/",
      " 'op' 10000..15000 client ERROR http.status_code:s=404" },
    { "http.status_code:s=bad", "/", " 'op' 10000..15000 http.status_code:s=bad" },
    { "http.status_code:i=600", "/", " 'op' 10000..15000 http.status_code:i=600" },
    { "error:b=true otel.status_description:s=boom http.status_message:s=no", "/",
      " 'op' 10000..15000 ERROR(boom) http.status_message:s=no" },
    { "error:b=true http.status_message:s=no", "/",
      " 'op' 10000..15000 ERROR(no) http.status_message:s=no" },
    { "otel.status_description:s=boom", "/", " 'op' 10000..15000 otel.status_description:s=boom" },
    { "otel.status_code:s=OK otel.status_description:s=x", "/",
      " 'op' 10000..15000 OK otel.status_description:s=x" },
    /* trace state, scope, service */
    { "w3c.tracestate:s=a=b,c=d", "/", " 'op' 10000..15000 state=a=b,c=d" },
    { "w3c.tracestate:i=1", "/", " 'op' 10000..15000 w3c.tracestate:i=1" },
    { "otel.scope.name:s=lib otel.scope.version:s=1.2", "lib/1.2", " 'op' 10000..15000" },
    { "otel.library.name:s=lib otel.library.version:s=1.2", "lib/1.2", " 'op' 10000..15000" },
    { "otel.library.name:s=lib otel.scope.name:s=lib k:s=v", "lib/", " 'op' 10000..15000 k:s=v" },
    { "otel.library.name:s=old otel.scope.name:s=new", "new/",
      " 'op' 10000..15000 otel.library.name:s=old" },
    { "otel.scope.version:s=7", "/7", " 'op' 10000..15000" },
    { "otel.scope.name:i=7", "/", " 'op' 10000..15000 otel.scope.name:i=7" },
    { "service.name:s=svc", "/", " 'op' 10000..15000" },
    { "service.name:s=other", "/", " 'op' 10000..15000 service.name:s=other" },
    /* among others, which keep their order */
    { "otel.scope.name:s=lib a:s=1 span.kind:s=server b:i=2 c:d=3 error:b=true otel.status_code:s=ERROR d:s=4", "lib/",
      " 'op' 10000..15000 server ERROR a:s=1 b:i=2 c:d=3 d:s=4" },
    { "span.kind:s=server a:s=1 span.kind:s=client b:s=2 span.kind:i=3 c:s=3 span.kind:s=server span.kind:s=client", "/",
      " 'op' 10000..15000 client span.kind:s=server a:s=1 b:s=2 span.kind:i=3 c:s=3 span.kind:s=server" },
    { "a:s=1 b:s=2 error:b=false error:b=true error:s=true error:b=true", "/",
      " 'op' 10000..15000 ERROR a:s=1 b:s=2 error:b=false error:s=true" },
};

static void tags_become_fields_or_attributes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(tag_rows); i++)
        expect_span(&(struct described){ .tags = tag_rows[i].tags }, tag_rows[i].scope,
                    tag_rows[i].rest);
}

static char *repeated(char c, unsigned n)
{
    char *text = arena_zero(&help_arena, (size_t)n + 1);

    memset(text, c, n);
    return text;
}

/* Lengths of one byte of protobuf are read on a way of their own, and so are texts and whole numbers: others stand between them. */
static void tags_of_any_length_keep_their_order(void **state)
{
    static const unsigned lengths[] = { 1, 2, 57, 58, 59, 60, 61, 62, 63, 64, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 255, 256, 300 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(lengths); i++) {
        const char *k = repeated('k', lengths[i]), *v = repeated('v', lengths[i]);
        const char *tags = arena_printf(&help_arena, "a:s=x %s:s=y b:b=true c:s=%s %s:s=%s d:i=7 e:d=1.5 f:s= %s:i=-1 g:s=z", k, v, k, v, k).ptr;
        expect_span(&(struct described){ .tags = tags }, "/", arena_printf(&help_arena, " 'op' 10000..15000 %s", tags).ptr);
    }
}

#define LINK(trace, span, type)                                                                    \
    " | link 0000000000000000000000000000000" #trace "-000000000000000" #span                      \
    " opentracing.ref_type:s=" type

static const struct {
    uint64_t parent;
    const char *refs, *rest;
} ref_rows[] = {
    { 0, NULL, " 'op' 10000..15000" },
    { 5, NULL, "<0000000000000005 'op' 10000..15000" },
    { 0, "c1-3", "<0000000000000003 'op' 10000..15000" },
    { 3, "c1-3", "<0000000000000003 'op' 10000..15000" },
    { 0, "f1-4 c1-3", "<0000000000000003 'op' 10000..15000" LINK(1, 4, "follows_from") },
    { 0, "c1-3 c1-4", "<0000000000000003 'op' 10000..15000" LINK(1, 4, "child_of") },
    { 0, "f1-4", "<0000000000000004 'op' 10000..15000" LINK(1, 4, "follows_from") },
    { 0, "c2-3", " 'op' 10000..15000" LINK(2, 3, "child_of") },
    { 0, "f2-3 f1-6",
      "<0000000000000006 'op' 10000..15000" LINK(2, 3, "follows_from") LINK(1, 6, "follows_from") },
    { 0, "f0-3 c1-0 f2-3", " 'op' 10000..15000" LINK(2, 3, "follows_from") " dropped_links=2" },
};

static void references_become_parent_and_links(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(ref_rows); i++)
        expect_span(&(struct described){ .parent = ref_rows[i].parent, .refs = ref_rows[i].refs },
                    "/", ref_rows[i].rest);
}

static const struct {
    const char *logs, *rest;
} log_rows[] = {
    { "7 event:s=retry n:i=2", " 'op' 10000..15000 | log 7000 'retry' n:i=2" },
    { "7 n:i=2; 9 event:s=b", " 'op' 10000..15000 | log 7000 '' n:i=2 | log 9000 'b'" },
    { "7", " 'op' 10000..15000 | log 7000 ''" },
    { "0", " 'op' 10000..15000 | log 0 ''" },
    { "-5 event:s=x", " 'op' 10000..15000 | log 0 'x'" },
    { "7 event:i=3", " 'op' 10000..15000 | log 7000 '' event:i=3" },
    { "7 event:s=", " 'op' 10000..15000 | log 7000 ''" },
    { "7 k:s=v message:s=m", " 'op' 10000..15000 | log 7000 'm' k:s=v" },
    { "7 message:s=m event:s=e", " 'op' 10000..15000 | log 7000 'e' message:s=m" },
    { "7 event:i=1 message:s=m", " 'op' 10000..15000 | log 7000 'm' event:i=1" },
    { "7 event:s=a n:i=1 event:s=a message:s=m", " 'op' 10000..15000 | log 7000 'a' n:i=1 message:s=m" },
    { "7 event:s=a event:s=b", " 'op' 10000..15000 | log 7000 'b' event:s=a" },
    { "7 event:s=a event:i=2 message:s=m", " 'op' 10000..15000 | log 7000 'm' event:s=a event:i=2" },
    { "7 error:b=true span.kind:s=client",
      " 'op' 10000..15000 | log 7000 '' error:b=true span.kind:s=client" },
};

static void logs_become_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(log_rows); i++)
        expect_span(&(struct described){ .logs = log_rows[i].logs }, "/", log_rows[i].rest);
}

static const struct {
    const char *service, *tags, *want;
} process_rows[] = {
    { "svc", NULL, "R service.name:s=svc\n" },
    { "svc", "hostname:s=h jaeger.version:s=Go-2.30",
      "R service.name:s=svc host.name:s=h opencensus.exporterversion:s=Jaeger-Go-2.30\n" },
    { "svc", "hostname:s=h host.name:s=g", "R service.name:s=svc hostname:s=h host.name:s=g\n" },
    { "svc", "jaeger.version:i=3", "R service.name:s=svc jaeger.version:i=3\n" },
    { "svc", "jaeger.version:s=1 opencensus.exporterversion:s=x",
      "R service.name:s=svc jaeger.version:s=1 opencensus.exporterversion:s=x\n" },
    { "svc", "service.name:s=svc k:x=0102", "R service.name:s=svc k:x=0102\n" },
    { "", NULL, "R\n" },
    { "", "k:i=1 service.name:s=tag", "R k:i=1 service.name:s=tag\n" },
    { "OTLPResourceNoServiceName", "k:i=1", "R k:i=1\n" },
};

static void processes_become_resources(void **state)
{
    static const struct described span = { .name = "op", .start_us = 10 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(process_rows); i++) {
        struct batch_described batch = { process_rows[i].service, process_rows[i].tags, &span, 1 };
        char want[512];
        snprintf(want, sizeof want, "%sS /\n" IDS " 'op' 10000..10000\n", process_rows[i].want);
        expect_all(process_rows[i].want, &batch, want);
    }
}

static const struct {
    int64_t start_us, duration_us;
    const char *times;
} time_rows[] = {
    { 1700000000123457, 0, "1700000000123457000..1700000000123457000" },
    { 10, -4, "10000..6000" },
    { 10, -20, "10000..0" },
    { -5, 7, "0..7000" },
    { 10, INT64_MAX, "10000..18446744073709551615" },
    { INT64_MAX, 1, "18446744073709551615..18446744073709551615" },
    { 10, INT64_MIN, "10000..0" },
};

static void times_are_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(time_rows); i++) {
        struct described span = { .name = "op",
                                  .start_us = time_rows[i].start_us,
                                  .duration_us = time_rows[i].duration_us };
        struct batch_described batch = { "svc", NULL, &span, 1 };
        char want[512];
        snprintf(want, sizeof want, "R service.name:s=svc\nS /\n" IDS " 'op' %s\n",
                 time_rows[i].times);
        expect_all(time_rows[i].times, &batch, want);
    }
}

/* --- groups --------------------------------------------- */

#define LIB(name) "otel.scope.name:s=" name
#define SAID(ordinal, id)                                                                          \
#ordinal " 00000000000000000000000000000001-000000000000001" #id " 'op' 0..0\n"

static void scopes_are_told_when_they_change(void **state)
{
    static const struct described spans[] = {
        { .name = "op", .tags = LIB("a") },
        { .name = "op", .tags = LIB("b") },
        { .name = "op" },
        { .name = "op", .tags = LIB("a") },
        { .name = "op", .tags = LIB("b") " otel.scope.version:s=1" },
        { .name = "op", .tags = "otel.scope.version:s=1 " LIB("b") },
    };
    struct batch_described batch = { "svc", NULL, spans, MG_COUNT(spans) };

    (void)state;
    expect_all("scopes", &batch,
               "R service.name:s=svc\nS a/\n" SAID(0, 0) "S b/\n" SAID(1, 1) "S /\n" SAID(2, 2)
                   "S a/\n" SAID(3, 3) "S b/1\n" SAID(4, 4) SAID(5, 5));
}

static void each_process_is_told_once(void **state)
{
    static const struct described spans[] = {
        { .name = "op", .service = "x", .process = "k:i=1" },
        { .name = "op" },
        { .name = "op", .service = "x" },
        { .name = "op", .service = "x", .process = "k:i=1" },
        { .name = "op", .service = "x", .process = "k:i=1" },
        { .name = "op", .service = "svc" },
    };
    struct batch_described batch = { "svc", NULL, spans, MG_COUNT(spans) };

    (void)state;
    expect_all("processes", &batch,
               "R service.name:s=x k:i=1\nS /\n" SAID(0, 0) SAID(3, 3) SAID(4, 4) "R service.name:s=svc\nS /\n" SAID(1, 1) SAID(5, 5)
                   "R service.name:s=x\nS /\n" SAID(2, 2));
}

/* Fields may stand in any order; the resource is told before the spans. */
static void a_process_may_follow_its_spans(void **state)
{
#define T_SPAN "0a00010000000000000001 0a00020000000000000000 0a00030000000000000002 0a00040000000000000000 0b0005000000026f70 08000700000001" \
               "0a00080000000000000000 0a00090000000000000000 00"
    (void)state;
    expect_text("process last", "http", scan_text(JAEGER_HTTP_BINARY, hex("0f00020c00000001" T_SPAN "0c0001 0b000100000003737663 00 00")),
                "R service.name:s=svc\nS /\n0 00000000000000000000000000000001-0000000000000002 'op' 0..0\n");
    expect_refusal("no process", "http", scan_text(JAEGER_HTTP_BINARY, hex("0f00020c00000001" T_SPAN "00")), "Batch without process");
    expect_refusal("a bad process", "http", scan_text(JAEGER_HTTP_BINARY, hex("0f00020c00000001" T_SPAN "0c0001 00 00")), "Process without serviceName");
    expect_refusal("cut behind the spans", "http", scan_text(JAEGER_HTTP_BINARY, hex("0f00020c00000001" T_SPAN "0c0001 0b0001000000037376")), "larger than the data");
}

/* Lists without end before a process: it is looked for once, and made to a resource twice at most. */
static void a_process_is_looked_for_once(void **state)
{
    enum { LISTS = 100000, TAG_BYTES = 100000 };
    static const char list[] = "\x0f\0\x02\x0c\0\0\0", tag[] = "\x0f\0\x02\x0c\0\0\0\x01\x0b\0\x01\0\0\0\x01k\x08\0\x02\0\0\0\0\x0b\0\x03";
    struct buf body;
    char len[4];

    (void)state;
    buf_init(&body, SIZE_MAX);
    for (size_t i = 0; i < LISTS; i++)
        buf_put(&body, list, sizeof list);
    buf_put(&body, "\x0c\0\x01\x0b\0\x01\0\0\0\x03svc", 13);
    buf_put(&body, tag, sizeof tag - 1);
    put_be32(len, TAG_BYTES);
    buf_put(&body, len, sizeof len);
    for (size_t i = 0; i < TAG_BYTES; i++)
        buf_put_char(&body, 'x');
    buf_put(&body, "\0\0\0", 3);
    expect_text("lists", "http", scan_text(JAEGER_HTTP_BINARY, buf_str(&body)), "");
    buf_fini(&body);
}

static void empty_batches_say_nothing(void **state)
{
    struct batch_described batch = { "svc", "k:i=1", NULL, 0 };

    (void)state;
    expect_all("no spans", &batch, "");
    expect_text("no bytes", "post_spans", scan_text(JAEGER_POST_SPANS, STR("")), "");
    expect_text("an empty batch", "post_spans", scan_text(JAEGER_POST_SPANS, hex("0a00")), "");
}

/* --- bytes of real clients --------------------------------------------- */

static void clients_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(captures); i++)
        expect_text(captures[i].name, wire_names[captures[i].wire],
                    scan_text(captures[i].wire, hex(captures[i].hex)), captures[i].want);
}

static const struct {
    const char *file;
    enum jaeger_wire wire;
    const char *want;
} vectors[] = {
    { "udp_compact_min", JAEGER_UDP_COMPACT,
      "R service.name:s=OTel-Svc\nS lib/1.2\n0 b2f1c5570d127fbf52fced3833f60ab3-d931b5d3176dab86 "
      "'int' "
      "1700000000123457000..1700000000123457000 internal host.name:s=h1\n" },
    { "udp_compact_full", JAEGER_UDP_COMPACT,
      "R service.name:s=OTel-Svc\nS lib/1.2\n0 56970c596382a33dcb43661aa34afe51-491fb9affc8ea306 "
      "'Op' "
      "1700000000123457000..1700000000125957000 server ERROR(boom) n:i=1 f:d=1.5 b:b=true "
      "arr:s=('a', 'b') "
      "peer.service:s=x host.name:s=h1 | log 1700000000124000000 'ev' k:i=1 "
      "| link 11111111111111111111111111111111-2222222222222222 "
      "opentracing.ref_type:s=follows_from\n" },
    { "http_thrift_min", JAEGER_HTTP_BINARY,
      "R service.name:s=OTel-Svc\nS lib/1.2\n0 6a478620b3737419755c7cba9e31edc5-17fd3909ede86571 "
      "'int' "
      "1700000000123457000..1700000000123457000 internal host.name:s=h1\n" },
};

static void vectors_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        char path[4096];
        struct buf text;
        snprintf(path, sizeof path, "%s/%s.hex", VECTORS_DIR, vectors[i].file);
        if (!file_read(path, &text)) {
            print_message("skipped: no vector at %s\n", path);
            continue;
        }
        struct str digits = str_n(text.ptr, text.len / 2 * 2); /* without the line's end */
        expect_text(vectors[i].file, "vector",
                    scan_text(vectors[i].wire, hex(arena_str(&help_arena, digits).ptr)),
                    vectors[i].want);
        buf_fini(&text);
    }
}

static void every_cut_and_tail_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(captures); i++) {
        struct str whole = hex(captures[i].hex);
        for (size_t len = 0; len < whole.len; len++) {
            if (captures[i].wire == JAEGER_POST_SPANS && len == 0) /* a request without a batch */
                continue;
            char *exact = mem_copy(whole.ptr, len); /* so that a sanitizer sees one byte too many */
            struct str got = scan_text(captures[i].wire, str_n(exact, len));
            mem_free(exact);
            if (!str_starts(got, STR("refused: ")))
                fail_msg("%s cut at %zu is taken", captures[i].name, len);
        }
        expect_refusal("a tail", captures[i].name,
                       scan_text(captures[i].wire, join(whole, STR("\0"))), "");
    }
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(captures); i++) {
        struct str whole = hex(captures[i].hex);
        char *bytes = mem_copy(whole.ptr, whole.len), *wrong = mem_copy(whole.ptr, whole.len);
        for (size_t at = 0; at < whole.len; at++) {
            for (int flip = 1; flip < 256; flip = flip * 2 + 1) {
                wrong[at] = (char)(bytes[at] ^ flip);
                (void)scan_text(captures[i].wire,
                                str_n(wrong, whole.len)); /* either way, nothing breaks */
                arena_reset(&help_arena);
            }
            wrong[at] = bytes[at];
        }
        mem_free(bytes);
        mem_free(wrong);
    }
}

/* --- what is refused --------------------------------------------- */

static const struct described full_span = {
    .name = "op", .tags = "a:s=b", .logs = "1 c:s=d", .refs = "f2-3"
};
static const struct batch_described full = { "svc", "e:s=f", &full_span, 1 };

static const struct {
    const char *in;
    int id;
    const char *part;
} required_rows[] = {
    { "args", 1, "emitBatch without batch" },
    { "Batch", 1, "Batch without process" },
    { "Batch", 2, "Batch without spans" },
    { "Process", 1, "Process without serviceName" },
    { "Tag", 1, "Tag without key" },
    { "Tag", 2, "Tag without vType" },
    { "Log", 1, "Log without timestamp" },
    { "Log", 2, "Log without fields" },
    { "SpanRef", 1, "SpanRef without refType" },
    { "SpanRef", 2, "SpanRef without traceIdLow" },
    { "SpanRef", 3, "SpanRef without traceIdHigh" },
    { "SpanRef", 4, "SpanRef without spanId" },
    { "Span", 1, "Span without traceIdLow" },
    { "Span", 2, "Span without traceIdHigh" },
    { "Span", 3, "Span without spanId" },
    { "Span", 4, "Span without parentSpanId" },
    { "Span", 5, "Span without operationName" },
    { "Span", 7, "Span without flags" },
    { "Span", 8, "Span without startTime" },
    { "Span", 9, "Span without duration" },
};

static void required_fields_must_be_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(required_rows); i++)
        for (enum jaeger_wire wire = JAEGER_UDP_COMPACT; wire <= JAEGER_HTTP_BINARY; wire++) {
            struct thrift_how how = { "emitBatch", required_rows[i].in, 4, required_rows[i].id,
                                      false };
            if (wire != JAEGER_HTTP_BINARY || strcmp(how.omit_in, "args") != 0)
                expect_refusal(how.omit_in, wire_names[wire],
                               scan_text(wire, thrift_of(wire, &full, &how)),
                               required_rows[i].part);
        }
}

static void other_fields_are_read_over(void **state)
{
    static const struct thrift_how how = { "emitBatch", NULL, 1, 0, true };
    struct str plain = scan_text(JAEGER_HTTP_BINARY, thrift_of(JAEGER_HTTP_BINARY, &full, NULL));

    (void)state;
    for (enum jaeger_wire wire = JAEGER_UDP_COMPACT; wire <= JAEGER_HTTP_BINARY; wire++)
        expect_text("unknown fields", wire_names[wire],
                    scan_text(wire, thrift_of(wire, &full, &how)), plain.ptr);
}

static const struct {
    const char *method;
    unsigned type;
    const char *part;
} message_rows[] = {
    { "emitZipkinBatch", 4, "emitZipkinBatch is not served" },
    { "emitBatches", 4, "no such method: 'emitBatches'" },
    { "", 4, "no such method: ''" },
    { "emit\xff", 4, "no such method: 'emit\xef\xbf\xbd'" },
    { "emitBatch", 2, "a message of type 2, which is no call" },
    { "emitBatch", 3, "a message of type 3, which is no call" },
};

static void other_messages_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(message_rows); i++)
        for (enum jaeger_wire wire = JAEGER_UDP_COMPACT; wire <= JAEGER_UDP_BINARY; wire++) {
            struct thrift_how how = { message_rows[i].method, NULL, message_rows[i].type, 0,
                                      false };
            expect_refusal(message_rows[i].method, wire_names[wire],
                           scan_text(wire, thrift_of(wire, &full, &how)), message_rows[i].part);
        }
}

#define EMIT    "656d69744261746368"
#define COMPACT "82810009" EMIT /* then the arguments */
#define STRICT  "8001000400000009" EMIT "00000000"
#define OLD                                                                                        \
    "00000009" EMIT "04"                                                                           \
    "00000000"
#define BINARY_EMPTY "0c0001 0c0001 0b0001 00000001 61 00 0f0002 0c 00000000 00 00"

static const struct {
    enum jaeger_wire wire;
    const char *hex, *part;
} bytes_rows[] = {
    { JAEGER_UDP_COMPACT, COMPACT "1c 1c 180161 00 190c 00 00", NULL },
    { JAEGER_UDP_BINARY, STRICT BINARY_EMPTY, NULL },
    { JAEGER_UDP_BINARY, OLD BINARY_EMPTY, NULL },
    { JAEGER_UDP_COMPACT, STRICT BINARY_EMPTY, "no message of TCompactProtocol" },
    { JAEGER_UDP_BINARY, COMPACT "1c 1c 180161 00 190c 00 00", "TBinaryProtocol other than 1" },
    { JAEGER_UDP_COMPACT, "82820009" EMIT, "TCompactProtocol other than 1" },
    { JAEGER_UDP_BINARY, "8002000400000009" EMIT, "TBinaryProtocol other than 1" },
    { JAEGER_UDP_BINARY, "7fffffff" EMIT, "cut off" },
    { JAEGER_UDP_BINARY, "80010004ffffffff", "larger than the data" },
    /* lengths and counts of 2^31 - 1 and below zero */
    { JAEGER_HTTP_BINARY, "0c0001 0b0001 7fffffff 61 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0c0001 0b0001 80000000 61 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0f0002 0c 7fffffff 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0f0002 0c ffffffff 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0f0009 02 7fffffff 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0d0009 0202 7fffffff 00", "larger than the data" },
    { JAEGER_HTTP_BINARY, "0f0009 0a 00000002 000000000000000000", "larger than the data" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 1c 18ffffffff0761 00", "larger than the data" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 1c 18ffffffff0f61 00", "out of range" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 29fcffffffff07 00", "larger than the data" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 9b ffffffff07 11 00", "larger than the data" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 29fc ffffffffffffffffffff01 00", "too long" },
    /* types */
    { JAEGER_HTTP_BINARY, "010001 00", "a type is not known" },
    { JAEGER_HTTP_BINARY, "100001 00", "a type is not known" },
    { JAEGER_HTTP_BINARY, "0f0009 11 00000001 00", "a type is not known" },
    { JAEGER_HTTP_BINARY, "0f0009 00 00000001 00", "a list has no type" },
    { JAEGER_HTTP_BINARY, "0d0009 0008 00000001 00", "a map has no types" },
    { JAEGER_HTTP_BINARY, "0f0002 08 00000001 00000000 00", "something else than structs" },
    { JAEGER_UDP_COMPACT, COMPACT "1d00", "a type is not known" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 10 00", "a field has no type" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 05 808004 00", "out of range" },
    { JAEGER_UDP_COMPACT, COMPACT "1c 05 feff0302 15 02 00", "out of range" },
    { JAEGER_HTTP_BINARY, "", "cut off" },
    { JAEGER_UDP_COMPACT, "", "cut off" },
    /* a field of a known number and another type is not that field */
    { JAEGER_HTTP_BINARY, "080001 00000000 0f0002 0c 00000000 00", "Batch without process" },
    { JAEGER_HTTP_BINARY, "0c0001 0b0001 00000001 61 00 0f0002 0c 00000000 00 00",
      "1 bytes follow" },
};

static void thrift_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(bytes_rows); i++) {
        struct str got = scan_text(bytes_rows[i].wire, hex(bytes_rows[i].hex));
        if (bytes_rows[i].part)
            expect_refusal(bytes_rows[i].hex, wire_names[bytes_rows[i].wire], got,
                           bytes_rows[i].part);
        else
            expect_text(bytes_rows[i].hex, wire_names[bytes_rows[i].wire], got, "");
    }
}

/* A batch whose unknown field 9 holds structs inside each other; the batch is the first of them. */
static struct str nested(bool compact, unsigned levels)
{
    struct thrift_out t = { .compact = compact };

    buf_init(&t.out, SIZE_MAX);
    if (compact)
        buf_put_str(&t.out, hex(COMPACT "1c"));
    for (unsigned i = 1; i < levels; i++)
        buf_put_str(&t.out, hex(compact ? "9c" : "0c0009"));
    for (unsigned i = 1; i < levels; i++)
        buf_put_str(&t.out, hex("00"));
    buf_put_str(&t.out, hex(compact ? "0c02 180161 00 190c 00 00"
                                    : "0c0001 0b0001 00000001 61 00 0f0002 0c 00000000 00"));
    return t_take(&t);
}

static struct str nested_lists(unsigned levels)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    buf_put_str(&out, hex("0f0009"));
    for (unsigned i = 2; i < levels; i++)
        buf_put_str(&out, hex("0f 00000001"));
    buf_put_str(&out, hex("02 00000000 0c0001 0b0001 00000001 61 00 0f0002 0c 00000000 00"));
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    expect_text("64", "http", scan_text(JAEGER_HTTP_BINARY, nested(false, 64)), "");
    expect_refusal("65", "http", scan_text(JAEGER_HTTP_BINARY, nested(false, 65)), "more than 64");
    expect_refusal("many", "http", scan_text(JAEGER_HTTP_BINARY, nested(false, 100000)),
                   "more than 64");
    expect_text("64 lists", "http", scan_text(JAEGER_HTTP_BINARY, nested_lists(64)), "");
    expect_refusal("65 lists", "http", scan_text(JAEGER_HTTP_BINARY, nested_lists(65)),
                   "more than 64");
    expect_text("63 and the arguments", "compact", scan_text(JAEGER_UDP_COMPACT, nested(true, 63)),
                "");
    expect_refusal("64 and the arguments", "compact",
                   scan_text(JAEGER_UDP_COMPACT, nested(true, 64)), "more than 64");
}

static char *many_tags(unsigned n)
{
    char *words = arena_zero(&help_arena, (size_t)n * 6 + 1);

    for (unsigned i = 0; i < n; i++)
        memcpy(words + (size_t)i * 6, " k:i=1", 6);
    return words;
}

static void tags_are_limited(void **state)
{
    static const char *const whose[] = { "a span with more", "a log with more",
                                         "a process with more" };

    (void)state;
    for (unsigned place = 0; place < MG_COUNT(whose); place++)
        for (unsigned n = 4096; n <= 4097; n++) {
            const char *words = many_tags(n);
            struct described span = { .name = "op" };
            struct batch_described batch = { "svc", NULL, &span, 1 };
            if (place == 0)
                span.tags = words;
            else if (place == 1)
                span.logs = arena_printf(&help_arena, "1%s", words).ptr;
            else
                batch.process = words;
            for (enum jaeger_wire wire = 0; wire < ALL_WIRES; wire++) {
                struct str got = scan_text(wire, body_of(wire, &batch));
                if (n == 4097)
                    expect_refusal(whose[place], wire_names[wire], got, whose[place]);
                else
                    assert_true(str_starts(got, STR("R ")));
            }
        }
}

/* They become one attribute more. */
static void warnings_count_as_a_tag(void **state)
{
    (void)state;
    for (unsigned n = 4095; n <= 4096; n++) {
        struct described span = { .name = "op", .tags = many_tags(n) };
        struct batch_described batch = { "svc", NULL, &span, 1 };
        struct str body = join(proto_of(JAEGER_SPAN, &batch), field_bytes(12, STR("careful")));
        struct str got = scan_text(JAEGER_SPAN, body);
        if (n == 4096)
            expect_refusal("warnings", "span", got, "a span with more");
        else
            assert_true(str_starts(got, STR("R ")));
    }
}

static void warnings_are_limited(void **state)
{
    (void)state;
    for (unsigned n = 4096; n <= 4097; n++) {
        struct str body = hex("0a10 0102030405060708090a0b0c0d0e0f10 1208 1112131415161718"), got;
        uint8_t *warnings = arena_zero(&help_arena, (size_t)n * 2);
        for (unsigned i = 0; i < n; i++)
            warnings[(size_t)i * 2] = 0x62;
        got = scan_text(JAEGER_SPAN, join(body, str_n(warnings, (size_t)n * 2)));
        if (n == 4097)
            expect_refusal("warnings", "span", got, "more than 4096 warnings");
        else
            assert_true(str_starts(got, STR("R\n")));
    }
}

/* --- protobuf --------------------------------------------- */

#define P_TRACE "0a10 0102030405060708090a0b0c0d0e0f10"
#define P_SPAN  "1208 1112131415161718"
#define P_SAID  "R\nS /\n0 0102030405060708090a0b0c0d0e0f10-1112131415161718"

static const struct {
    const char *hex, *want, *part;
} proto_rows[] = {
    { P_TRACE P_SPAN, P_SAID " '' 0..0\n", NULL },
    { "0a08 090a0b0c0d0e0f10" P_SPAN,
      "R\nS /\n0 0000000000000000090a0b0c0d0e0f10-1112131415161718 '' 0..0\n", NULL },
    { P_TRACE P_SPAN "3204 0801 1001 3a02 1005", P_SAID " '' 1000000001..1000000006\n", NULL },
    { P_TRACE P_SPAN "3206 10ffffffff07", P_SAID " '' 2147483647..2147483647\n", NULL },
    { P_TRACE P_SPAN "320d 0801 10ffffffffffffffffff01", P_SAID " '' 999999999..999999999\n",
      NULL },
    { P_TRACE P_SPAN "3202 0801 3a0b 08ffffffffffffffffff01", P_SAID " '' 1000000000..0\n", NULL },
    { P_TRACE P_SPAN "3a0a 08ffffffffffffffff7f", P_SAID " '' 0..18446744073709551615\n", NULL },
    { P_TRACE P_SPAN "6201 61 6202 6263 2801 5a01 78",
      P_SAID " '' 0..0 @jaeger@warnings:a=[\"a\",\"bc\"]\n", NULL },
    { P_TRACE P_SPAN "4200", P_SAID " '' 0..0 :s=\n", NULL },
    { P_TRACE P_SPAN "4200 4203 0a0161 4205 0a0162 1a00 4206 0a0163 1a0178", P_SAID " '' 0..0 :s= a:s= b:s= c:s=x\n", NULL },
    { P_TRACE P_SPAN "4200 4207 0a0161 1a00 1001 4208 0a0162 1a0178 1002 4206 1a0178 0a0163", P_SAID " '' 0..0 :s= a:b=false b:i=0 c:s=x\n", NULL },
    { P_TRACE P_SPAN "4200 4208 0a8100 61 1a8100 78", P_SAID " '' 0..0 :s= a:s=x\n", NULL }, /* lengths in more bytes than they need */
    { P_TRACE P_SPAN "a00601 c23e01 00", P_SAID " '' 0..0\n",
      NULL }, /* unknown fields 100 and 1000 */
    { P_TRACE P_SPAN "220c" P_SPAN "1801", P_SAID " '' 0..0 dropped_links=1\n", NULL },
    { P_TRACE P_SPAN "2214 0a08 0000000000000001 1208 0000000000000002",
      P_SAID " '' 0..0" LINK(1, 2, "child_of") "\n", NULL },
    { "", NULL, "trace_id must be 16 or 8 bytes" },
    { P_SPAN, NULL, "trace_id must be 16 or 8 bytes" },
    { P_TRACE, NULL, "span_id must be 8 bytes" },
    { "0a0f 0102030405060708090a0b0c0d0e0f" P_SPAN, NULL, "trace_id must be 16 or 8 bytes" },
    { "0a11 0102030405060708090a0b0c0d0e0f1011" P_SPAN, NULL, "trace_id must be 16 or 8 bytes" },
    { "0a00" P_SPAN, NULL, "trace_id must be 16 or 8 bytes" },
    { "0a10 00000000000000000000000000000000" P_SPAN, NULL, "the trace id is zero" },
    { P_TRACE "1207 11121314151617", NULL, "span_id must be 8 bytes" },
    { P_TRACE "1208 0000000000000000", NULL, "the span id is zero" },
    { P_TRACE P_SPAN "2203 0a01 00", NULL, "a reference's trace_id" },
    { P_TRACE P_SPAN "2203 1201 00", NULL, "a reference's trace_id" },
    { P_TRACE P_SPAN "3001", NULL, "another wire type" },
    { P_TRACE P_SPAN "4202 0801", NULL, "another wire type" },
    { P_TRACE P_SPAN "4200 4202 0801", NULL, "another wire type" },
    { P_TRACE P_SPAN "4200 4203 0a0261 1a0178", NULL, "cut off" },   /* a key longer than its tag */
    { P_TRACE P_SPAN "4200 4206 0a0161 1a0278 1001", NULL, "cut off" }, /* a text longer than its tag */
    { P_TRACE P_SPAN "4200 4204 0a0161 1a", NULL, "cut off" },
    { P_TRACE P_SPAN "4200 4206 0a0161 1a01", NULL, "cut off" },     /* a tag longer than its span */
    { P_TRACE P_SPAN "4200 4207 0a0161 1002 2880", NULL, "cut off" },
    { P_TRACE P_SPAN "4a02 0801", NULL, "another wire type" },
    { P_TRACE P_SPAN "5202 0801", NULL, "another wire type" },
    { P_TRACE P_SPAN "420a 3001", NULL, "cut off" },
    { P_TRACE P_SPAN "43", NULL, "cut off" },
};

static void proto_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(proto_rows); i++) {
        struct str span = hex(proto_rows[i].hex), request = field_bytes(1, field_bytes(1, span));
        for (enum jaeger_wire wire = JAEGER_POST_SPANS; is_proto(wire); wire++) {
            struct str got = scan_text(wire, wire == JAEGER_SPAN ? span : request);
            if (proto_rows[i].part)
                expect_refusal(proto_rows[i].hex, wire_names[wire], got, proto_rows[i].part);
            else
                expect_text(proto_rows[i].hex, wire_names[wire], got, proto_rows[i].want);
        }
    }
}

static void one_bad_span_refuses_all(void **state)
{
    static const struct described spans[] = { { .name = "good" }, { .name = "good" } };
    struct batch_described batch = { "svc", NULL, spans, 2 };
    struct str good = proto_of(JAEGER_POST_SPANS, &batch);

    (void)state;
    expect_refusal(
        "the third", "post_spans",
        scan_text(JAEGER_POST_SPANS, join(good, field_bytes(1, field_bytes(1, hex(P_TRACE))))),
        "span 0: span_id"); /* the last batch is the batch */
    struct str inside = join(field_bytes(1, hex(P_TRACE P_SPAN)), field_bytes(1, hex(P_TRACE)));
    expect_refusal("the second", "post_spans", scan_text(JAEGER_POST_SPANS, field_bytes(1, inside)),
                   "span 1: span_id");
}

static void a_scanner_is_used_again(void **state)
{
    struct jaeger_scanner *scanner = jaeger_scanner_new();
    struct str good = thrift_of(JAEGER_UDP_COMPACT, &full, NULL), said[3];
    struct mg_why why;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct buf out;
        buf_init(&out, SIZE_MAX);
        assert_int_equal(jaeger_scan(scanner, JAEGER_UDP_COMPACT, STR("\x82"), &saying, &out, &why),
                         MG_E_FORMAT);
        assert_int_equal(jaeger_scan(scanner, JAEGER_SPAN, STR("\x82"), &saying, &out, NULL),
                         MG_E_FORMAT);
        assert_int_equal(out.len, 0);
        assert_int_equal(jaeger_scan(scanner, JAEGER_UDP_COMPACT, good, &saying, &out, &why),
                         MG_OK);
        said[i] = arena_str(&help_arena, buf_str(&out));
        buf_fini(&out);
        if (i == 1)
            jaeger_scanner_decay(scanner);
    }
    assert_true(str_eq(said[0], said[1]) && str_eq(said[0], said[2]));
    jaeger_scanner_free(&scanner);
    assert_null(scanner);
    jaeger_scanner_free(&scanner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_become_fields_or_attributes),
        cmocka_unit_test(tags_of_any_length_keep_their_order),
        cmocka_unit_test(references_become_parent_and_links),
        cmocka_unit_test(logs_become_events),
        cmocka_unit_test(processes_become_resources),
        cmocka_unit_test(times_are_bounded),
        cmocka_unit_test(scopes_are_told_when_they_change),
        cmocka_unit_test(each_process_is_told_once),
        cmocka_unit_test(a_process_may_follow_its_spans),
        cmocka_unit_test(a_process_is_looked_for_once),
        cmocka_unit_test(empty_batches_say_nothing),
        cmocka_unit_test(clients_are_understood),
        cmocka_unit_test(vectors_are_understood),
        cmocka_unit_test(every_cut_and_tail_is_refused),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(required_fields_must_be_there),
        cmocka_unit_test(other_fields_are_read_over),
        cmocka_unit_test(other_messages_are_refused),
        cmocka_unit_test(thrift_bytes),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(tags_are_limited),
        cmocka_unit_test(warnings_count_as_a_tag),
        cmocka_unit_test(warnings_are_limited),
        cmocka_unit_test(proto_bytes),
        cmocka_unit_test(one_bad_span_refuses_all),
        cmocka_unit_test(a_scanner_is_used_again),
    };

    (void)telling;
    (void)writing;
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
