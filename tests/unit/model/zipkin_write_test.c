/* zipkin_write_test.c - what came from Zipkin goes back as it came; the rest as zipkin_write.h says.
 *
 * `same` was run through Zipkin's own library (zipkin 3.5.1: SpanBytesDecoder, SpanBytesEncoder): the
 * second column is what it makes of the first. */
#include "zipkin_help.h"
#include "base/vec.h"
#include "model/otlp_json.h"

static const struct { const char *in, *want; /* NULL: the same */ } same[] = {
    /* kind and name */
    { "'kind':'CLIENT'", NULL },
    { "'kind':'SERVER'", NULL },
    { "'kind':'PRODUCER'", NULL },
    { "'kind':'CONSUMER'", NULL },
    { "'kind':null", "" },
    { "'kind':'SERVER','kind':null", "'kind':'SERVER'" },
    { "'kind':'SERVER','kind':'CLIENT'", "'kind':'CLIENT'" },
    { "'name':'GET /Cart'", "'name':'get /cart'" },
    { "'name':''", "" },
    { "'name':null", "" },
    { "'name':'a','name':null", "'name':'a'" },
    { "'name':5", "'name':'5'" },
    { "'name':1000.0", "'name':'1000.0'" },
    { "'name':'ЖУК ÄÖ'", "'name':'жук äö'" },
    { "'name':'\\u0041\\n\\ud83d\\ude00'", "'name':'a\\n😀'" },
    { "'name':'\\ud800x\\udc00'", "'name':'?x?'" },
    { "'name':'a\tb\x01'", "'name':'a\\tb\\u0001'" },
    /* times */
    { "'timestamp':1,'duration':1", NULL },
    { "'timestamp':1472470996199000,'duration':207000", NULL },
    { "'timestamp':1472470996199000", NULL },
    { "'duration':207000", NULL },
    { "'timestamp':0,'duration':0", "" },
    { "'timestamp':-1,'duration':-5", "" },
    { "'timestamp':null,'duration':null", "" },
    { "'timestamp':'12','duration':80.0", "'timestamp':12,'duration':80" },
    { "'timestamp':1.7E15", "'timestamp':1700000000000000" },
    { "'timestamp':9223372036854775807,'duration':9223372036854775807", NULL },
    { "'timestamp':9223372036854775808", "'timestamp':9223372036854775807" },
    { "'timestamp':18446744073709551,'duration':1", NULL },
    { "'timestamp':18446744073709551", NULL },
    { "'timestamp':18446744073709552,'duration':5", NULL },
    /* endpoints */
    { "'localEndpoint':{'serviceName':'Frontend','ipv4':'192.168.99.1','port':8080}",
      "'localEndpoint':{'serviceName':'frontend','ipv4':'192.168.99.1','port':8080}" },
    { "'localEndpoint':{'serviceName':'ЖУК'}", "'localEndpoint':{'serviceName':'жук'}" },
    { "'localEndpoint':{'serviceName':''}", "" },
    { "'localEndpoint':{}", "" },
    { "'localEndpoint':null", "" },
    { "'localEndpoint':{'serviceName':null,'ipv4':null,'ipv6':null,'port':null}", "" },
    { "'localEndpoint':{'ipv4':'10.0.0.255'}", NULL },
    { "'localEndpoint':{'port':'80'}", "'localEndpoint':{'port':80}" },
    { "'localEndpoint':{'port':-1}", "" },
    { "'localEndpoint':{'port':65535}", NULL },
    { "'localEndpoint':{'ipv6':'2001:DB8::C001'}",
      "'localEndpoint':{'ipv6':'2001:db8::c001'}" },
    { "'localEndpoint':{'ipv4':'2001:db8::c001','ipv6':'1.2.3.4'}",
      "'localEndpoint':{'ipv4':'1.2.3.4','ipv6':'2001:db8::c001'}" },
    { "'localEndpoint':{'ipv6':'::ffff:1.2.3.4'}", "'localEndpoint':{'ipv4':'1.2.3.4'}" },
    { "'localEndpoint':{'ipv6':'::1.2.3.4'}", "'localEndpoint':{'ipv4':'1.2.3.4'}" },
    { "'localEndpoint':{'ipv6':'::ffff:102:304'}", NULL },
    { "'localEndpoint':{'ipv6':'64:ff9b::1.2.3.4'}", "" },
    { "'localEndpoint':{'ipv6':'fe80::1%eth0','ipv4':'1.2.3'}", "" },
    { "'localEndpoint':{'ipv4':'1.1.1.1','ipv6':'2.2.2.2'}",
      "'localEndpoint':{'ipv4':'2.2.2.2'}" },
    { "'localEndpoint':{'ipv6':'0:0:0:0:0:0:0:0'}", "'localEndpoint':{'ipv6':'::'}" },
    { "'localEndpoint':{'ipv6':'1:2:3:4:5:6:7:8'}", NULL },
    { "'localEndpoint':{'serviceName':'a','port':1},'localEndpoint':{'ipv4':'1.2.3.4'}",
      "'localEndpoint':{'ipv4':'1.2.3.4'}" },
    { "'localEndpoint':{'serviceName':'a','x':[{'y':null}]}",
      "'localEndpoint':{'serviceName':'a'}" },
    { "'remoteEndpoint':{'serviceName':'Backend','ipv4':'1.2.3.4','ipv6':'::1','port':9000}",
      "'remoteEndpoint':{'serviceName':'backend','ipv4':'1.2.3.4','ipv6':'::1','port':9000}" },
    { "'remoteEndpoint':{'serviceName':'backend'}", NULL },
    { "'remoteEndpoint':{'ipv4':'1.2.3.4'}", NULL },
    { "'remoteEndpoint':{'port':9000}", NULL },
    { "'remoteEndpoint':{'ipv6':'::'}", NULL },
    /* tags */
    { "'tags':{'b':'1','a':'2','b':'3'}", "'tags':{'a':'2','b':'3'}" },
    { "'tags':{}", "" },
    { "'tags':null", "" },
    { "'tags':{'':''}", NULL },
    { "'tags':{'n':5,'f':1000.0}", "'tags':{'f':'1000.0','n':'5'}" },
    { "'tags':{'a':'1'},'tags':{'b':'2','a':'3'}", "'tags':{'a':'3','b':'2'}" },
    { "'tags':{'error':''}", NULL },
    { "'tags':{'error':'false'}", NULL },
    { "'tags':{'error':'true'}", NULL },
    { "'tags':{'error':'boom','otel.status_code':'ERROR','otel.status_description':'boom'}",
      NULL },
    { "'tags':{'error':'x','otel.status_code':'OK'}", NULL },
    { "'tags':{'otel.status_code':'OK'}", NULL },
    { "'tags':{'otel.status_code':'Ok'}", NULL },
    { "'tags':{'otel.status_code':'Error'}", NULL },
    { "'tags':{'otel.status_code':'STATUS_CODE_ERROR'}", NULL },
    { "'tags':{'otel.status_code':'UNSET'}", NULL },
    { "'tags':{'otel.status_description':''}", NULL },
    { "'tags':{'otel.library.name':'l','otel.library.version':'1'}", NULL },
    { "'tags':{'otel.scope.name':'l','otel.scope.version':'1'}", NULL },
    { "'tags':{'otel.library.name':'l','otel.scope.name':'l'}", NULL },
    { "'tags':{'otel.library.name':'l','otel.scope.name':'m'}", NULL },
    { "'tags':{'otel.scope.name':'','otel.library.version':''}",
      "'tags':{'otel.library.version':'','otel.scope.name':''}" },
    { "'localEndpoint':{'serviceName':'A'},'tags':{'service.name':'A',"
      "'service.version':'2','host.name':'h'}",
      "'localEndpoint':{'serviceName':'a'},'tags':{'host.name':'h','service.name':'A',"
      "'service.version':'2'}" },
    { "'localEndpoint':{'serviceName':'A'},'tags':{'service.name':'B'}",
      "'localEndpoint':{'serviceName':'a'},'tags':{'service.name':'B'}" },
    { "'tags':{'service.name':'B'}", NULL },
    { "'tags':{'service.name':''}", NULL },
    { "'tags':{'span.kind':'internal'}", NULL },
    { "'tags':{'span.kind':'client'}", NULL },
    { "'kind':'CLIENT','tags':{'span.kind':'internal'}", NULL },
    { "'tags':{'w3c.tracestate':'a=b'}", NULL },
    { "'tags':{'w3c.tracestate':''}", NULL },
    { "'tags':{'peer.service':'p','net.peer.ip':'1.2.3.4','net.peer.port':'5',"
      "'net.host.ip':'::1'}",
      "'tags':{'net.host.ip':'::1','net.peer.ip':'1.2.3.4','net.peer.port':'5',"
      "'peer.service':'p'}" },
    { "'tags':{'peer.service':''},'remoteEndpoint':{'serviceName':'p'}",
      "'remoteEndpoint':{'serviceName':'p'},'tags':{'peer.service':''}" },
    { "'tags':{'net.peer.ip':'9.9.9.9','net.host.ip':'8.8.8.8'},"
      "'remoteEndpoint':{'ipv4':'1.2.3.4','ipv6':'::1'},'localEndpoint':{'ipv4':'4.3.2.1'}",
      "'localEndpoint':{'ipv4':'4.3.2.1'},'remoteEndpoint':{'ipv4':'1.2.3.4','ipv6':'::1'},"
      "'tags':{'net.host.ip':'8.8.8.8','net.peer.ip':'9.9.9.9'}" },
    { "'kind':'CLIENT','tags':{'server.address':'db','db.name':'orders',"
      "'network.peer.address':'10.0.0.1'}",
      "'kind':'CLIENT','tags':{'db.name':'orders','network.peer.address':'10.0.0.1',"
      "'server.address':'db'}" },
    { "'tags':{'zipkin.shared':'true','zipkin.debug':'true','zipkin.tags':'1',"
      "'zipkin.timestamp':'5','otel.zipkin.absentField.startTime':'true'}",
      "'tags':{'otel.zipkin.absentField.startTime':'true','zipkin.debug':'true',"
      "'zipkin.shared':'true','zipkin.tags':'1','zipkin.timestamp':'5'}" },
    { "'tags':{'otlp.service.name.source':'faas.name','faas.name':'f'}",
      "'tags':{'faas.name':'f','otlp.service.name.source':'faas.name'}" },
    { "'tags':{'otlp.link.0':'5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13||{}|0'}",
      NULL },
    { "'tags':{'otlp.link.0':'5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13|a=b|{\\'k"
      "\\':[1,true,null,2.5,{\\'x\\':\\'y\\'}]}|3',"
      "'otlp.link.1':'5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13||{}|0',"
      "'otlp.link.3':'x'}",
      NULL },
    { "'tags':{'otlp.link.0':'5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13||{\\'k\\':1"
      ".0}|0'}",
      NULL },
    { "'tags':{'otlp.link.0':'x|y|z|{}|0'}", NULL },
    { "'tags':{'otlp.link.1':'5982fe77008310cc80f1da5e10147517|90394f6bcffb5d13||{}|0'}",
      NULL },
    /* annotations */
    { "'annotations':[{'timestamp':2,'value':'b'},{'timestamp':1,'value':'z'},"
      "{'timestamp':2,'value':'a'},{'timestamp':2,'value':'b'}]",
      "'annotations':[{'timestamp':1,'value':'z'},{'timestamp':2,'value':'a'},"
      "{'timestamp':2,'value':'b'}]" },
    { "'annotations':[]", "" },
    { "'annotations':null", "" },
    { "'annotations':[{'timestamp':0,'value':''},{'timestamp':-5,'value':'x'}]",
      "'annotations':[{'timestamp':-5,'value':'x'},{'timestamp':0,'value':''}]" },
    { "'annotations':[{'timestamp':9223372036854775807,'value':'x'}]", NULL },
    { "'annotations':[{'timestamp':'5','value':5,'endpoint':{'serviceName':'x'}}]",
      "'annotations':[{'timestamp':5,'value':'5'}]" },
    { "'annotations':[{'timestamp':1,'value':'a'}],'annotations':[{'timestamp':2,"
      "'value':'b'}]",
      "'annotations':[{'timestamp':1,'value':'a'},{'timestamp':2,'value':'b'}]" },
    { "'annotations':[{'timestamp':1,'value':'ev|{\\'k\\':\\'v\\',\\'n\\':1}|2'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'ev|{}|0'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'ev|{\\'k\\': 1}|0'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'\\'ev\\': {\\'k\\':1}'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'{\\'ev\\': {\\'k\\': 1}}'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'{\\'ev\\':{},\\'x\\':{}}'}]", NULL },
    { "'annotations':[{'timestamp':1,'value':'a|b|c'}]", NULL },
    { "'annotations':[{'timestamp':-1,'value':'ev|{\\'zipkin.annotation\\':\\'x\\'}|0'}]",
      NULL },
    /* flags */
    { "'debug':true", NULL },
    { "'debug':false", "" },
    { "'debug':null", "" },
    { "'shared':true", NULL },
    { "'kind':'SERVER','shared':true", NULL },
    { "'kind':'CLIENT','shared':true", "'kind':'CLIENT'" },
    { "'x':[[{'a':null}]],'debug':true", "'debug':true" },
};

