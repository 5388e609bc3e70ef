/* otlp_scan_test.c - requests through the scanner: what is understood, kept, refused, malformed.
 * With MGTEST_BENCH=1 it also prints what a span costs. */
#include "model_help.h"

#include <time.h>

/* One span with ids and these fields -> its text, or the error's. */
static void tell(const struct otlp_limits *limits, struct str body, struct buf *out,
                 enum mg_err want)
{
    struct otlp_scanner *scanner = otlp_scanner_new(limits);
    struct mg_why why = { "" };

    buf_init(out, SIZE_MAX);
    enum mg_err err = otlp_scan(scanner, body, &telling, out, &why);
    if (err != want)
        fail_msg("%s instead of %s (%s)", mg_err_name(err), mg_err_name(want), why.text);
    if (err != MG_OK)
        assert_true(strlen(why.text) > 0);
    otlp_scanner_free(&scanner);
}

static void span_fields(void **state)
{
    static const struct { const char *fields; const char *want;
    } rows[] = {
        { "", "" },
        /* scalars */
        { "1a03613d31", " state=a=1" },
        { "2208 2122232425262728", " parent=2122232425262728" },
        { "2208 0000000000000000", "" },
        { "2200", "" },
        { "2a026f70", " name=op" },
        { "3002", " kind=2" },
        { "30ffffffffffffffffff01", " kind=-1" }, /* negative enums take ten bytes */
        { "3063", " kind=99" },
        { "39 0100000000000000 41 0200000000000000", " start=1 end=2" },
        { "5005 6006 7007", " dropped_attrs=5 dropped_events=6 dropped_links=7" },
        { "85010103 0000", " flags=769" },
        { "2a0161 3001 2a0162 3003", " name=b kind=3" }, /* the last one wins */
        { "2a02ff80", " name=\xff\x80" },                /* not UTF-8: as received */
        /* attributes */
        { "4a0a 0a0161 1205 0a03 783d79", " a:string:x=y" },
        { "4a07 0a0161 1202 1001", " a:bool:1" },
        { "4a07 0a0161 1202 1000", " a:bool:0" },
        { "4a07 0a0161 1202 182a", " a:int:42" },
        { "4a10 0a0161 120b 18ffffffffffffffffff01", " a:int:-1" },
        { "4a0e 0a0161 1209 21 000000000000f83f", " a:double:1.5" },
        { "4a08 0a0161 1203 3a01ff", " a:bytes:ff" },
        { "4a05 0a0161 1200", " a:empty" },
        { "4a03 0a0161", " a:empty" },
        { "4a00", " :empty" },
        { "4a04 1202 1805", " :int:5" },
        { "4a07 1202 1805 0a0161", " a:int:5" },            /* value before key */
        { "4a09 0a0161 1204 1805 1001", " a:bool:1" },      /* the last member wins */
        { "4a0b 0a0161 1202 1805 1202 1001", " a:bool:1" }, /* two values merge */
        { "4a09 0a0161 1202 1805 1200", " a:int:5" },
        { "4a0a 0a0161 0a0162 1202 1805", " b:int:5" },
        { "4a0b 0a0161 1206 2a04 0a021801", " a:array:0a021801" },
        { "4a07 0a0161 1202 3200", " a:map:" },
        { "4a07 0a0161 1202 1801 4a07 0a0161 1202 1802", " a:int:1 a:int:2" }, /* duplicates stay */
        { "4a07 0a0161 1202 4001", " a:other:0a016112024001" }, /* string-table index */
        { "4a05 0a0161 1805", " a:other:0a01611805" },          /* key index */
        { "4a09 0a0161 1204 1801 4801", " a:other:0a0161120418014801" },
        { "4a09 0a0161 1202 1801 5005", " a:other:0a0161120218015005" },
        { "4a09 0a0161 1204 2a00 2a00", " a:other:0a016112042a002a00" }, /* would be joined */
        /* events, links, unknown fields: as they are, in runs or put together */
        { "5a03 12016 5", " events=5a03120165" },
        { "5a00 5a00", " events=5a005a00" },
        { "5a00 2a0161 5a03120165", " name=a events=5a005a03120165" },
        { "6a00 5a00 6a00", " events=5a00 links=6a006a00" },
        { "a00601", " unknown=a00601" },
        { "a00601 2a0161 a2060107", " name=a unknown=a00601a2060107" },
        { "a5060000 0000 a1060000000000000000", " unknown=a50600000000a1060000000000000000" },
        /* status merges, and hands on what it does not know */
        { "7a021802", " code=2" },
        { "7a03 12016d", " message=m" },
        { "7a021802 7a03 12016d", " code=2 message=m" },
        { "7a021802 7a00", " code=2" },
        { "7a021802 7a021801", " code=1" },
        { "7a04 0805 1802", " code=2 unknown=7a020805" },
        { "7a04 0805 1802 a00601 7a02 2001", " code=2 unknown=7a020805a006017a022001" },
        /* malformed as a whole */
        { "0801", NULL },
        { "1001", NULL },
        { "1801", NULL },
        { "2001", NULL },
        { "2801", NULL },
        { "3200", NULL },
        { "3801", NULL },
        { "4001", NULL },
        { "4801", NULL },
        { "5200", NULL },
        { "5801", NULL },
        { "6200", NULL },
        { "6801", NULL },
        { "7200", NULL },
        { "7801", NULL },
        { "800101", NULL },
        { "820100", NULL }, /* each known field with a wrong wire type */
        { "3d00000000", NULL },
        { "0a", NULL },
        { "2a05 61", NULL },
        { "0b0c", NULL },
        { "0001", NULL },
        { "30ffffffffffffffffffff01", NULL },
        { "4a05 0a0161 1201", NULL },      /* value is cut */
        { "4a07 0a0161 1202 0a01", NULL }, /* string in it is cut */
        { "4a07 0a0161 1202 1880", NULL },
        { "4a07 0a0161 1202 1980", NULL },
        { "4a06 0a0161 1801 05", NULL },
        { "4a02 0801", NULL },
        { "4a02 1001", NULL },
        { "4a02 1a00", NULL },
        { "4a07 0a0161 1202 2001", NULL },         /* double as varint */
        { "4a07 0a0161 1202 0801", NULL },         /* string as varint */
        { "4a0a 0a0161 1205 2a01 08 1801", NULL }, /* overruled array is malformed */
        { "4a08 0a0161 1203 2a0108", NULL },
        { "4a08 0a0161 1203 320108", NULL },
        { "4a0a 0a0161 1205 2a03 0a01 08", NULL },
        { "5a0108", NULL },
        { "5a020801", NULL },
        { "5a021000", NULL },
        { "5a04 1a02 0801", NULL },
        { "6a0108", NULL },
        { "6a020801", NULL },
        { "6a023001", NULL },
        { "6a04 2202 0801", NULL },
        { "7a0108", NULL },
        { "7a021000", NULL },
        { "7a021a00", NULL },
        { "a206 05", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf told, want;
        struct str body = request_of(join(hex(IDS_HEX), hex(rows[i].fields)));
        struct otlp_scanner *scanner = otlp_scanner_new(NULL);
        buf_init(&told, SIZE_MAX);
        buf_init(&want, SIZE_MAX);
        enum mg_err err = otlp_scan(scanner, body, &telling, &told, NULL);
        if (rows[i].want)
            buf_printf(&want, "R\nS\n0%s\n", rows[i].want);
        if (err != (rows[i].want ? MG_OK : MG_E_FORMAT) ||
            (rows[i].want && !str_eq(buf_str(&told), buf_str(&want))))
            fail_msg("row %zu %s: %s, told %.*s", i, rows[i].fields, mg_err_name(err),
                     (int)told.len, told.ptr);
        otlp_scanner_free(&scanner);
        buf_fini(&told);
        buf_fini(&want);
    }
}

static void ids_refuse_one_span_only(void **state)
{
    static const struct { const char *ids; const char *want; } rows[] = {
        { IDS_HEX, "0\n1\n" },
        { SPAN_HEX, "0 refused trace\n1\n" },
        { "0a00" SPAN_HEX, "0 refused trace\n1\n" },
        { "0a0f 0102030405060708090a0b0c0d0e0f" SPAN_HEX, "0 refused trace\n1\n" },
        { "0a11 0102030405060708090a0b0c0d0e0f1011" SPAN_HEX, "0 refused trace\n1\n" },
        { "0a10 00000000000000000000000000000000" SPAN_HEX, "0 refused trace\n1\n" },
        { "0a10 00000000000000000000000000000001" SPAN_HEX, "0\n1\n" },
        { "0a10 01000000000000000000000000000000" SPAN_HEX, "0\n1\n" },
        { TRACE_HEX, "0 refused span\n1\n" },
        { TRACE_HEX "1207 01020304050607", "0 refused span\n1\n" },
        { TRACE_HEX "1209 010203040506070809", "0 refused span\n1\n" },
        { TRACE_HEX "1208 0000000000000000", "0 refused span\n1\n" },
        { IDS_HEX "2207 01020304050607", "0 refused parent\n1\n" },
        { IDS_HEX "2209 010203040506070809", "0 refused parent\n1\n" },
        { IDS_HEX "2201 00", "0 refused parent\n1\n" },
        { TRACE_HEX "0a00" SPAN_HEX, "0 refused trace\n1\n" },  /* the last one counts */
        { "0a00" TRACE_HEX SPAN_HEX, "0\n1\n" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str spans = join(field_bytes(2, hex(rows[i].ids)), field_bytes(2, hex(IDS_HEX)));
        struct buf told, want;
        tell(NULL, field_bytes(1, field_bytes(2, spans)), &told, MG_OK);
        buf_init(&want, SIZE_MAX);
        buf_printf(&want, "R\nS\n%s", rows[i].want);
        if (!str_eq(buf_str(&told), buf_str(&want)))
            fail_msg("row %zu: %.*s", i, (int)told.len, told.ptr);
        buf_fini(&told);
        buf_fini(&want);
    }
    for (enum span_refusal why = 0; why < SPAN_REFUSALS; why++)
        assert_true(strlen(span_refusal_text(why)) > 10);
}

static void attributes_are_limited(void **state)
{
    static const struct { unsigned n; const char *want; } rows[] = {
        { 2, "R\nS\n0 a:int:1 a:int:1\n" },
        { 3, "R\nS\n0 a:int:1 a:int:1 a:int:1\n" },
        { 4, "R\nS\n0 refused attrs\n" },
        { 9, "R\nS\n0 refused attrs\n" },
    };
    const struct otlp_limits limits = { 64, 3 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str span = hex(IDS_HEX);
        struct buf told;
        for (unsigned k = 0; k < rows[i].n; k++)
            span = join(span, hex("4a070a0161 12021801"));
        tell(&limits, request_of(span), &told, MG_OK);
        assert_true(str_eq(buf_str(&told), str_of(rows[i].want)));
        buf_fini(&told);
        tell(&limits, request_of(join(span, hex("4a010a"))), &told,
             MG_E_FORMAT); /* still checked */
        buf_fini(&told);
    }
}

static void nesting_is_limited(void **state)
{
    /* 6 messages down to a value; an array adds 2, a map 3 */
    static const struct { unsigned depth, arrays, maps; enum mg_err want;
    } rows[] = {
        { 64, 0, 0, MG_OK },        { 64, 29, 0, MG_OK },        { 64, 30, 0, MG_E_FORMAT },
        { 64, 27, 1, MG_OK },       { 64, 28, 1, MG_E_FORMAT },  { 64, 0, 19, MG_OK },
        { 64, 0, 20, MG_E_FORMAT }, { 6, 0, 0, MG_OK },          { 6, 1, 0, MG_E_FORMAT },
        { 7, 1, 0, MG_E_FORMAT },   { 8, 1, 0, MG_OK },          { 64, 5000, 0, MG_E_FORMAT },
        { 128, 61, 0, MG_OK },      { 128, 62, 0, MG_E_FORMAT },
    };
    static const struct { uint32_t owner; uint32_t number; } owners[] = {
        { 0, 9 }, { 11, 3 }, { 13, 4 }, /* of the span, of an event, of a link */
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        for (size_t k = 0; k < MG_COUNT(owners); k++) {
            /* an event and a link stand one message deeper */
            const struct otlp_limits limits = { rows[i].depth + (k && rows[i].depth < 128), 10 };
            if (k && rows[i].depth == 128)
                continue;
            struct str field =
                field_bytes(owners[k].number, nested_attr(rows[i].arrays, rows[i].maps));
            struct buf told;
            if (owners[k].owner)
                field = field_bytes(owners[k].owner, field);
            tell(&limits, request_of(join(hex(IDS_HEX), field)), &told, rows[i].want);
            buf_fini(&told);
        }
        struct buf told;
        struct str resource =
            field_bytes(1, field_bytes(1, nested_attr(rows[i].arrays, rows[i].maps)));
        const struct otlp_limits one_less = { MG_MAX(rows[i].depth - 1, 6u), 10 };
        if (rows[i].depth > 6) { /* an attribute of a resource is message 4, of a span 5 */
            tell(&one_less, field_bytes(1, resource), &told, rows[i].want);
            buf_fini(&told);
        }
    }
}

static void groups(void **state)
{
    static const char ids[] = IDS_HEX;
    static const struct { const char *name, *before, *after, *want; } rows[] = {
        { "nothing beside", "", "", "R\n" },
        { "before", "1a0175", "", "R bytes=1a0175\n" },
        { "after", "", "1a0175", "R bytes=1a0175\n" },
        { "both sides", "0a021001", "1a0175", "R bytes=0a0210011a0175\n" },
        { "unknown", "a00601", "a2060107", "R bytes=a00601a2060107\n" },
        { "old library spans", "c23e 02 1200", "", "R bytes=c23e021200\n" },
        { "service", "0a18 0a16 0a0c736572766963652e6e616d65 1206 0a0463617274", "",
          "R bytes=0a180a160a0c736572766963652e6e616d6512060a0463617274\n" },
        { "resource as varint", "0801", "", NULL },
        { "schema_url as varint", "1801", "", NULL },
        { "scope_spans as varint", "1001", "", NULL },
        { "scope_spans as varint behind", "", "1001", NULL },
        { "resource cut", "0a0108", "", NULL },
        { "resource attribute malformed", "0a04 0a02 0801", "", NULL },
        { "entity reference malformed", "0a04 1a02 0801", "", NULL },
        { "cut behind", "", "1a05", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str scope_spans = field_bytes(2, field_bytes(2, hex(ids)));
        struct str resource_spans =
            join(join(hex(rows[i].before), scope_spans), hex(rows[i].after));
        struct buf told, want;
        tell(NULL, field_bytes(1, resource_spans), &told, rows[i].want ? MG_OK : MG_E_FORMAT);
        if (rows[i].want) {
            buf_init(&want, SIZE_MAX);
            buf_printf(&want, "%sS\n0\n", rows[i].want);
            if (!str_eq(buf_str(&told), buf_str(&want)))
                fail_msg("%s: %.*s", rows[i].name, (int)told.len, told.ptr);
            buf_fini(&want);
        }
        buf_fini(&told);
    }
}

static void scopes_and_requests(void **state)
{
    static const struct { const char *name, *body, *want;
    } rows[] = {
        { "empty request", "", "" },
        { "unknown field of the request", "a00601 1a00", "" },
        { "empty groups", "0a00 0a021200", "R\nR\nS\n" },
        { "scope around its spans", "0a0a 1208 0a020a00 1a0175 a0", NULL },
        { "scope", "0a0b 1209 0a020a00 1200 1a0175",
          "R\nS bytes=0a020a001a0175\n0 refused trace\n" },
        { "ordinals run through", "0a04 12021200 0a06 120412001200",
          "R\nS\n0 refused trace\nR\nS\n1 refused trace\n2 refused trace\n" },
        { "group as varint", "0801", NULL },
        { "cut", "0a05 1200", NULL },
        { "span as varint", "0a04 12021001", NULL },
        { "scope as varint", "0a04 12020801", NULL },
        { "scope's name as varint", "0a06 1204 0a020801", NULL },
        { "group end", "0c", NULL },
        { "a byte", "0a", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf told;
        tell(NULL, hex(rows[i].body), &told, rows[i].want ? MG_OK : MG_E_FORMAT);
        if (rows[i].want && !str_eq(buf_str(&told), str_of(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].name, (int)told.len, told.ptr);
        buf_fini(&told);
    }
}

static void library_spans_are_counted(void **state)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct buf told;

    (void)state;
    buf_init(&told, SIZE_MAX);
    struct str body = field_bytes(1, field_bytes(1000, hex("0a00 1200 1200 1801 1200")));
    assert_int_equal(otlp_scan(scanner, join(body, body), &telling, &told, NULL), MG_OK);
    assert_int_equal(otlp_scanner_unread(scanner), 6);
    /* inside nothing is promised: what cannot be read ends the count, not the request */
    assert_int_equal(
        otlp_scan(scanner, field_bytes(1, hex("c23e03 120008")), &telling, &told, NULL), MG_OK);
    assert_int_equal(otlp_scanner_unread(scanner), 1);
    assert_int_equal(otlp_scan(scanner, STR(""), &telling, &told, NULL), MG_OK);
    assert_int_equal(otlp_scanner_unread(scanner), 0);
    buf_fini(&told);
    otlp_scanner_free(&scanner);
    otlp_scanner_free(&scanner);
}

/* Every beginning of a request, in memory of exactly its size: malformed or fine, never read
 * beyond. */
static void cut_anywhere(void **state)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct str whole = seed("otlp_scan/every_field");
    struct buf told;

    (void)state;
    buf_init(&told, SIZE_MAX);
    for (size_t len = 0; len <= whole.len; len++) {
        char *copy = mem_copy(whole.ptr, len);
        enum mg_err err = otlp_scan(scanner, str_n(copy, len), &telling, &told, NULL);
        assert_int_equal(err, len == 0 || len == whole.len ? MG_OK : MG_E_FORMAT);
        mem_free(copy);
    }
    buf_fini(&told);
    otlp_scanner_free(&scanner);
}

/* Bytes of another implementation. */
static void foreign_bytes(void **state)
{
    static const char *const want[] = {
        " parent=0b0c0d0e0f101112 state=a=1,b=2 name=op kind=3 start=1700000000123456789 "
        "end=1700000000123457689",
        " string:string:h\xc3\xa9llo \xe2\x98\x83 bool:bool:0 int:int:-9223372036854775808 "
        "double:double:3.14",
        " bytes:bytes:00ff10 empty:empty array:array:0a030a01780a091881808080808080100a00",
        " dropped_attrs=4 ",
        " dropped_events=5 ",
        " dropped_links=6 code=2 message=failed flags=769\n",
    };
    struct buf told;

    (void)state;
    tell(NULL, seed("otlp_scan/every_field"), &told, MG_OK);
    for (size_t i = 0; i < MG_COUNT(want); i++) {
        size_t at;
        if (!str_find(buf_str(&told), str_of(want[i]), &at))
            fail_msg("no '%s' in %.*s", want[i], (int)told.len, told.ptr);
    }
    buf_fini(&told);
    tell(NULL, seed("otlp_scan/nested29"), &told, MG_OK);
    buf_fini(&told);
    tell(NULL, seed("otlp_scan/nested30"), &told, MG_E_FORMAT);
    buf_fini(&told);
}

static void ignore_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

struct tally { uint64_t spans, attrs, refused; };

static void tally_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct tally *tally = owner;

    (void)ordinal;
    tally->spans++;
    tally->attrs += span->n_attrs;
}

static void tally_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)why;
    (void)ordinal;
    ((struct tally *)owner)->refused++;
}

