/* zipkin_scan_test.c - what Zipkin's lists become in OTLP's shape, what is refused, and in which words.
 *
 * The refusals were run through Zipkin's own library (zipkin 3.5.1, SpanBytesDecoder). It refuses them
 * too, but for ids of zeros written short, an empty span in proto3, and what its server looks at
 * before: the first byte, and lists of version 1. Sentences are its own where it speaks of a member's
 * value; where it says only "Malformed", or adds line, column and a web page, ours names the place. */
#include "zipkin_help.h"
#include "codec/utf8.h"

/* --- a visitor that tells, with everything taken apart ------------------------------------------ */

static void tell_attrs(struct buf *out, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    while (attr_next(&at, end, number, &attr) == 1)
        put_attr(out, &attr);
}

static void tell_resource(void *owner, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    assert_int_equal(view.n, 1);
    assert_true(str_eq(view.schema_url, STR("https://zipkin.io/zipkin-api/")));
    buf_put_text(owner, "R");
    tell_attrs(owner, view.attributes_owner[0], 1);
    buf_put_text(owner, "\n");
}

static void tell_scope(void *owner, struct str scope)
{
    struct scope_view view;

    scope_view(scope, &view);
    buf_put_text(owner, "S");
    put_text(owner, "name", view.name);
    put_text(owner, "version", view.version);
    buf_put_text(owner, "\n");
}

static void tell_events(struct buf *out, struct str events)
{
    const uint8_t *at = wire_begin(events), *end = wire_end(events);
    struct event_view event;

    while (event_next(&at, end, &event) == 1) {
        buf_printf(out, " event=%" PRIu64 ":%.*s(", event.time_ns, STR_ARG(event.name));
        tell_attrs(out, event.message, 3);
        buf_printf(out, " )%u", event.dropped_attrs);
    }
}

static void tell_links(struct buf *out, struct str links)
{
    const uint8_t *at = wire_begin(links), *end = wire_end(links);
    struct link_view link;

    while (link_next(&at, end, &link) == 1) {
        buf_printf(out, " link=%02x..%02x:%.*s(", link.trace_id[0], link.span_id[7],
                   STR_ARG(link.trace_state));
        tell_attrs(out, link.message, 4);
        buf_printf(out, " )%u", link.dropped_attrs);
    }
}

static void tell_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct span plain = *span;

    plain.events = plain.links = STR("");
    buf_printf(owner, "%u", ordinal);
    put_span(owner, &plain);
    tell_events(owner, span->events);
    tell_links(owner, span->links);
    buf_put_text(owner, "\n");
}

static const struct span_visitor taking_apart = { tell_resource, tell_scope, tell_span,
                                                  shown_never };

