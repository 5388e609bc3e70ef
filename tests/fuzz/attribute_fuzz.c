/* attribute_fuzz.c - rules, one a line, an empty line, and an export request that is scanned through them.
 *
 * What the rules leave must be a sound span: every part can be walked, and written and scanned again it is the same.
 * A second scan through the same filter, which keeps its last resource, must tell the same as the first. */
#include "attribute/attribute.h"
#include "base/mem.h"
#include "base/vec.h"
#include "span_again.h"

#define ATTRS_MAX 4096 /* the scanner's; rules may add to them */

struct check {
    struct buf told;      /* the spans, written */
    struct str resource;
};

static void check_parts(const struct span *span)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    struct event_view event;
    struct link_view link;
    struct attr attr;
    struct buf text;
    int got;

    buf_init(&text, SIZE_MAX);
    while ((got = event_next(&at, end, &event)) == 1)
        for (const uint8_t *p = wire_begin(event.message); attr_next(&p, wire_end(event.message), 3, &attr) == 1;)
            value_text(&text, &attr.value);
    if (got < 0)
        abort();
    at = wire_begin(span->links);
    end = wire_end(span->links);
    while ((got = link_next(&at, end, &link)) == 1)
        for (const uint8_t *p = wire_begin(link.message); attr_next(&p, wire_end(link.message), 4, &attr) == 1;)
            value_text(&text, &attr.value);
    if (got < 0)
        abort();
    buf_fini(&text);
}

static void check_resource(void *owner, struct str resource)
{
    struct check *check = owner;

    check->resource = resource;
}

static void check_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct check *check = owner;

    if (!str_eq(span->resource, check->resource))
        abort();
    check_parts(span);
    otlp_write_request(&check->told, &span, 1);
    if (span->n_attrs <= ATTRS_MAX)
        must_come_again(span);
    buf_put_u64(&check->told, ordinal);
}

static void refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct check *check = owner;

    buf_printf(&check->told, "refused %u %d", ordinal, why);
}

static void dropped(void *owner, uint32_t ordinal)
{
    struct check *check = owner;

    buf_printf(&check->told, "dropped %u", ordinal);
}

static const struct span_visitor checking = { check_resource, any_group, check_span, refused };

static void scan(struct attribute_filter *filter, struct str body, struct check *check)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct mg_why why;

    buf_init(&check->told, SIZE_MAX);
    attribute_filter_begin(filter, &checking, check, dropped, SIZE_MAX);
    (void)!otlp_scan(scanner, body, &attribute_visitor, filter, &why); /* any verdict is fine */
    otlp_scanner_free(&scanner);
}

static void scan_twice(struct attribute_rules *rules, struct str body)
{
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct check first = { 0 }, second = { 0 };

    scan(filter, body, &first);
    scan(filter, body, &second);
    if (!str_eq(buf_str(&first.told), buf_str(&second.told)))
        abort();
    buf_fini(&first.told);
    buf_fini(&second.told);
    attribute_filter_free(&filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_n(data, size), line;
    VEC(struct str) lines = { 0 };
    struct attribute_rules *rules = NULL;
    struct mg_why why;

    while (str_cut(&rest, '\n', &line) && line.len)
        VEC_PUSH(&lines, line);
    struct conf_list list = { lines.at, lines.n };
    if (attribute_rules_new(&rules, &list, &why) == MG_OK && rules)
        scan_twice(rules, rest);
    attribute_rules_unref(&rules);
    VEC_FINI(&lines);
    return 0;
}