#define PREFIX "{\"traceId\":\"0000000000000001\",\"id\":\"0000000000000002\""

static struct str line_of(struct str members)
{
    return arena_printf(&help_arena, PREFIX "%s%.*s}\n", members.len ? "," : "", STR_ARG(members));
}

/* Read, visited, viewed, written, and that once more. */
static void zipkin_spans_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(same); i++) {
        struct str want = line_of(quoted(same[i].want ? same[i].want : same[i].in));
        struct str got = show(true, list_of(quoted(same[i].in)));
        assert_text(got, want, same[i].in);
        struct str again = arena_printf(&help_arena, "[%.*s]", STR_ARG(got));
        assert_text(show(true, again), want, same[i].in);
    }
}

/* All rows in one list: resources change the order, and nothing else. */
static int by_bytes(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void a_list_comes_back(void **state)
{
    VEC(struct str) got = { 0 }, want = { 0 };
    struct str rest, line;
    struct buf list;

    (void)state;
    buf_init(&list, SIZE_MAX);
    buf_put_char(&list, '[');
    for (size_t i = 0; i < MG_COUNT(same); i++) {
        struct str members = quoted(same[i].in);
        buf_printf(&list, "%s{%.*s,\"traceId\":\"1\",\"id\":\"2\"}", i ? ",\n" : "",
                   STR_ARG(members));
        line = line_of(quoted(same[i].want ? same[i].want : same[i].in));
        line.len--; /* the line's end */
        VEC_PUSH(&want, line);
    }
    buf_put_char(&list, ']');
    rest = show(true, buf_str(&list));
    while (str_cut(&rest, '\n', &line))
        VEC_PUSH(&got, line);
    assert_int_equal(got.n, want.n);
    qsort(got.at, got.n, sizeof *got.at, by_bytes);
    qsort(want.at, want.n, sizeof *want.at, by_bytes);
    for (size_t i = 0; i < got.n; i++)
        assert_text(got.at[i], want.at[i], "list");
    buf_fini(&list);
    VEC_FINI(&got);
    VEC_FINI(&want);
}

static void ids_are_shown(void **state)
{
    static const struct { const char *in, *want; } rows[] = {
        { "'traceId':'a','id':'b'", "'traceId':'000000000000000a','id':'000000000000000b'" },
        { "'traceId':'00000000000000000000000000000001','id':'2'",
          "'traceId':'0000000000000001','id':'0000000000000002'" },
        { "'traceId':'10000000000000000','id':'2'",
          "'traceId':'00000000000000010000000000000000','id':'0000000000000002'" },
        { "'traceId':'00001234567890abcdef','id':'2'",
          "'traceId':'1234567890abcdef','id':'0000000000000002'" },
        { "'traceId':'48485a3953bb61246b221d5bc9e6496c','parentId':'6b221d5bc9e6496c',"
          "'id':'5b4185666d50f68b'", NULL },
        { "'traceId':12,'id':34,'parentId':5",
          "'traceId':'0000000000000012','parentId':'0000000000000005','id':'0000000000000034'" },
        { "'traceId':'1','id':'2','parentId':'2'",
          "'traceId':'0000000000000001','id':'0000000000000002'" },
        { "'traceId':'1','id':'2','parentId':'0'",
          "'traceId':'0000000000000001','id':'0000000000000002'" },
        { "'traceId':'1','id':'2','parentId':null",
          "'traceId':'0000000000000001','id':'0000000000000002'" },
        { "'traceId':'9','id':'8','traceId':'1','id':'2'",
          "'traceId':'0000000000000001','id':'0000000000000002'" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str in = quoted(rows[i].in), want = quoted(rows[i].want ? rows[i].want : rows[i].in);
        assert_text(show(true, arena_printf(&help_arena, "[{%.*s}]", STR_ARG(in))),
                    arena_printf(&help_arena, "{%.*s}\n", STR_ARG(want)), rows[i].in);
    }
}

/* --- spans of OTLP --------------------------------------------- */

static struct str show_otlp(struct str json)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct otlp_json *reader = otlp_json_new();
    struct buf proto, out;
    struct mg_why why;

    buf_init(&proto, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    if (otlp_json_to_proto(reader, json, &proto, &why) != MG_OK ||
        otlp_scan(scanner, buf_str(&proto), &showing, &out, &why) != MG_OK)
        fail_msg("%s\n%.*s", why.text, STR_ARG(json));
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&proto);
    buf_fini(&out);
    otlp_json_free(&reader);
    otlp_scanner_free(&scanner);
    return copy;
}

/* Attributes by short names: A(key, stringValue, 'text'). */
#define A(key, type, value) "{'key':'" key "','value':{'" type "':" value "}}"
#define S(key, text)        A(key, "stringValue", "'" text "'")
#define SHOP                "'attributes':[" S("service.name", "Shop") "]"
#define LOCAL               "'localEndpoint':{'serviceName':'shop'}"
#define NOBODY              "'localEndpoint':{'serviceName':'otlpresourcenoservicename'}"

static const struct { const char *resource, *scope, *span, *want; } foreign[] = {
    /* the local service */
    { SHOP, "", "", LOCAL },
    { "", "", "", NOBODY },
    { "'attributes':[" S("service.name", "") "]", "", "", NOBODY ",'tags':{'service.name':''}" },
    { "'attributes':[" A("service.name", "intValue", "5") "]", "", "",
      NOBODY ",'tags':{'service.name':'5'}" },
    { "'attributes':[" S("process.executable.name", "Sh") "," S("faas.name", "Fn") "]", "", "",
      "'localEndpoint':{'serviceName':'fn'},'tags':{'otlp.service.name.source':'faas.name',"
      "'process.executable.name':'Sh'}" },
    { "'attributes':[" S("k8s.deployment.name", "d") "]", "", "",
      "'localEndpoint':{'serviceName':'d'},"
      "'tags':{'otlp.service.name.source':'k8s.deployment.name'}" },
    /* kind, name, times */
    { SHOP, "", "'kind':1", LOCAL ",'tags':{'span.kind':'internal'}" },
    { SHOP, "", "'kind':2,'name':'GET /Ä'", "'kind':'SERVER','name':'get /ä'," LOCAL },
    { SHOP, "", "'kind':3", "'kind':'CLIENT'," LOCAL },
    { SHOP, "", "'kind':4", "'kind':'PRODUCER'," LOCAL },
    { SHOP, "", "'kind':5", "'kind':'CONSUMER'," LOCAL },
    { SHOP, "", "'kind':9", LOCAL },
    { SHOP, "", "'startTimeUnixNano':'1499','endTimeUnixNano':'3999'",
      "'timestamp':1,'duration':3," LOCAL },
    { SHOP, "", "'startTimeUnixNano':'1500','endTimeUnixNano':'1501'",
      "'timestamp':2,'duration':1," LOCAL },
    { SHOP, "", "'startTimeUnixNano':'1000','endTimeUnixNano':'1000'", "'timestamp':1," LOCAL },
    { SHOP, "", "'startTimeUnixNano':'2000','endTimeUnixNano':'1000'", "'timestamp':2," LOCAL },
    { SHOP, "", "'startTimeUnixNano':'18446744073709551615','endTimeUnixNano':'0'",
      "'timestamp':18446744073709552," LOCAL },
    { SHOP, "", "'parentSpanId':'0000000000000002'", LOCAL },
    /* attributes */
    { SHOP, "", "'attributes':[" S("s", "x") "," A("i", "intValue", "'5'") ","
      A("b", "boolValue", "true") "," A("d", "doubleValue", "2.5") ","
      A("a", "arrayValue", "{'values':[{'stringValue':'x'},{'intValue':'1'}]}") ","
      A("y", "bytesValue", "'AQI='") ",{'key':'e','value':{}}]",
      LOCAL ",'tags':{'a':'[\\'x\\',1]','b':'true','d':'2.5','e':'','i':'5','s':'x','y':'AQI='}" },
    { SHOP, "", "'attributes':[" S("k", "1") "," S("k", "2") "]", LOCAL ",'tags':{'k':'2'}" },
    { "'attributes':[" S("service.name", "Shop") "," S("k", "resource") "," S("h", "1") "]", "",
      "'attributes':[" S("k", "span") "]", LOCAL ",'tags':{'h':'1','k':'span'}" },
    { SHOP, "'name':'lib','version':'1','attributes':[" S("x", "y") "]", "",
      LOCAL ",'tags':{'otel.library.name':'lib','otel.library.version':'1',"
      "'otel.scope.name':'lib','otel.scope.version':'1','x':'y'}" },
    { SHOP, "", "'droppedAttributesCount':1,'droppedEventsCount':2,'droppedLinksCount':3",
      LOCAL ",'tags':{'otel.dropped_attributes_count':'1','otel.dropped_events_count':'2',"
      "'otel.dropped_links_count':'3'}" },
    { SHOP, "", "'traceState':'a=b'", LOCAL ",'tags':{'w3c.tracestate':'a=b'}" },
    /* status */
    { SHOP, "", "'status':{'code':1}", LOCAL ",'tags':{'otel.status_code':'OK'}" },
    { SHOP, "", "'status':{'code':2}", LOCAL ",'tags':{'error':'true','otel.status_code':'ERROR'}" },
    { SHOP, "", "'status':{'code':2,'message':'boom'},'attributes':[" S("error", "x") "]",
      LOCAL ",'tags':{'error':'boom','otel.status_code':'ERROR',"
      "'otel.status_description':'boom'}" },
    { SHOP, "", "'status':{'code':2},'attributes':[" S("error", "x") "]",
      LOCAL ",'tags':{'error':'x','otel.status_code':'ERROR'}" },
    { SHOP, "", "'attributes':[" A("error", "boolValue", "false") "]", LOCAL },
    { SHOP, "", "'status':{'code':1},'attributes':[" S("error", "x") "]",
      LOCAL ",'tags':{'otel.status_code':'OK'}" },
    { SHOP, "", "'status':{'code':7}", LOCAL },
    /* events and links */
    { SHOP, "", "'events':[{'timeUnixNano':'2000','name':'b'},{'timeUnixNano':'1000','name':'a',"
      "'droppedAttributesCount':1,'attributes':[" S("k", "v") "," A("n", "intValue", "1") ","
      A("d", "doubleValue", "'NaN'") "]}]",
      LOCAL ",'annotations':[{'timestamp':1,'value':'a|{\\'k\\':\\'v\\',\\'n\\':1,"
      "\\'d\\':\\'NaN\\'}|1'},{'timestamp':2,'value':'b'}]" },
    { SHOP, "", "'events':[{'name':'a','droppedAttributesCount':2}]",
      LOCAL ",'annotations':[{'timestamp':0,'value':'a|{}|2'}]" },
    { SHOP, "", "'links':[{'traceId':'00000000000000000000000000000009','spanId':"
      "'0000000000000008','traceState':'a=b','attributes':[" S("k", "v") "]}]",
      LOCAL ",'tags':{'otlp.link.0':'00000000000000000000000000000009|0000000000000008|a=b|"
      "{\\'k\\':\\'v\\'}|0'}" },
    /* the peer */
    { SHOP, "", "'attributes':[" S("peer.service", "DB") "," S("net.peer.ip", "1.2.3.4") ","
      A("net.peer.port", "intValue", "5") "]",
      LOCAL ",'remoteEndpoint':{'serviceName':'db','ipv4':'1.2.3.4','port':5}" },
    { SHOP, "", "'kind':3,'attributes':[" S("db.name", "orders") "," S("server.address", "Db1") ","
      A("server.port", "intValue", "5432") "]",
      "'kind':'CLIENT'," LOCAL ",'remoteEndpoint':{'serviceName':'db1','port':5432},"
      "'tags':{'db.name':'orders','server.address':'Db1','server.port':'5432'}" },
    { SHOP, "", "'kind':3,'attributes':[" S("server.address", "10.0.0.1") "]",
      "'kind':'CLIENT'," LOCAL ",'remoteEndpoint':{'ipv4':'10.0.0.1'},"
      "'tags':{'server.address':'10.0.0.1'}" },
    { SHOP, "", "'kind':2,'attributes':[" S("server.address", "me") ","
      S("network.peer.address", "::1") "," A("network.peer.port", "intValue", "9") "]",
      "'kind':'SERVER'," LOCAL ",'remoteEndpoint':{'ipv6':'::1','port':9},'tags':{"
      "'network.peer.address':'::1','network.peer.port':'9','server.address':'me'}" },
    { SHOP, "", "'attributes':[" S("net.peer.ip", "nonsense") ","
      A("net.peer.port", "intValue", "70000") "," S("peer.service", "") "]",
      LOCAL ",'tags':{'net.peer.ip':'nonsense','net.peer.port':'70000','peer.service':''}" },
    { SHOP, "", "'attributes':[" S("net.host.ip", "10.0.0.2") ","
      A("net.host.port", "intValue", "80") "]",
      "'localEndpoint':{'serviceName':'shop','ipv4':'10.0.0.2','port':80}" },
    /* what the scanner leaves behind counts for everybody; as text it is a tag */
    { SHOP, "", "'kind':2,'attributes':[" A("zipkin.shared", "boolValue", "true") ","
      A("zipkin.debug", "boolValue", "true") "]", "'kind':'SERVER'," LOCAL ",'debug':true,'shared':true" },
    { SHOP, "", "'kind':3,'attributes':[" A("zipkin.shared", "boolValue", "true") "]",
      "'kind':'CLIENT'," LOCAL },
    { SHOP, "", "'attributes':[" S("zipkin.shared", "true") ","
      A("zipkin.debug", "boolValue", "false") "]",
      LOCAL ",'tags':{'zipkin.debug':'false','zipkin.shared':'true'}" },
    { SHOP, "", "'startTimeUnixNano':'5000','attributes':["
      A("otel.zipkin.absentField.startTime", "boolValue", "true") "]", LOCAL },
};

static void foreign_spans_are_converted(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        const char *span = foreign[i].span;
        struct str json = arena_printf(
            &help_arena,
            "{'resourceSpans':[{'resource':{%s},'scopeSpans':[{'scope':{%s},'spans':[{'traceId':"
            "'00000000000000000000000000000001','spanId':'0000000000000002'%s%s}]}]}]}",
            foreign[i].resource, foreign[i].scope, *span ? "," : "", span);
        struct str got = show_otlp(quoted(json.ptr));
        assert_text(got, line_of(quoted(foreign[i].want)), foreign[i].span);
        /* What is shown can be read. */
        (void)show(true, arena_printf(&help_arena, "[%.*s]", STR_ARG(got)));
    }
}

