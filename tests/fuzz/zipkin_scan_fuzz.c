/* zipkin_scan_fuzz.c - any bytes through Zipkin's readers and back out as Zipkin's JSON. The first byte
 * says what the others are: J a list in JSON, P one in proto3, O an OTLP request, whose spans the
 * writer must be able to show as well.
 *
 * What is written must be readable, and reading it must change nothing more: a span that came from
 * Zipkin is given back as it came. */
#include <stdlib.h>
#include "base/mem.h"
#include "base/vec.h"
#include "codec/utf8.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "model/zipkin_scan.h"
#include "model/zipkin_write.h"

struct turn {
    struct buf list;    /* the spans visited, as a list */
    VEC(size_t) begins; /* of each in it */
    struct str resource, scope;
    uint32_t spans;
    uint64_t ordinals;  /* sum */
    size_t bytes;       /* of all slices */
};

/* A sanitizer sees a slice that is not inside. */
static void look(struct turn *turn, struct str s)
{
    volatile uint8_t seen = 0;

    for (size_t i = 0; i < s.len; i++)
        seen ^= (uint8_t)s.ptr[i];
    (void)seen;
    turn->bytes += s.len;
}

static void on_resource(void *owner, struct str resource)
{
    struct turn *turn = owner;

    turn->resource = resource;
    turn->scope = str_n(NULL, 1); /* on_scope must follow */
    look(turn, resource);
}

static void on_scope(void *owner, struct str scope)
{
    struct turn *turn = owner;

    turn->scope = scope;
    look(turn, scope);
}

static void no_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static void no_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)owner;
    (void)span;
    (void)ordinal;
}

static void no_refusal(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)ordinal;
    if (why != SPAN_TOO_MANY_ATTRS) /* Zipkin has no limit */
        abort();
}

/* The span must be one of OTLP's: well-formed, not too deep, with ids. */
static void check_otlp(const struct span *span)
{
    static const struct span_visitor nothing = { no_group, no_group, no_span, no_refusal };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct buf request;

    buf_init(&request, SIZE_MAX);
    otlp_write_request(&request, &span, 1);
    if (otlp_scan(scanner, buf_str(&request), &nothing, NULL, NULL) != MG_OK)
        abort();
    buf_fini(&request);
    otlp_scanner_free(&scanner);
}

static void look_span(struct turn *turn, const struct span *span)
{
    struct str parts[] = { span->events, span->links, span->resource, span->scope };

    for (size_t i = 0; i < MG_COUNT(parts); i++)
        look(turn, parts[i]);
    look(turn, span->name);
    look(turn, span->trace_state);
    look(turn, span->status_message);
    for (uint32_t i = 0; i < span->n_attrs; i++) {
        look(turn, span->attrs[i].key);
        if (span->attrs[i].value.type == VALUE_STRING)
            look(turn, span->attrs[i].value.str);
    }
    if (!str_eq(span->resource, turn->resource) || !str_eq(span->scope, turn->scope))
        abort();
}

static void check_view(const struct zipkin_span *view)
{
    if (!utf8_valid(view->name.ptr, view->name.len))
        abort();
    for (size_t i = 1; i < view->n_tags; i++)
        if (str_cmp(view->tags[i - 1].key, view->tags[i].key) >= 0)
            abort();
    for (size_t i = 1; i < view->n_annotations; i++)
        if (view->annotations[i - 1].timestamp_us > view->annotations[i].timestamp_us)
            abort();
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct turn *turn = owner;
    struct arena arena = { 0 };
    struct zipkin_span view;
    struct json_writer w;

    look_span(turn, span);
    check_otlp(span);
    zipkin_view(span, &arena, &view);
    check_view(&view);
    buf_put_char(&turn->list, turn->spans++ ? ',' : '[');
    VEC_PUSH(&turn->begins, turn->list.len);
    json_writer_init(&w, &turn->list, 0);
    zipkin_write_span(&w, &view);
    turn->ordinals += ordinal;
    arena_fini(&arena);
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}

static const struct span_visitor visitor = { on_resource, on_scope, on_span, on_refused };

static void turn_begin(struct turn *turn)
{
    *turn = (struct turn){ .spans = 0 };
    buf_init(&turn->list, SIZE_MAX);
}

static void turn_end(struct turn *turn)
{
    buf_fini(&turn->list);
    VEC_FINI(&turn->begins);
}

/* Reads what was written; nothing may be refused. */
static void turn_again(struct zipkin_scanner *scanner, struct turn *before, struct turn *after)
{
    if (before->spans)
        buf_put_char(&before->list, ']');
    turn_begin(after);
    if (zipkin_scan_json(scanner, buf_str(&before->list), &visitor, after, NULL) != MG_OK)
        abort();
    if (after->spans != before->spans ||
        after->ordinals != (uint64_t)after->spans * (after->spans ? after->spans - 1 : 0) / 2)
        abort();
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Its spans, sorted; each ends before the ',' or ']' behind it. mem_free. */
static struct str *spans_of(const struct turn *turn)
{
    struct str list = buf_str(&turn->list), *spans = mem_zero(turn->begins.n + 1, sizeof *spans);
    size_t end = list.len && list.ptr[list.len - 1] == ']' ? list.len - 1 : list.len;

    for (size_t i = turn->begins.n; i-- > 0; end = turn->begins.at[i] - 1)
        spans[i] = str_n(list.ptr + turn->begins.at[i], end - turn->begins.at[i]);
    qsort(spans, turn->begins.n, sizeof *spans, by_text);
    return spans;
}

/* In any order: spans are visited by resource, and the first reading may see other ones. */
static void must_equal(const struct turn *a, const struct turn *b)
{
    struct str *left = spans_of(a), *right = spans_of(b);

    if (a->begins.n != b->begins.n)
        abort();
    for (size_t i = 0; i < a->begins.n; i++)
        if (!str_eq(left[i], right[i]))
            abort();
    mem_free(left);
    mem_free(right);
}

static enum mg_err scan(struct zipkin_scanner *scanner, char form, struct str body,
                        struct turn *turn)
{
    struct mg_why why;
    enum mg_err err;

    if (form == 'O') {
        struct otlp_scanner *otlp = otlp_scanner_new(NULL);
        err = otlp_scan(otlp, body, &visitor, turn, &why);
        otlp_scanner_free(&otlp);
        return err;
    }
    err = (form == 'J' ? zipkin_scan_json : zipkin_scan_proto)(scanner, body, &visitor, turn, &why);
    if (err != MG_OK && (!memchr(why.text, 0, sizeof why.text) || !utf8_valid(why.text, strlen(why.text))))
        abort(); /* a bad sentence */
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zipkin_scanner *scanner;
    struct turn first, second, third;

    if (size == 0 || (data[0] != 'J' && data[0] != 'P' && data[0] != 'O'))
        return 0;
    scanner = zipkin_scanner_new();
    turn_begin(&first);
    second = third = (struct turn){ .spans = 0 };
    if (scan(scanner, (char)data[0], str_n(data + 1, size - 1), &first) == MG_OK) {
        turn_again(scanner, &first, &second);
        turn_again(scanner, &second, &third);
        must_equal(&second, &third);
        if (data[0] != 'O')
            must_equal(&first, &second);
    }
    turn_end(&third);
    turn_end(&second);
    turn_end(&first);
    zipkin_scanner_free(&scanner);
    return 0;
}
