/* jaeger_help.h - what the Jaeger tests share: spans told as text, and one description of a span encoded in all of Jaeger's
 * wires by writers of the tests' own. */
#pragma once
#include "model_help.h"

#include "codec/utf8.h"
#include "model/otlp_schema.h"

#include "model/jaeger_scan.h"
#include "model/jaeger_write.h"

#define ALL_WIRES 5
static const char *const wire_names[ALL_WIRES] = { "compact", "binary", "http", "post_spans", "span" };

/* --- spans as text --------------------------------------------- */

static inline void say_value(struct buf *out, const struct value *value)
{
    static const char types[] = "-sbidxamo";

    buf_printf(out, ":%c=", types[value->type]);
    if (value->type == VALUE_BYTES)
        for (size_t i = 0; i < value->str.len; i++)
            buf_printf(out, "%02x", (uint8_t)value->str.ptr[i]);
    else
        value_text(out, value);
}

static inline void say_attr(struct buf *out, const struct attr *attr)
{
    buf_printf(out, " %.*s", STR_ARG(attr->key));
    say_value(out, &attr->value);
}

static inline void say_attrs(struct buf *out, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;
    int got;

    while ((got = attr_next(&at, end, number, &attr)) == 1)
        say_attr(out, &attr);
    assert_int_equal(got, 0);
}

static inline void say_id(struct buf *out, const uint8_t *id, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_printf(out, "%02x", id[i]);
}

static inline void say_resource(void *owner, struct str resource)
{
    struct resource_view view;

    assert_int_equal(wire_check(resource, &otlp_resource_spans, 8), WIRE_FINE);
    resource_view(resource, &view);
    buf_put_text(owner, "R");
    for (uint32_t i = 0; i < view.n; i++)
        say_attrs(owner, view.attributes_owner[i], 1);
    buf_put_text(owner, "\n");
}

static inline void say_scope(void *owner, struct str scope)
{
    struct scope_view view;

    assert_int_equal(wire_check(scope, &otlp_scope_spans, 8), WIRE_FINE);
    scope_view(scope, &view);
    buf_printf(owner, "S %.*s/%.*s\n", STR_ARG(view.name), STR_ARG(view.version));
}

static inline void say_events(struct buf *out, struct str events)
{
    const uint8_t *at = wire_begin(events), *end = wire_end(events);
    struct event_view event;
    int got;

    while ((got = event_next(&at, end, &event)) == 1) {
        buf_printf(out, " | log %" PRIu64 " '%.*s'", event.time_ns, STR_ARG(event.name));
        say_attrs(out, event.message, 3);
    }
    assert_int_equal(got, 0);
}

static inline void say_links(struct buf *out, struct str links)
{
    const uint8_t *at = wire_begin(links), *end = wire_end(links);
    struct link_view link;
    int got;

    while ((got = link_next(&at, end, &link)) == 1) {
        buf_put_text(out, " | link ");
        say_id(out, link.trace_id, 16);
        buf_put_char(out, '-');
        say_id(out, link.span_id, 8);
        say_attrs(out, link.message, 4);
    }
    assert_int_equal(got, 0);
}

/* Everything but the ids. */
static inline void say_rest(struct buf *out, const struct span *span)
{
    buf_printf(out, "'%.*s' %" PRIu64 "..%" PRIu64, STR_ARG(span->name), span->start_ns, span->end_ns);
    if (span->kind)
        buf_printf(out, " %s", span_kind_name(span->kind));
    if (span->status_code)
        buf_printf(out, " %s", span->status_code == STATUS_OK ? "OK" : "ERROR");
    if (span->status_message.len)
        buf_printf(out, "(%.*s)", STR_ARG(span->status_message));
    if (span->trace_state.len)
        buf_printf(out, " state=%.*s", STR_ARG(span->trace_state));
    for (uint32_t i = 0; i < span->n_attrs; i++)
        say_attr(out, &span->attrs[i]);
    say_events(out, span->events);
    say_links(out, span->links);
    if (span->dropped_links)
        buf_printf(out, " dropped_links=%u", span->dropped_links);
    assert_int_equal(span->flags, 0);
    assert_int_equal(span->unknown.len, 0);
}