static struct str tell(bool is_json, struct str list)
{
    struct mg_why why;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (scan_any(is_json, list, &taking_apart, &out, &why) != MG_OK)
        fail_msg("%s\n%.*s", why.text, STR_ARG(list));
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

/* --- what OTLP's span is --------------------------------------------- */

#define LINK "5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13|"
#define AT1  "'timestamp':1,"
#define TOLD "R\nS\n0 start=1000 end=1000"

static const struct { const char *in, *told; } mapped[] = {
    /* ids, kind, name, times */
    { AT1 "'parentId':'3'", "R\nS\n0 parent=0000000000000003 start=1000 end=1000\n" },
    { AT1 "'kind':'CLIENT'", "R\nS\n0 kind=3 start=1000 end=1000\n" },
    { AT1 "'kind':'SERVER'", "R\nS\n0 kind=2 start=1000 end=1000\n" },
    { AT1 "'kind':'PRODUCER'", "R\nS\n0 kind=4 start=1000 end=1000\n" },
    { AT1 "'kind':'CONSUMER'", "R\nS\n0 kind=5 start=1000 end=1000\n" },
    { AT1 "'tags':{'span.kind':'internal'}", "R\nS\n0 kind=1 start=1000 end=1000\n" },
    { AT1 "'tags':{'span.kind':'server'}", TOLD " span.kind:string:server\n" },
    { AT1 "'name':'GET /Ä'", "R\nS\n0 name=GET /Ä start=1000 end=1000\n" }, /* the case is kept */
    { "'timestamp':1472470996199000,'duration':207000",
      "R\nS\n0 start=1472470996199000000 end=1472470996406000000\n" },
    { "'name':'a'", "R\nS\n0 name=a otel.zipkin.absentField.startTime:bool:1\n" },
    { "'duration':5", "R\nS\n0 end=5000 otel.zipkin.absentField.startTime:bool:1\n" },
    { "'timestamp':18446744073709552,'duration':1",
      "R\nS\n0 start=-1 end=-1 zipkin.timestamp:int:18446744073709552 zipkin.duration:int:1\n" },
    { "'timestamp':1,'duration':18446744073709551",
      "R\nS\n0 start=1000 end=-1 zipkin.duration:int:18446744073709551\n" },
    /* endpoints and flags */
    { AT1 "'localEndpoint':{'serviceName':'Shop'}",
      "R service.name:string:Shop\nS\n0 start=1000 end=1000\n" },
    { AT1 "'localEndpoint':{'ipv4':'10.0.0.1','port':80}",
      TOLD " net.host.ip:string:10.0.0.1 net.host.port:int:80\n" },
    { AT1 "'localEndpoint':{'ipv4':'10.0.0.1','ipv6':'2001:DB8::1'}",
      TOLD " net.host.ip:string:10.0.0.1 net.host.ip:string:2001:db8::1\n" },
    { AT1 "'remoteEndpoint':{'serviceName':'Db','ipv6':'::1','port':5432}",
      TOLD " peer.service:string:Db net.peer.ip:string:::1 net.peer.port:int:5432\n" },
    { AT1 "'remoteEndpoint':{'serviceName':'Db'},'tags':{'peer.service':'x'}",
      TOLD " peer.service:string:x peer.service:string:Db zipkin.tags:int:4096\n" },
    { AT1 "'debug':true,'shared':true", TOLD " zipkin.debug:bool:1 zipkin.shared:bool:1\n" },
    { AT1 "'debug':false,'shared':null", TOLD "\n" },
    { AT1 "'kind':'CLIENT','shared':true", "R\nS\n0 kind=3 start=1000 end=1000\n" },
    /* tags */
    { AT1 "'tags':{'b':'1','a':2}", TOLD " a:string:2 b:string:1\n" },
    { AT1 "'tags':{'a':'1','a':'2'}", TOLD " a:string:2\n" },
    { AT1 "'tags':{'':''}", TOLD " :string:\n" },
    { AT1 "'tags':{'n':'5','b':'true'}", TOLD " b:string:true n:string:5\n" },
    { AT1 "'localEndpoint':{'serviceName':'s'},'tags':{'host.name':'h','service.version':'1',"
      "'telemetry.sdk.name':'t','os.type':'l','hostname':'x','faas.trigger':'y','service.peer.name':'z'}",
      "R service.name:string:s host.name:string:h os.type:string:l service.version:string:1"
      " telemetry.sdk.name:string:t\nS\n0 start=1000 end=1000 faas.trigger:string:y"
      " hostname:string:x service.peer.name:string:z\n" },
    { AT1 "'localEndpoint':{'serviceName':'s'},'tags':{'service.name':'s'}",
      "R service.name:string:s\nS\n0 start=1000 end=1000 zipkin.tags:int:256\n" },
    { AT1 "'localEndpoint':{'serviceName':'s'},'tags':{'service.name':'t'}",
      "R service.name:string:s\nS\n0 start=1000 end=1000 service.name:string:t\n" },
    { AT1 "'tags':{'service.name':'t'}",
      "R service.name:string:t\nS\n0 start=1000 end=1000 zipkin.tags:int:768\n" },
    { AT1 "'tags':{'w3c.tracestate':'a=b'}", "R\nS\n0 state=a=b start=1000 end=1000\n" },
    { AT1 "'tags':{'otel.library.name':'l','otel.library.version':'1'}",
      "R\nS name=l version=1\n0 start=1000 end=1000 zipkin.tags:int:3\n" },
    { AT1 "'tags':{'otel.scope.name':'l','otel.library.name':'m'}",
      "R\nS name=l\n0 start=1000 end=1000 otel.library.name:string:m zipkin.tags:int:4\n" },
    /* status */
    { AT1 "'tags':{'error':'boom'}", TOLD " error:string:boom code=2 message=boom\n" },
    { AT1 "'tags':{'error':''}", TOLD " error:string: code=2\n" },
    { AT1 "'tags':{'error':'true'}", TOLD " error:string:true code=2\n" },
    { AT1 "'tags':{'error':'false'}", TOLD " error:string:false code=2\n" },
    { AT1 "'tags':{'otel.status_code':'OK'}", TOLD " zipkin.tags:int:16 code=1\n" },
    { AT1 "'tags':{'otel.status_code':'STATUS_CODE_ERROR','otel.status_description':'d'}",
      TOLD " zipkin.tags:int:192 code=2 message=d\n" },
    { AT1 "'tags':{'otel.status_code':'Error','error':'x','otel.status_description':'d'}",
      TOLD " error:string:x zipkin.tags:int:160 code=2 message=d\n" },
    { AT1 "'tags':{'otel.status_code':'OK','error':'x'}",
      TOLD " error:string:x otel.status_code:string:OK code=2 message=x\n" },
    { AT1 "'tags':{'otel.status_code':'UNSET'}", TOLD " otel.status_code:string:UNSET\n" },
    /* annotations */
    { AT1 "'annotations':[{'timestamp':2,'value':'wr'},{'timestamp':1,'value':''}]",
      TOLD " event=2000:wr( )0 event=1000:( )0\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'ev|{\\'k\\':\\'v\\',\\'n\\':1}|3'}]",
      TOLD " event=2000:ev( k:string:v n:int:1 )3\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'\\'ev\\': {\\'k\\':2.5}'}]",
      TOLD " event=2000:ev( k:double:2.5 zipkin.annotation:string:\"ev\": {\"k\":2.5} )0\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'{\\'ev\\': {\\'k\\': true}}'}]",
      TOLD " event=2000:ev( k:bool:1 zipkin.annotation:string:{\"ev\": {\"k\": true}} )0\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'ev|not json|0'}]",
      TOLD " event=2000:ev|not json|0( )0\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'ev|{}|4294967296'}]",
      TOLD " event=2000:ev|{}|4294967296( )0\n" },
    { AT1 "'annotations':[{'timestamp':2,'value':'{\\'a\\':1}'}]",
      TOLD " event=2000:{\"a\":1}( )0\n" },
    { AT1 "'annotations':[{'timestamp':-3,'value':'x'}]",
      TOLD " event=0:x( zipkin.timestamp:int:-3 )0\n" },
    { AT1 "'annotations':[{'timestamp':9223372036854775807,'value':'x'}]",
      TOLD " event=18446744073709551615:x( zipkin.timestamp:int:9223372036854775807 )0\n" },
    /* links */
    { AT1 "'tags':{'otlp.link.0':'" LINK "a=b|{\\'k\\':1}|2','otlp.link.1':'" LINK "|{}|0'}",
      TOLD " link=59..13:a=b( k:int:1 )2 link=59..13:( )0\n" },
    { AT1 "'tags':{'otlp.link.0':'" LINK "|{ }|0'}",
      TOLD " otlp.link.0:string:" LINK "|{ }|0 link=59..13:( )0\n" },
    { AT1 "'tags':{'otlp.link.1':'" LINK "|{}|0'}", TOLD " otlp.link.1:string:" LINK "|{}|0\n" },
    { AT1 "'tags':{'otlp.link.0':'0|1|{}|0'}", TOLD " otlp.link.0:string:0|1|{}|0\n" },
};

static void json_is_mapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(mapped); i++)
        assert_text(tell(true, list_of(quoted(mapped[i].in))), str_of(mapped[i].told),
                    mapped[i].in);
}

/* --- what is refused --------------------------------------------- */

struct seen { unsigned calls; };

static void count_group(void *owner, struct str group)
{
    (void)group;
    ((struct seen *)owner)->calls++;
}

static void count_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)span;
    (void)ordinal;
    ((struct seen *)owner)->calls++;
}

static const struct span_visitor counting = { count_group, count_group, count_span, shown_never };

static void assert_refused(bool is_json, struct str list, const char *sentence, const char *of)
{
    struct seen seen = { 0 };
    struct mg_why why = { "" };

    if (scan_any(is_json, list, &counting, &seen, &why) != MG_E_FORMAT)
        fail_msg("not refused: %s", of);
    assert_text(str_of(why.text), str_of(sentence), of);
    assert_int_equal(scan_any(is_json, list, &counting, &seen, NULL), MG_E_FORMAT);
}

#define JSON " reading List<Span> from json"