static const struct span_visitor tallying = { ignore_group, ignore_group, tally_span,
                                              tally_refused };

static struct tally scan_all(struct otlp_scanner *scanner, struct str rest)
{
    struct tally tally = { 0, 0, 0 };
    struct str record;

    while (record_next(&rest, &record))
        assert_int_equal(otlp_scan(scanner, record, &tallying, &tally, NULL), MG_OK);
    return tally;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Cold: every byte comes from memory. Hot: the request was touched before, as after inflating. */
static void bench(struct otlp_scanner *scanner, struct str corpus)
{
    double cold = 1e9, hot = 1e9;

    for (int round = 0; round < 7; round++) {
        struct tally tally = { 0, 0, 0 };
        struct str rest = corpus, record;
        int64_t cold_ns = 0, hot_ns = 0;
        while (record_next(&rest, &record)) {
            int64_t start = now_ns();
            (void)!otlp_scan(scanner, record, &tallying, &tally, NULL); /* was fine before */
            int64_t middle = now_ns();
            (void)!otlp_scan(scanner, record, &tallying, &tally, NULL);
            cold_ns += middle - start;
            hot_ns += now_ns() - middle;
        }
        cold = MG_MIN(cold, (double)cold_ns * 2 / (double)tally.spans);
        hot = MG_MIN(hot, (double)hot_ns * 2 / (double)tally.spans);
    }
    print_message("scan: %.1f ns per span cold, %.1f hot\n", cold, hot);
}

static void real_traffic(void **state)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct buf corpus;

    (void)state;
    if (!astronomy_read(&corpus)) {
        otlp_scanner_free(&scanner);
        skip();
    }
    struct tally tally = scan_all(scanner, buf_str(&corpus));
    assert_int_equal(tally.spans, 64151);
    assert_int_equal(tally.refused, 0);
    if (getenv("MGTEST_BENCH"))
        bench(scanner, buf_str(&corpus));
    buf_fini(&corpus);
    otlp_scanner_free(&scanner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_fields),
        cmocka_unit_test(ids_refuse_one_span_only),
        cmocka_unit_test(attributes_are_limited),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(groups),
        cmocka_unit_test(scopes_and_requests),
        cmocka_unit_test(library_spans_are_counted),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(foreign_bytes),
        cmocka_unit_test(real_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