static inline void say_span(void *owner, const struct span *span, uint32_t ordinal)
{
    buf_printf(owner, "%u ", ordinal);
    say_id(owner, span->trace_id, 16);
    buf_put_char(owner, '-');
    say_id(owner, span->span_id, 8);
    if (!span_is_root(span)) {
        buf_put_char(owner, '<');
        say_id(owner, span->parent_id, 8);
    }
    buf_put_char(owner, ' ');
    say_rest(owner, span);
    buf_put_char(owner, '\n');
}

static inline void say_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
    fail_msg("only OTLP refuses single spans");
}

static const struct span_visitor saying = { say_resource, say_scope, say_span, say_refused };

/* What a scan says; when it fails, the sentence alone: a part may have been visited before. */
static inline struct str scan_text(enum jaeger_wire wire, struct str body)
{
    struct jaeger_scanner *scanner = jaeger_scanner_new();
    struct mg_why why = { "" };
    struct buf said;

    buf_init(&said, SIZE_MAX);
    enum mg_err err = jaeger_scan(scanner, wire, body, &saying, &said, &why);
    if (err != MG_OK) {
        assert_int_equal(err, MG_E_FORMAT);
        buf_clear(&said);
        buf_printf(&said, "refused: %s\n", why.text);
        assert_true(utf8_valid(said.ptr, said.len));
    }
    struct str copy = arena_str(&help_arena, buf_str(&said));
    buf_fini(&said);
    jaeger_scanner_free(&scanner);
    return copy;
}

static inline void expect_text(const char *what, const char *wire, struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("%s (%s)\n got: %.*s\nwant: %s", what, wire, STR_ARG(got), want);
}

static inline void expect_refusal(const char *what, const char *wire, struct str got, const char *part)
{
    size_t at;

    if (!str_starts(got, STR("refused: ")) || !str_find(got, str_of(part), &at))
        fail_msg("%s (%s)\n got: %.*swant a refusal with: %s", what, wire, STR_ARG(got), part);
}

/* --- a span described, and its parts as words ---------------------------------------------
 *
 * tags    "key:t=value …": t is s(tring), b(ool), i(nt), d(ouble), x (bytes as hex), ? (a type that does not exist)
 * logs    "5 tag tag; 6 tag": microseconds, then fields
 * refs    "c1-3 f2-4": c(hild of) or f(ollows from), low half of the trace id, span id (one hex digit each) */
struct described {
    const char *name, *tags, *logs, *refs;
    int64_t start_us, duration_us;
    uint64_t parent;               /* 0: none */
    const char *service, *process; /* protobuf: its own process; NULL: the batch's */
};
struct batch_described {
    const char *service, *process;
    const struct described *spans;
    size_t n;
};
enum { TRACE_LOW = 1, SPAN_FIRST = 0x10 }; /* ids of described spans: trace 1, spans 0x10, 0x11 … */

struct word_tag { struct str key, text; char type; int64_t i; double d; };

static inline bool word_next(struct str *rest, struct str *word)
{
    while (str_cut(rest, ' ', word))
        if (word->len)
            return true;
    return false;
}

static inline struct word_tag word_tag(struct str word)
{
    struct word_tag tag = { .type = 's' };
    struct str head;

    assert_true(str_split_at(word, '=', &head, &tag.text));
    assert_true(head.len >= 2 && head.ptr[head.len - 2] == ':');
    tag.type = head.ptr[head.len - 1];
    tag.key = str_n(head.ptr, head.len - 2);
    if (tag.type == 'i')
        assert_int_equal(str_i64(tag.text, &tag.i), MG_OK);
    else if (tag.type == 'd')
        assert_int_equal(str_double(tag.text, &tag.d), MG_OK);
    else if (tag.type == 'x')
        tag.text = hex(arena_str(&help_arena, tag.text).ptr);
    return tag;
}

static inline unsigned words_count(struct str words)
{
    struct str word;
    unsigned n = 0;

    while (word_next(&words, &word))
        n++;
    return n;
}

struct word_ref { bool child_of; uint64_t trace_low, span; };

static inline struct word_ref word_ref(struct str word)
{
    char text[2] = { 0 };
    struct word_ref ref = { .child_of = word.ptr[0] == 'c' };

    assert_true(word.len == 4 && word.ptr[2] == '-');
    text[0] = word.ptr[1];
    ref.trace_low = strtoull(text, NULL, 16);
    text[0] = word.ptr[3];
    ref.span = strtoull(text, NULL, 16);
    return ref;
}

static inline struct str or_empty(const char *text)
{
    return str_of(text ? text : "");
}