/* Members behind good ids. */
static const struct { const char *in, *sentence; } refused_members[] = {
    { "'parentId':''", "parentId is empty" JSON },
    { "'parentId':'12345678901234567'", "parentId.length > 16" JSON },
    { "'parentId':'A'", "A should be lower-hex encoded with no prefix" JSON },
    { "'kind':'client'", "No enum constant zipkin2.Span.Kind.client" JSON },
    { "'kind':''", "No enum constant zipkin2.Span.Kind." JSON },
    { "'kind':1", "No enum constant zipkin2.Span.Kind.1" JSON },
    { "'kind':'\\n\\u00e4'", "No enum constant zipkin2.Span.Kind.?ä" JSON },
    { "'name':true", "Expected a string but was BOOLEAN at $[0].name" JSON },
    { "'name':{}", "Expected a string but was BEGIN_OBJECT at $[0].name" JSON },
    { "'timestamp':1.5", "Expected a long but was 1.5 at $[0].timestamp" JSON },
    { "'timestamp':''", "Expected a long but was  at $[0].timestamp" JSON },
    { "'timestamp':'x'", "Expected a long but was x at $[0].timestamp" JSON },
    { "'timestamp':1e19", "Expected a long but was 1e19 at $[0].timestamp" JSON },
    { "'timestamp':true", "Expected a long but was BOOLEAN at $[0].timestamp" JSON },
    { "'duration':[]", "Expected a long but was BEGIN_ARRAY at $[0].duration" JSON },
    { "'timestamp':01", "Malformed (a comma or } was expected at $[0].timestamp)" JSON },
    { "'debug':'true'", "Expected a boolean but was STRING at $[0].debug" JSON },
    { "'shared':1", "Expected a boolean but was NUMBER at $[0].shared" JSON },
    { "'localEndpoint':[]",
      "Malformed: Expected BEGIN_OBJECT but was BEGIN_ARRAY at $[0].localEndpoint" JSON },
    { "'localEndpoint':{'serviceName':[]}",
      "Expected a string but was BEGIN_ARRAY at $[0].localEndpoint.serviceName" JSON },
    { "'localEndpoint':{'port':65536}", "invalid port 65536" JSON },
    { "'remoteEndpoint':{'port':1.5}",
      "Expected an int but was 1.5 at $[0].remoteEndpoint.port" JSON },
    { "'remoteEndpoint':5",
      "Malformed: Expected BEGIN_OBJECT but was NUMBER at $[0].remoteEndpoint" JSON },
    { "'tags':{'a':null}", "No value at $[0].tags.a" JSON },
    { "'tags':{'a':true}", "Expected a string but was BOOLEAN at $[0].tags.a" JSON },
    { "'tags':{'a':{}}", "Expected a string but was BEGIN_OBJECT at $[0].tags.a" JSON },
    { "'tags':[]", "Malformed: Expected BEGIN_OBJECT but was BEGIN_ARRAY at $[0].tags" JSON },
    { "'annotations':{}",
      "Malformed: Expected BEGIN_ARRAY but was BEGIN_OBJECT at $[0].annotations" JSON },
    { "'annotations':[null]",
      "Malformed: Expected BEGIN_OBJECT but was NULL at $[0].annotations[0]." JSON },
    { "'annotations':[{'timestamp':1,'value':'a'},{'value':'x'}]",
      "Incomplete annotation at $[0].annotations[1].value" JSON },
    { "'annotations':[{'timestamp':1}]", "Incomplete annotation at $[0].annotations[0].timestamp" JSON },
    { "'annotations':[{}]", "Incomplete annotation at $[0].annotations[0]." JSON },
    { "'annotations':[{'timestamp':null,'value':'x'}]",
      "Expected a long but was NULL at $[0].annotations[0].timestamp" JSON },
    { "'annotations':[{'timestamp':1,'value':null}]",
      "Expected a string but was NULL at $[0].annotations[0].value" JSON },
    { "'x':nul", "Malformed (not a JSON value at $[0].x)" JSON },
    { "'x':NaN", "Malformed (not a JSON value at $[0].x)" JSON },
    { "'x':[1,]", "Malformed (not a JSON value at $[0].x)" JSON },
    { "'name':'\\q'", "Malformed (a wrong escape inside a string at $[0].name)" JSON },
    { "'binaryAnnotations':[]", "Expected a JSON_V2 encoded list, but received: JSON_V1" },
};

/* Whole lists. */
static const struct { const char *in, *sentence; } refused_lists[] = {
    { " []", "Expected a JSON_V2 encoded list" },
    { "\xef\xbb\xbf[]", "Expected a JSON_V2 encoded list" },
    { "{}", "Expected a JSON_V2 encoded list" },
    { "null", "Expected a JSON_V2 encoded list" },
    { "x", "Expected a JSON_V2 encoded list" },
    { "[", "Malformed (a span was expected at byte 1)" JSON },
    { "[1]", "Malformed (a span was expected at byte 1)" JSON },
    { "[null]", "Malformed (a span was expected at byte 1)" JSON },
    { "[[]]", "Malformed (a span was expected at byte 1)" JSON },
    { "[,]", "Malformed (a span was expected at byte 1)" JSON },
    { "[{}]", "Missing : traceId id" JSON },
    { "[{'id':'1'}]", "Missing : traceId" JSON },
    { "[{'traceId':'1'}]", "Missing : id" JSON },
    { "[{'traceId':null,'id':'1'}]", "Expected a string but was NULL at $[0].traceId" JSON },
    { "[{'traceId':'1','id':null}]", "Expected a string but was NULL at $[0].id" JSON },
    { "[{'traceId':'','id':'1'}]", "traceId is empty" JSON },
    { "[{'traceId':'0','id':'1'}]", "traceId is all zeros" JSON },
    { "[{'traceId':'123456789012345678901234567890123','id':'1'}]", "traceId.length > 32" JSON },
    { "[{'traceId':'AB','id':'1'}]", "AB should be lower-hex encoded with no prefix" JSON },
    { "[{'traceId':'0x1','id':'1'}]", "0x1 should be lower-hex encoded with no prefix" JSON },
    { "[{'traceId':1.5,'id':'1'}]", "1.5 should be lower-hex encoded with no prefix" JSON },
    { "[{'traceId':'1','id':''}]", "id is empty" JSON },
    { "[{'traceId':'1','id':'0'}]", "id is all zeros" JSON },
    { "[{'traceId':'1','id':'12345678901234567'}]", "id.length > 16" JSON },
    { "[{'traceId':'1','id':'2'}", "Malformed (a comma or ] was expected at byte 25)" JSON },
    { "[{'traceId':'1','id':'2'},]", "Malformed (a span was expected at byte 26)" JSON },
    { "[{'traceId':'1','id':'2'} {}]", "Malformed (a comma or ] was expected at byte 26)" JSON },
    { "[{'traceId':'1','id':'2',}]", "Malformed (a key was expected at $[0].id)" JSON },
    { "[{'traceId':'1','id':'2'/**/}]", "Malformed (a comma or } was expected at $[0].id)" JSON },
    { "[{'traceId':'1','id':'2'", "Malformed (the text ends inside the document at $[0].id)" JSON },
    { "[{'traceId':'1','id':'2'},{'id':'3'}]", "Missing : traceId" JSON },
    /* the last key of the span before is not named */
    { "[{'traceId':'1','id':'2','\\u0041':1},{5", "Malformed (a key was expected at $[1].)" JSON },
    { "[{'traceId':'1','id':'2'},{'traceId':'1','id':'2','tags':{'a':null}}]",
      "No value at $[1].tags.a" JSON },
};