static void bad_utf8_is_replaced(void **state)
{
    (void)state;
    assert_text(show(true, list_of(STR("\"name\":\"a\xff" "b\",\"tags\":{\"\xc3\":\"\xed\xa0\x80\"},"
                                       "\"localEndpoint\":{\"serviceName\":\"\xe2\x82\"}"))),
                line_of(STR("\"name\":\"a\xef\xbf\xbd" "b\",\"localEndpoint\":{\"serviceName\":"
                            "\"\xef\xbf\xbd\"},\"tags\":{\"\xef\xbf\xbd\":\"\xef\xbf\xbd\xef\xbf\xbd"
                            "\xef\xbf\xbd\"}")),
                "bad UTF-8");
}

static void names_are_lowered(void **state)
{
    static const struct { const char *in, *want; } rows[] = {
        { "", "" },
        { "already lower 1", "already lower 1" },
        { "ABZ@[", "abz@[" },
        { "ÀÞ×", "àþ×" },
        { "ΑΩ ЖЯ", "αω жя" },
        { "\xe2\x84\xaa", "k" },               /* U+212A, the Kelvin sign: shorter */
        { "\xc8\xba", "\xe2\xb1\xa5" },        /* U+023A: longer */
        { "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" }, /* Deseret, four bytes */
        { "日本", "日本" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_text(zipkin_lower(&help_arena, str_of(rows[i].in)), str_of(rows[i].want),
                    rows[i].in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipkin_spans_come_back),
        cmocka_unit_test(a_list_comes_back),
        cmocka_unit_test(ids_are_shown),
        cmocka_unit_test(foreign_spans_are_converted),
        cmocka_unit_test(bad_utf8_is_replaced),
        cmocka_unit_test(names_are_lowered),
    };

    return cmocka_run_group_tests(tests, NULL, zipkin_help_fini);
}