static void json_is_refused_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused_members); i++)
        assert_refused(true, list_of(quoted(refused_members[i].in)), refused_members[i].sentence,
                       refused_members[i].in);
    for (size_t i = 0; i < MG_COUNT(refused_lists); i++)
        assert_refused(true, quoted(refused_lists[i].in), refused_lists[i].sentence,
                       refused_lists[i].in);
}

static void nothing_is_fine(void **state)
{
    static const char *const lists[] = { "", "[]", "[ \r\n\t]", "[]]", "[] and more", "[]{" };
    struct seen seen = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(lists); i++)
        assert_int_equal(scan_any(true, str_of(lists[i]), &counting, &seen, NULL), MG_OK);
    assert_int_equal(scan_any(false, STR(""), &counting, &seen, NULL), MG_OK);
    assert_int_equal(seen.calls, 0);
}

static void sentences_stay_short(void **state)
{
    struct mg_why why;
    struct seen seen = { 0 };
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    for (int form = 0; form < 2; form++) {
        buf_clear(&list);
        buf_put_text(&list, form ? "[{\"traceId\":\"1\",\"id\":\"2\",\"tags\":{\""
                                 : "[{\"traceId\":\"1\",\"id\":\"2\",\"kind\":\"");
        for (int i = 0; i < 1000; i++)
            buf_put_text(&list, "\xc3\xa4");
        buf_put_text(&list, form ? "\":null}}]" : "\"}]");
        assert_int_equal(scan_any(true, buf_str(&list), &counting, &seen, &why), MG_E_FORMAT);
        assert_true(utf8_valid(why.text, strlen(why.text)));
        assert_true(str_ends(str_of(why.text), STR(JSON)));
    }
    buf_fini(&list);
}

/* Unknown members may be deep, but not endlessly. */
static void nesting_is_bounded(void **state)
{
    struct seen seen = { 0 };
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    for (int depth = 255; depth <= 256; depth++) {
        buf_clear(&list);
        buf_put_text(&list, "[{\"traceId\":\"1\",\"id\":\"2\",\"x\":");
        for (int i = 0; i < depth; i++)
            buf_put_char(&list, '[');
        for (int i = 0; i < depth; i++)
            buf_put_char(&list, ']');
        buf_put_text(&list, "}]");
        assert_int_equal(scan_any(true, buf_str(&list), &counting, &seen, NULL),
                         depth == 255 ? MG_OK : MG_E_FORMAT);
    }
    buf_fini(&list);
}

/* --- ids, numbers, keys: read many bytes at a time --------------------------------------------- */

static void take_ids(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)ordinal;
    *(struct span *)owner = *span;
}

static const struct span_visitor taking_ids = { written_group, written_group, take_ids, shown_never };

static struct str list_with_ids(struct str trace_id, struct str id)
{
    return arena_printf(&help_arena, "[{\"traceId\":\"%.*s\",\"id\":\"%.*s\"}]", STR_ARG(trace_id), STR_ARG(id));
}

static void ids_are_padded_at_every_length(void **state)
{
    static const char digits[] = "fedcba98765432100123456789abcdef";
    struct span span;

    (void)state;
    for (size_t len = 1; len <= 32; len++) {
        struct str trace_id = str_n(digits, len), id = str_n(digits, MG_MIN(len, (size_t)16));
        char want[32], got[32];
        assert_int_equal(scan_any(true, list_with_ids(trace_id, id), &taking_ids, &span, NULL), MG_OK);
        memset(want, '0', sizeof want);
        memcpy(want + 32 - len, digits, len);
        hex_encode(span.trace_id, 16, got);
        assert_memory_equal(got, want, 32);
        memset(want, '0', sizeof want);
        memcpy(want + 16 - id.len, digits, id.len);
        hex_encode(span.span_id, 8, got);
        assert_memory_equal(got, want, 16);
    }
}

static void a_wrong_digit_is_found_anywhere(void **state)
{
    static const char wrong[] = "/:@AFGZ`gz -.\x7f\x80\xb0\xe1\xff";

    (void)state;
    for (size_t at = 0; at < 32; at++) {
        for (size_t i = 0; i < sizeof wrong - 1; i++) {
            char digits[] = "0123456789abcdef0123456789abcdef";
            struct seen seen = { 0 };
            digits[at] = wrong[i];
            struct str trace_id = str_n(digits, 32), id = str_n(digits + at / 16 * 16, 16);
            assert_int_equal(scan_any(true, list_with_ids(trace_id, STR("1")), &counting, &seen, NULL), MG_E_FORMAT);
            assert_int_equal(scan_any(true, list_with_ids(STR("1"), id), &counting, &seen, NULL), MG_E_FORMAT);
            assert_int_equal(seen.calls, 0);
        }
    }
}

/* A timestamp; start 0: refused. */
static const struct { const char *in; uint64_t start; } micros[] = {
    { "1", 1 }, { "1234567", 1234567 }, { "12345678", 12345678 }, { "123456789", 123456789 },
    { "1472470996199000", 1472470996199000 }, { "12345678901234567", 12345678901234567 },
    { "\"1472470996199000\"", 1472470996199000 }, { "\"0000000000000012\"", 12 }, { "\"+12\"", 12 },
    { "1472470996199000.0", 1472470996199000 }, { "1.7E15", 1700000000000000 }, { "80.0", 80 },
    { "\"123456789012345:\"", 0 }, { "\"/234567890123456\"", 0 }, { "\"1234567\\u0000\"", 0 }, { "\"12345678 \"", 0 },
    { "\" 12345678\"", 0 }, { "\"1234567\xb8\"", 0 }, { "12345678.5", 0 }, { "00000012", 0 },
};

static void micros_of_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(micros); i++) {
        struct str list = list_of(arena_printf(&help_arena, "\"timestamp\":%s", micros[i].in));
        struct span span = { .start_ns = 0 };
        assert_int_equal(scan_any(true, list, &taking_ids, &span, NULL), micros[i].start ? MG_OK : MG_E_FORMAT);
        assert_int_equal(span.start_ns, micros[i].start * 1000);
    }
}

static void keys_of_the_resource(void **state)
{
    static const struct { const char *key; bool is_resource; } rows[] = {
        { "aws.ecs.x", true }, { "aws.eks.x", true }, { "aws.log.x", true }, { "cloud.x", true }, { "container.x", true },
        { "deployment.x", true }, { "device.x", true }, { "faas.id", true }, { "faas.instance", true },
        { "faas.max_memory", true },
        { "faas.name", true }, { "faas.version", true }, { "gcp.x", true }, { "heroku.x", true }, { "host.x", true },
        { "k8s.x", true },
        { "os.x", true }, { "process.x", true }, { "service.instance.id", true }, { "service.namespace", true },
        { "service.version", true }, { "telemetry.x", true }, { "webengine.x", true },
        { "", false }, { "h", false }, { "ho", false }, { "host", false }, { "host.", false }, { "hOst.x", false },
        { "Host.x", false },
        { "h/st.x", false }, { "hostx.x", false }, { "aws.", false }, { "aws.x", false }, { "kxs.x", false }, { "k8s", false },
        { "faas.i", false }, { "faas.ids", false }, { "faas.trigger", false }, { "service.versions", false },
        { "service.x", false },
        { "w3c.x", false }, { "zzz.x", false }, { "{ost.x", false }, { "\xe8ost.x", false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const char *key = rows[i].key;
        struct str list = list_of(arena_printf(&help_arena, "\"timestamp\":1,\"tags\":{\"%s\":\"v\"}", key));
        const char *form = rows[i].is_resource ? "R %s:string:v\nS\n0 start=1000 end=1000\n" : TOLD " %s:string:v\n";
        assert_text(tell(true, list), arena_printf(&help_arena, form, key), key);
    }
}

static void tags_come_in_the_order_of_their_keys(void **state)
{
    static const struct { const char *in, *told; } rows[] = {
        { "'12345678':'','12345678a':''", " 12345678:string: 12345678a:string:" },
        { "'12345678a':'','12345678':''", " 12345678:string: 12345678a:string:" },
        { "'1234567a':'','1234567b':''", " 1234567a:string: 1234567b:string:" },
        { "'1234567b':'','1234567a':''", " 1234567a:string: 1234567b:string:" },
        { "'12345678abcdefgh':'','12345678abcdefgh':'x'", " 12345678abcdefgh:string:x" },
        { "'\xc3\xa4':'','z':''", " z:string: \xc3\xa4:string:" },
        { "'1234567\xc3\xa4':'','1234567z':''", " 1234567z:string: 1234567\xc3\xa4:string:" },
        { "'a':'','':''", " :string: a:string:" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str tags = quoted(rows[i].in);
        struct str list = list_of(arena_printf(&help_arena, "\"timestamp\":1,\"tags\":{%.*s}", STR_ARG(tags)));
        assert_text(tell(true, list), arena_printf(&help_arena, TOLD "%s\n", rows[i].told), rows[i].in);
    }
}

/* --- annotations whose parts would be spelled otherwise keep their text --------------------------- */

/* The attributes of `ev|{…}|0` as an annotation has them; whether they are spelled as the writer does. */
static const struct { const char *attributes; bool is_ours; } spelled[] = {
    { "{\"k\":\"v\"}", true }, { "{\"k\":\"v\",\"l\":\"w\"}", true }, { "{\"\":\"\"}", true },
    { "{\"k\":1,\"l\":-12,\"m\":0}", true },
    { "{\"k\":true,\"l\":false,\"m\":null}", true }, { "{\"k\":\"\\n\\t\\r\\b\\f\\\"\\\\/\"}", true },
    { "{\"k\":\"\\u001f\\u0000\"}", true },
    { "{\"\\n\":\"\"}", true }, { "{\"k\":\"\xc3\xa4\"}", true }, { "{\"k\":\"\x7f\"}", true },
    { "{\"k\":1.5,\"l\":[1,\"a\"],\"m\":{\"n\":1}}", true },
    { "{\"k\":\"0123456789abcdef\\n0123456789abcdef\\n\"}", true },
    { "{}", false }, { "{ }", false }, { "{\"k\": \"v\"}", false }, { "{\"k\":\"v\", \"l\":\"w\"}", false },
    { "{\"k\":\"v\" }", false },
    { "{\"k\":\"\\/\"}", false }, { "{\"k\":\"\\u0041\"}", false }, { "{\"k\":\"\\u000a\"}", false },
    { "{\"k\":\"\\u001F\"}", false },
    { "{\"k\":\"\\u0022\"}", false }, { "{\"k\":\"\\u00e4\"}", false }, { "{\"\\u006b\":\"v\"}", false },
    { "{\"k\":-0}", false },
    { "{\"k\":1e2}", false }, { "{\"k\":1.50}", false }, { "{\"k\":[1, 2]}", false }, { "{\"k\":{\"n\": 1}}", false },
    { "{\"k\":\"\\ud800\"}", false }, { "{\"k\":\"0123456789abcdef\\/0123456789abcdef\"}", false },
};

static bool keeps_text(struct str annotation)
{
    struct buf list;
    struct json_writer w;

    buf_init(&list, SIZE_MAX);
    json_writer_init(&w, &list, 0);
    buf_put_text(&list, "[{\"traceId\":\"1\",\"id\":\"2\",\"annotations\":[{\"timestamp\":1,\"value\":");
    json_put_str(&w, annotation);
    buf_put_text(&list, "}]}]");
    struct str told = tell(true, buf_str(&list)), shown = show(true, buf_str(&list)), value;
    size_t at;
    buf_clear(&list);
    json_put_str(&w, annotation);
    value = buf_str(&list);
    assert_true(str_find(shown, value, &at)); /* it comes back as it was, either way */
    buf_fini(&list);
    return str_find(told, STR("zipkin.annotation"), &at);
}

static void an_annotation_keeps_its_spelling(void **state)
{
    static const struct { const char *annotation; bool is_ours; } rows[] = {
        { "ev|{\"k\":1}|0", true }, { "ev|{\"k\":1}|7", true }, { "ev|{\"k\":1}|10", true }, { "ev|{\"k\":1}|4294967295", true },
        { "ev|{}|7", true }, { "|{\"k\":1}|0", true }, { "ev", true }, { "", true }, { "ev|{\"k\":1}|4294967296", true },
        { "ev|", true },
        { "ev|{\"k\":1}|00", false }, { "ev|{\"k\":1}|07", false }, { "ev|{}|0", false }, { "ev|{}|00", false },
        { "\"ev\": {\"k\":1}", false }, { "{\"ev\":{\"k\":1}}", false }, { "{\"ev\":{}}", false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(spelled); i++) {
        struct str annotation = arena_printf(&help_arena, "ev|%s|0", spelled[i].attributes);
        if (keeps_text(annotation) == spelled[i].is_ours)
            fail_msg("%s", spelled[i].attributes);
    }
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        if (keeps_text(str_of(rows[i].annotation)) == rows[i].is_ours)
            fail_msg("%s", rows[i].annotation);
}

/* --- proto3 --------------------------------------------- */

#define IDS      "0a0101 1a0102"
#define PROTO    " reading List<Span> from proto3"
#define ONE_SPAN "'traceId':'0000000000000001','id':'0000000000000002'"

/* A Span message: as Zipkin's JSON, or the sentence. */
static const struct { const char *hex, *shown, *sentence; } protos[] = {
    { IDS, ONE_SPAN, NULL },
    { "0a10 000102030405060708090a0b0c0d0e0f 1a08 0001020304050607",
      "'traceId':'000102030405060708090a0b0c0d0e0f','id':'0001020304050607'", NULL },
    { "0a08 0102030405060708 1a0102", "'traceId':'0102030405060708','id':'0000000000000002'", NULL },
    { IDS "1203 010203", "'traceId':'0000000000000001','parentId':'0000000000010203','id':"
      "'0000000000000002'", NULL },
    { IDS "1200", ONE_SPAN, NULL },
    { IDS "1208 0000000000000000", ONE_SPAN, NULL },
    { IDS "1201 02", ONE_SPAN, NULL }, /* its own parent */
    { IDS "2001", ONE_SPAN ",'kind':'CLIENT'", NULL },
    { IDS "2002", ONE_SPAN ",'kind':'SERVER'", NULL },
    { IDS "2003", ONE_SPAN ",'kind':'PRODUCER'", NULL },
    { IDS "2004", ONE_SPAN ",'kind':'CONSUMER'", NULL },
    { IDS "2005", ONE_SPAN, NULL },
    { IDS "20ffffffffffffffffff01", ONE_SPAN, NULL },
    { IDS "2a01 41", ONE_SPAN ",'name':'a'", NULL },
    { IDS "31 0100000000000000 3805", ONE_SPAN ",'timestamp':1,'duration':5", NULL },
    { IDS "31 ffffffffffffffff 38ffffffffffffffffff01", ONE_SPAN, NULL },
    { IDS "4209 0a0141 1204 01020304", ONE_SPAN ",'localEndpoint':{'serviceName':'a','ipv4':'1.2.3.4'}",
      NULL },
    { IDS "4206 1204 01020304 4203 0a0141", ONE_SPAN ",'localEndpoint':{'serviceName':'a'}", NULL },
    { IDS "4a12 1a10 00000000000000000000ffff01020304",
      ONE_SPAN ",'remoteEndpoint':{'ipv6':'::ffff:102:304'}", NULL },
    { IDS "4a12 1a10 00000000000000000000000001020304",
      ONE_SPAN ",'remoteEndpoint':{'ipv4':'1.2.3.4'}", NULL },
    { IDS "4a12 1a10 00000000000000000000000000000001",
      ONE_SPAN ",'remoteEndpoint':{'ipv6':'::1'}", NULL },
    { IDS "4a05 1203 010203", ONE_SPAN, NULL }, /* an address of three bytes */
    { IDS "4a04 20ffff03", ONE_SPAN ",'remoteEndpoint':{'port':65535}", NULL },
    { IDS "520c 09 0500000000000000 1201 78", ONE_SPAN ",'annotations':[{'timestamp':5,'value':'x'}]",
      NULL },
    { IDS "520c 09 fbffffffffffffff 1201 78",
      ONE_SPAN ",'annotations':[{'timestamp':-5,'value':'x'}]", NULL },
    { IDS "5203 1201 78 5209 09 0500000000000000 5200", ONE_SPAN, NULL }, /* halves */
    { IDS "5a06 0a0161 1201 62", ONE_SPAN ",'tags':{'a':'b'}", NULL },
    { IDS "5a03 0a0161", ONE_SPAN ",'tags':{'a':''}", NULL },
    { IDS "5a03 1201 62 5a05 0a00 1201 62", ONE_SPAN, NULL },
    { IDS "5a06 0a0161 1201 62 5a06 0a0161 1201 63", ONE_SPAN ",'tags':{'a':'c'}", NULL },
    { IDS "6001 6801", ONE_SPAN ",'debug':true,'shared':true", NULL },
    { IDS "2801 3201 61 390100000000000000 a00101 a2010161 f50100000000", ONE_SPAN, NULL },

    { "", NULL, "Missing : traceId id" PROTO },
    { "0a0101", NULL, "Missing : id" PROTO },
    { "1a0102", NULL, "Missing : traceId" PROTO },
    { "0a00 1a0102", NULL, "Missing : traceId" PROTO },
    { "0a0100 1a0102", NULL, "traceId is all zeros" PROTO },
    { "0a0101 1a0200 00", NULL, "id is all zeros" PROTO },
    { "0a11 0102030405060708090a0b0c0d0e0f1011 1a0102", NULL, "traceId.length > 32" PROTO },
    { "0a0101 1a09 010203040506070809", NULL, "id.length > 16" PROTO },
    { IDS "1209 010203040506070809", NULL, "parentId.length > 16" PROTO },
    { IDS "4204 20808004", NULL, "invalid port 65536" PROTO },
    { IDS "420b 20ffffffffffffffffff01", NULL, "invalid port -1" PROTO },
    { IDS "13 14", NULL, "Malformed (the message at byte 2 is cut, or no protobuf)" PROTO },
    { IDS "5a06 0a0161 1205 62", NULL, "Malformed (the message at byte 10 is cut, or no protobuf)" PROTO },
    { IDS "4202 0a05", NULL, "Malformed (the message at byte 10 is cut, or no protobuf)" PROTO },
    { IDS "5202 0901", NULL, "Malformed (the message at byte 10 is cut, or no protobuf)" PROTO },
    { IDS "2a05 61", NULL, "Malformed (the message at byte 2 is cut, or no protobuf)" PROTO },
    { IDS "80", NULL, "Malformed (the message at byte 2 is cut, or no protobuf)" PROTO },
};

static void proto_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(protos); i++) {
        struct str list = field_bytes(1, hex(protos[i].hex));
        if (protos[i].sentence) {
            assert_refused(false, list, protos[i].sentence, protos[i].hex);
            /* One bad span refuses the good one before it. */
            struct seen seen = { 0 };
            assert_int_equal(scan_any(false, join(field_bytes(1, hex(IDS)), list), &counting, &seen,
                                      NULL), MG_E_FORMAT);
            continue;
        }
        struct str want = quoted(protos[i].shown);
        assert_text(show(false, list), arena_printf(&help_arena, "{%.*s}\n", STR_ARG(want)),
                    protos[i].hex);
    }
}

static void proto_lists_hold_spans_only(void **state)
{
    static const struct { const char *hex, *sentence; } rows[] = {
        { "0801", "Malformed (field 1 at byte 8 is no span)" PROTO },
        { "1200", "Malformed (field 2 at byte 8 is no span)" PROTO },
        { "0a05 61", "Malformed (the message at byte 8 is cut, or no protobuf)" PROTO },
        { "00", "Malformed (the message at byte 8 is cut, or no protobuf)" PROTO },
        { "0b", "Malformed (the message at byte 8 is cut, or no protobuf)" PROTO },
        { "ff", "Malformed (the message at byte 8 is cut, or no protobuf)" PROTO },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_refused(false, join(field_bytes(1, hex(IDS)), hex(rows[i].hex)), rows[i].sentence,
                       rows[i].hex);
}

/* --- real clients --------------------------------------------- */

/* opentelemetry-exporter-zipkin-proto-http 1.45 (Python): a local span of no length, and a server
 * span with everything the exporter has. */
static const char otel_min[] =
    "0acd010a100232c0e063bb3bc4fe3d4b75e5ea402c1a08f717d3ebc9ac055e2a03696e743141222018240a06004"
    "20a0a084f54656c2d5376635a180a0c736572766963652e6e616d6512084f54656c2d5376635a0f0a09686f7374"
    "2e6e616d65120268315a180a116f74656c2e6c6962726172792e6e616d6512036c69625a1b0a146f74656c2e6c6"
    "962726172792e76657273696f6e1203312e325a160a0f6f74656c2e73636f70652e6e616d6512036c69625a190a"
    "126f74656c2e73636f70652e76657273696f6e1203312e326001";
static const char otel_full[] =
    "0ada020a10c7a82b453ae23e5f0b0ef3bcabb124c11a08ade9277af15183b520022a024f703141222018240a06003"
    "8c413420a0a084f54656c2d537663521b0960242018240a060012107b226576223a207b226b223a20317d7d5a060a"
    "016e1201315a080a01661203312e355a090a01621204747275655a100a0361727212095b2261222c2262225d5a110"
    "a0c706565722e736572766963651201785a180a0c736572766963652e6e616d6512084f54656c2d5376635a0f0a09"
    "686f73742e6e616d65120268315a180a116f74656c2e6c6962726172792e6e616d6512036c69625a1b0a146f74656"
    "c2e6c6962726172792e76657273696f6e1203312e325a160a0f6f74656c2e73636f70652e6e616d6512036c69625a"
    "190a126f74656c2e73636f70652e76657273696f6e1203312e325a190a106f74656c2e7374617475735f636f64651"
    "2054552524f525a0d0a056572726f721204626f6f6d6001";

static void clients_are_read(void **state)
{
    (void)state;
    assert_text(tell(false, hex(otel_min)),
                STR("R service.name:string:OTel-Svc host.name:string:h1\nS name=lib version=1.2\n"
                    "0 name=int start=1700000000123457000 end=1700000000123457000"
                    " zipkin.debug:bool:1 zipkin.tags:int:271\n"), "min");
    assert_text(tell(false, hex(otel_full)),
                STR("R service.name:string:OTel-Svc host.name:string:h1\nS name=lib version=1.2\n"
                    "0 name=Op kind=2 start=1700000000123457000 end=1700000000125957000"
                    " arr:string:[\"a\",\"b\"] b:string:true error:string:boom f:string:1.5 n:string:1"
                    " peer.service:string:x zipkin.debug:bool:1 zipkin.tags:int:4383 code=2"
                    " message=boom event=1700000000124000000:ev( k:int:1"
                    " zipkin.annotation:string:{\"ev\": {\"k\": 1}} )0\n"), "full");
}

/* The lists that clients posted stand in the fuzz target's corpus, J or P before each. */
static void captured_lists_come_back(void **state)
{
    static const struct { const char *name; unsigned spans; } rows[] = {
        { "npm_zipkin", 3 }, { "npm_opentelemetry", 3 }, { "python_opentelemetry", 3 },
        { "py_zipkin", 3 }, { "python_opentelemetry_proto", 3 }, { "py_zipkin_proto", 3 },
        { "vector_proto_full", 1 }, { "vector_proto_min", 1 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str file = seed("zipkin_scan/%s", rows[i].name);
        struct buf list;
        struct str rest, line;
        unsigned spans = 0;
        struct str shown = show(file.ptr[0] == 'J', str_n(file.ptr + 1, file.len - 1));
        buf_init(&list, SIZE_MAX);
        for (rest = shown; str_cut(&rest, '\n', &line); spans++)
            buf_printf(&list, "%c%.*s", spans ? ',' : '[', STR_ARG(line));
        buf_put_char(&list, ']');
        assert_int_equal(spans, rows[i].spans);
        assert_text(show(true, buf_str(&list)), shown, rows[i].name);
        buf_fini(&list);
    }
}

/* Every beginning of a list is refused, or is a shorter list. */
static void cut_lists_are_refused(void **state)
{
    struct str json = list_of(quoted("'tags':{'a':'b'},'localEndpoint':{'port':5},"
                                     "'annotations':[{'timestamp':1,'value':'x'}]"));
    struct str proto = hex(otel_full);
    struct seen seen = { 0 };

    (void)state;
    for (size_t len = 1; len < json.len; len++)
        assert_int_equal(scan_any(true, str_n(json.ptr, len), &counting, &seen, NULL), MG_E_FORMAT);
    for (size_t len = 1; len < proto.len; len++)
        assert_int_equal(scan_any(false, str_n(proto.ptr, len), &counting, &seen, NULL),
                         MG_E_FORMAT);
}

/* --- groups --------------------------------------------- */

static struct str group_span(const char *service, const char *scope, const char *more)
{
    return arena_printf(&help_arena,
                        "{'traceId':'1','id':'2','timestamp':1,'localEndpoint':{'serviceName':'%s'},"
                        "'tags':{'otel.scope.name':'%s'%s}}", service, scope, more);
}

static void each_resource_is_told_once(void **state)
{
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    buf_printf(&list, "[%s,%s,%s,%s,%s,%s,%s,%s]", group_span("b", "y", "").ptr,
               group_span("a", "x", "").ptr, group_span("b", "x", "").ptr,
               group_span("b", "y", "").ptr, group_span("a", "", "").ptr,
               group_span("b", "x", ",'host.name':'h'").ptr, group_span("a", "x", "").ptr,
               group_span("a", "x", "").ptr);
    buf_put_char(&list, 0);
    static const char want[] =
        "R service.name:string:b\n"
        "S name=y\n0 start=1000 end=1000 zipkin.tags:int:4\n"
        "S name=x\n2 start=1000 end=1000 zipkin.tags:int:4\n"
        "S name=y\n3 start=1000 end=1000 zipkin.tags:int:4\n"
        "R service.name:string:a\n"
        "S name=x\n1 start=1000 end=1000 zipkin.tags:int:4\n"
        "S\n4 start=1000 end=1000 otel.scope.name:string:\n"
        "S name=x\n6 start=1000 end=1000 zipkin.tags:int:4\n7 start=1000 end=1000 zipkin.tags:int:4\n"
        "R service.name:string:b host.name:string:h\n"
        "S name=x\n5 start=1000 end=1000 zipkin.tags:int:4\n";
    assert_text(tell(true, quoted(list.ptr)), str_of(want), "groups");
    buf_fini(&list);
}

/* The second span's tags beside the first one's host.name h, os.type o: whether they are another resource. */
static void a_resource_is_compared_by_every_tag(void **state)
{
    static const struct { const char *tags; bool is_same; } rows[] = {
        { "'host.name':'h','os.type':'o'", true }, { "'a':'','host.name':'h','m':'','os.type':'o','z':''", true },
        { "'os.type':'o','host.name':'h'", true }, { "'host.name':'x','os.type':'o'", false },
        { "'host.name':'h','os.type':'x'", false },
        { "'host.name':'h'", false }, { "'os.type':'o'", false }, { "", false },
        { "'host.name':'h','os.type':'o','process.pid':'1'", false },
        { "'cloud.region':'r','host.name':'h','os.type':'o'", false }, { "'host.id':'h','os.type':'o'", false },
        { "'host.name':'h','host.type':'','os.type':'o'", false }, { "'host.name':'','os.type':'o'", false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str list = quoted(arena_printf(&help_arena, "[{'traceId':'1','id':'2','tags':{'host.name':'h','os.type':'o'}},"
                                              "{'traceId':'1','id':'3','tags':{%s}}]", rows[i].tags).ptr);
        struct str told = tell(true, list), line;
        unsigned resources = 0;
        while (str_cut(&told, '\n', &line))
            resources += line.len > 0 && line.ptr[0] == 'R';
        if (resources != (rows[i].is_same ? 1u : 2u))
            fail_msg("%s: %u resources", rows[i].tags, resources);
    }
}

/* A list is compared with nothing of the one before it, which may be gone. */
static void a_list_knows_nothing_of_the_last(void **state)
{
    struct zipkin_scanner *scanner = zipkin_scanner_new();
    struct str list = list_of(quoted(AT1 "'localEndpoint':{'serviceName':'s'},'tags':{'host.name':'h'}"));
    struct buf told;

    (void)state;
    buf_init(&told, SIZE_MAX);
    for (int i = 0; i < 3; i++) {
        char *copy = mem_copy(list.ptr, list.len);
        buf_clear(&told);
        assert_int_equal(zipkin_scan_json(scanner, str_n(copy, list.len), &taking_apart, &told, NULL), MG_OK);
        assert_text(buf_str(&told), STR("R service.name:string:s host.name:string:h\nS\n0 start=1000 end=1000\n"), "list");
        mem_free(copy);
    }
    buf_fini(&told);
    zipkin_scanner_free(&scanner);
}

/* --- many, and memory --------------------------------------------- */

struct kept { struct str names[64], keys[64]; uint32_t n; };

static void keep_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct kept *kept = owner;

    assert_int_equal(ordinal, kept->n);
    kept->names[kept->n] = span->name;
    kept->keys[kept->n++] = span->attrs[0].key;
}

static void slices_last_as_long_as_the_scan(void **state)
{
    static const struct span_visitor keeping = { written_group, written_group, keep_span,
                                                 shown_never };
    struct kept kept = { .n = 0 };
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    for (unsigned i = 0; i < 64; i++)
        buf_printf(&list, "%c{\"traceId\":\"1\",\"id\":\"2\",\"name\":\"\\u0061%u\",\"tags\":{\"\\t%u\":\"\"}}",
                   i ? ',' : '[', i, i);
    buf_put_char(&list, ']');
    assert_int_equal(scan_any(true, buf_str(&list), &keeping, &kept, NULL), MG_OK);
    for (unsigned i = 0; i < 64; i++) {
        assert_text(kept.names[i], arena_printf(&help_arena, "a%u", i), "name");
        assert_text(kept.keys[i], arena_printf(&help_arena, "\t%u", i), "key");
    }
    buf_fini(&list);
}

static void many_tags_take_no_longer(void **state)
{
    enum { TAGS = 200000 };
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    buf_put_text(&list, "[{\"traceId\":\"1\",\"id\":\"2\",\"tags\":{");
    for (unsigned i = TAGS; i > 0; i--) /* backwards, and every key twice */
        buf_printf(&list, "%s\"k%06u\":\"%u\"", i == TAGS ? "" : ",", i / 2, i);
    buf_put_text(&list, "}}]");
    struct str shown = show(true, buf_str(&list));
    assert_true(str_find(shown, STR("\"tags\":{\"k000000\":\"1\",\"k000001\":\"2\",\"k000002\":\"4\""),
                         NULL));
    buf_fini(&list);
}

static void a_scanner_goes_on(void **state)
{
    struct zipkin_scanner *scanner = zipkin_scanner_new();
    struct seen seen = { 0 };

    (void)state;
    zipkin_scanner_decay(scanner); /* nothing to give back yet */
    for (int i = 0; i < 3; i++) {
        struct str good = list_of(quoted("'name':'\\u0041','annotations':[{'timestamp':1,'value':'e|{}|0'}]"));
        assert_int_equal(zipkin_scan_json(scanner, good, &counting, &seen, NULL), MG_OK);
        assert_int_equal(zipkin_scan_json(scanner, STR("[{\"\\u0041"), &counting, &seen, NULL),
                         MG_E_FORMAT);
        assert_int_equal(zipkin_scan_proto(scanner, hex(otel_min), &counting, &seen, NULL), MG_OK);
        assert_int_equal(seen.calls, 6 * (i + 1));
        zipkin_scanner_decay(scanner);
    }
    zipkin_scanner_free(&scanner);
    assert_null(scanner);
    zipkin_scanner_free(&scanner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_mapped),
        cmocka_unit_test(json_is_refused_whole),
        cmocka_unit_test(nothing_is_fine),
        cmocka_unit_test(sentences_stay_short),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(ids_are_padded_at_every_length),
        cmocka_unit_test(a_wrong_digit_is_found_anywhere),
        cmocka_unit_test(micros_of_every_length),
        cmocka_unit_test(keys_of_the_resource),
        cmocka_unit_test(tags_come_in_the_order_of_their_keys),
        cmocka_unit_test(an_annotation_keeps_its_spelling),
        cmocka_unit_test(proto_is_read),
        cmocka_unit_test(proto_lists_hold_spans_only),
        cmocka_unit_test(clients_are_read),
        cmocka_unit_test(captured_lists_come_back),
        cmocka_unit_test(cut_lists_are_refused),
        cmocka_unit_test(each_resource_is_told_once),
        cmocka_unit_test(a_resource_is_compared_by_every_tag),
        cmocka_unit_test(a_list_knows_nothing_of_the_last),
        cmocka_unit_test(slices_last_as_long_as_the_scan),
        cmocka_unit_test(many_tags_take_no_longer),
        cmocka_unit_test(a_scanner_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, zipkin_help_fini);
}
