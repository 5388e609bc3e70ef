/* spans.c - see spans.h. */
#include "spans.h"

#include <inttypes.h>
#include <stdlib.h>
#include "base/vec.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"

/* --- text to request ---------------------------------------------------------------------------- */

static const char stops[] = " |:=,[]{}%";

static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && !strchr(stops, c);
}

static struct str word_take(struct arena *arena, const char **at)
{
    char *word = arena_alloc(arena, strlen(*at) + 1);
    size_t n = 0;

    for (; is_plain(**at) || **at == '%'; ++*at) {
        word[n] = **at;
        if (**at == '%') {
            assert_true(hex_decode(str_n(*at + 1, 2), (uint8_t *)&word[n], 1));
            *at += 2;
        }
        n++;
    }
    return str_n(word, n);
}

static char take(const char **at, char c)
{
    if (**at != c)
        fail_msg("'%c' expected at: %s", c, *at);
    return *(*at)++;
}

static struct value value_take(struct arena *arena, const char **at);

static struct str raw_take(struct arena *arena, const char **at, bool is_map)
{
    char close = is_map ? '}' : ']';
    struct buf out, item;

    buf_init(&out, SIZE_MAX);
    buf_init(&item, SIZE_MAX);
    take(at, is_map ? '{' : '[');
    while (**at != close) {
        struct attr attr = { .key = STR("") };
        if (is_map) {
            attr.key = word_take(arena, at);
            take(at, '=');
        }
        attr.value = value_take(arena, at);
        if (is_map) {
            otlp_put_attr(&out, 1, &attr);
        } else { /* an AnyValue: what an attribute has in its field 2 */
            const uint8_t *p, *end;
            struct wire_field field;
            buf_clear(&item);
            otlp_put_attr(&item, 1, &attr);
            p = wire_begin(buf_str(&item));
            end = wire_end(buf_str(&item));
            assert_int_equal(wire_next(&p, end, &field), 1);
            p = wire_begin(field.bytes);
            end = wire_end(field.bytes);
            while (wire_next(&p, end, &field) == 1)
                if (field.number == 2)
                    wire_put_bytes(&out, 1, field.bytes);
        }
        if (**at == ',')
            ++*at;
    }
    take(at, close);
    struct str raw = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    buf_fini(&item);
    return raw;
}

static struct value value_take(struct arena *arena, const char **at)
{
    struct value value = { .type = VALUE_EMPTY };
    char type = *(*at)++;

    if (type == 'e')
        return value;
    take(at, ':');
    switch (type) {
    case 'a':
        value.type = VALUE_ARRAY;
        value.raw = raw_take(arena, at, false);
        return value;
    case 'm':
        value.type = VALUE_KVLIST;
        value.raw = raw_take(arena, at, true);
        return value;
    }
    struct str word = word_take(arena, at);
    switch (type) {
    case 's':
    case 'x':
        value.type = type == 's' ? VALUE_STRING : VALUE_BYTES;
        value.str = word;
        break;
    case 'i':
        value.type = VALUE_INT;
        assert_int_equal(str_i64(word, &value.i), MG_OK);
        break;
    case 'd':
        value.type = VALUE_DOUBLE;
        assert_int_equal(str_double(word, &value.d), MG_OK);
        break;
    case 'b':
        value.type = VALUE_BOOL;
        value.b = str_eq(word, STR("1"));
        break;
    default:
        fail_msg("no type '%c'", type);
    }
    return value;
}

/* The value of an attribute of type o: the whole KeyValue, with an unknown field 9. */
static void make_odd(struct arena *arena, struct attr *attr)
{
    const uint8_t *at, *end;
    struct wire_field field;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    otlp_put_attr(&out, 1, attr);
    at = wire_begin(buf_str(&out));
    end = wire_end(buf_str(&out));
    assert_int_equal(wire_next(&at, end, &field), 1);
    struct str plain = arena_str(arena, field.bytes);
    buf_clear(&out);
    buf_put_str(&out, plain);
    wire_put_varint(&out, 9, 7);
    attr->value = (struct value){ .type = VALUE_OTHER, .raw = arena_str(arena, buf_str(&out)) };
    buf_fini(&out);
}

struct maker { struct arena *arena; struct buf out; size_t marks[4]; /* group, scope, span, part */ unsigned depth; };

static void close_to(struct maker *maker, unsigned depth)
{
    while (maker->depth > depth)
        wire_close(&maker->out, maker->marks[--maker->depth]);
}

static void open_one(struct maker *maker, uint32_t number)
{
    maker->marks[maker->depth++] = wire_open(&maker->out, number);
}

static void attrs_put(struct maker *maker, const char **at, uint32_t number)
{
    while (**at == ' ')
        ++*at;
    while (**at && **at != '|') {
        struct attr attr = { .key = word_take(maker->arena, at) };
        take(at, ':');
        bool is_odd = **at == 'o';
        if (is_odd)
            *at += 2;
        attr.value = value_take(maker->arena, at);
        if (is_odd)
            make_odd(maker->arena, &attr);
        otlp_put_attr(&maker->out, number, &attr);
        while (**at == ' ')
            ++*at;
    }
}

/* name=… kind=… code=… msg=…, as they come. */
static void span_fields_put(struct maker *maker, const char **at)
{
    static const char ids[] = "\x0a\x10" "0123456789abcdef" "\x12\x08" "ABCDEFGH";
    struct str message = STR("");
    int64_t code = 0, kind = 0;

    buf_put(&maker->out, ids, sizeof ids - 1);
    for (;;) {
        const char *back;
        while (**at == ' ')
            ++*at;
        back = *at;
        struct str name = word_take(maker->arena, at);
        if (**at != '=') {
            *at = back;
            break;
        }
        ++*at;
        struct str word = word_take(maker->arena, at);
        if (str_eq(name, STR("name")))
            wire_put_bytes(&maker->out, 5, word);
        else if (str_eq(name, STR("msg")))
            message = word;
        else
            assert_int_equal(str_i64(word, str_eq(name, STR("kind")) ? &kind : &code), MG_OK);
    }
    wire_put_varint(&maker->out, 6, (uint64_t)kind);
    size_t mark = wire_open(&maker->out, 15);
    wire_put_bytes(&maker->out, 2, message);
    wire_put_varint(&maker->out, 3, (uint64_t)code);
    wire_close(&maker->out, mark);
}

static void section_put(struct maker *maker, const char **at)
{
    char what = *(*at)++;

    switch (what) {
    case 'R':
        close_to(maker, 0);
        open_one(maker, 1);
        size_t mark = wire_open(&maker->out, 1);
        attrs_put(maker, at, 1);
        wire_close(&maker->out, mark);
        break;
    case 'S':
        if (maker->depth == 0)
            open_one(maker, 1);
        close_to(maker, 2);
        if (maker->depth == 1)
            open_one(maker, 2);
        open_one(maker, 2);
        span_fields_put(maker, at);
        attrs_put(maker, at, 9);
        break;
    case 'E':
        close_to(maker, 3);
        open_one(maker, 11);
        ++*at;
        wire_put_bytes(&maker->out, 2, word_take(maker->arena, at));
        attrs_put(maker, at, 3);
        break;
    case 'L':
        close_to(maker, 3);
        open_one(maker, 13);
        attrs_put(maker, at, 4);
        break;
    default:
        fail_msg("no section '%c'", what);
    }
}

struct str request_make(struct arena *arena, const char *text)
{
    struct maker maker = { .arena = arena };

    buf_init(&maker.out, SIZE_MAX);
    while (*text) {
        section_put(&maker, &text);
        while (*text == ' ' || *text == '|')
            text++;
    }
    close_to(&maker, 0);
    struct str request = arena_str(arena, buf_str(&maker.out));
    buf_fini(&maker.out);
    return request;
}

/* --- request to text ---------------------------------------------------------------------------- */

static void put_word(struct buf *out, struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (is_plain(word.ptr[i]))
            buf_put_char(out, word.ptr[i]);
        else
            buf_printf(out, "%%%02x", (uint8_t)word.ptr[i]);
    }
}

static void put_value(struct buf *out, const struct value *value);

static void put_raw(struct buf *out, struct str raw, bool is_map)
{
    const uint8_t *at = wire_begin(raw), *end = wire_end(raw);
    const char *comma = "";
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        struct buf item;
        struct attr attr;
        buf_init(&item, SIZE_MAX);
        if (!is_map)
            wire_put_bytes(&item, 2, field.bytes);
        assert_int_equal(attr_decode(is_map ? field.bytes : buf_str(&item), &attr), 0);
        buf_put_text(out, comma);
        comma = ",";
        if (is_map) {
            put_word(out, attr.key);
            buf_put_text(out, "=");
        }
        put_value(out, &attr.value);
        buf_fini(&item);
    }
}

static void put_value(struct buf *out, const struct value *value)
{
    struct value plain = value_plain(value);

    switch (plain.type) {
    case VALUE_EMPTY:
        buf_put_text(out, "e");
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
        buf_put_text(out, plain.type == VALUE_STRING ? "s:" : "x:");
        put_word(out, plain.str);
        break;
    case VALUE_BOOL:
        buf_printf(out, "b:%d", plain.b);
        break;
    case VALUE_INT:
        buf_printf(out, "i:%" PRId64, plain.i);
        break;
    case VALUE_DOUBLE:
        buf_printf(out, "d:%g", plain.d);
        break;
    default:
        buf_put_text(out, plain.type == VALUE_ARRAY ? "a:[" : "m:{");
        put_raw(out, plain.raw, plain.type == VALUE_KVLIST);
        buf_put_text(out, plain.type == VALUE_ARRAY ? "]" : "}");
    }
}

static void put_attr(struct buf *out, const struct attr *attr)
{
    buf_put_text(out, " ");
    put_word(out, attr->key);
    buf_put_text(out, attr->value.type == VALUE_OTHER ? ":o:" : ":");
    put_value(out, &attr->value);
    if (attr->value.type == VALUE_OTHER) { /* the key is in the raw part once more */
        struct attr inner;
        struct str raw = attr->value.raw;
        assert_int_equal(attr_decode(raw, &inner), 0);
        assert_true(str_eq(inner.key, attr->key));
    }
}

static void put_attrs(struct buf *out, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;
    int got;

    while ((got = attr_next(&at, end, number, &attr)) == 1)
        put_attr(out, &attr);
    assert_int_equal(got, 0);
}

struct teller { struct buf *out; struct buf resource; };

static void section(struct teller *teller, const char *name)
{
    buf_put_text(teller->out, teller->out->len ? " | " : "");
    buf_put_text(teller->out, name);
}

static void tell_resource(void *owner, struct str resource)
{
    struct teller *teller = owner;
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field;

    section(teller, "R");
    buf_clear(&teller->resource);
    buf_put_str(&teller->resource, resource);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            put_attrs(teller->out, field.bytes, 1);
        else
            buf_printf(teller->out, " +%u", field.number);
    }
}

static void tell_scope(void *owner, struct str scope)
{
    (void)owner;
    (void)scope;
}

static void tell_parts(struct teller *teller, const struct span *span)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    struct event_view event;
    struct link_view link;

    while (event_next(&at, end, &event) == 1) {
        section(teller, "E ");
        put_word(teller->out, event.name);
        put_attrs(teller->out, event.message, 3);
    }
    at = wire_begin(span->links);
    end = wire_end(span->links);
    while (link_next(&at, end, &link) == 1) {
        section(teller, "L");
        put_attrs(teller->out, link.message, 4);
    }
}

static void tell_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct teller *teller = owner;

    (void)ordinal;
    assert_true(str_eq(span->resource, buf_str(&teller->resource)));
    section(teller, "S");
    if (span->name.len) {
        buf_put_text(teller->out, " name=");
        put_word(teller->out, span->name);
    }
    if (span->kind)
        buf_printf(teller->out, " kind=%d", span->kind);
    if (span->status_code)
        buf_printf(teller->out, " code=%d", span->status_code);
    if (span->status_message.len) {
        buf_put_text(teller->out, " msg=");
        put_word(teller->out, span->status_message);
    }
    for (uint32_t i = 0; i < span->n_attrs; i++)
        put_attr(teller->out, &span->attrs[i]);
    tell_parts(teller, span);
}

static void tell_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct teller *teller = owner;

    (void)why;
    section(teller, "");
    buf_printf(teller->out, "X%u", ordinal);
}

static void tell_dropped(void *owner, uint32_t ordinal)
{
    struct teller *teller = owner;

    section(teller, "");
    buf_printf(teller->out, "D%u", ordinal);
}

void request_tell_within(struct attribute_filter *filter, struct str request, bool with_drops, size_t added_max, struct buf *out)
{
    static const struct span_visitor telling = { tell_resource, tell_scope, tell_span, tell_refused };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct teller teller = { .out = out };
    struct mg_why why = { "" };
    enum mg_err err;

    buf_init(&teller.resource, SIZE_MAX);
    if (filter) {
        attribute_filter_begin(filter, &telling, &teller, with_drops ? tell_dropped : NULL, added_max);
        err = otlp_scan(scanner, request, &attribute_visitor, filter, &why);
    } else {
        err = otlp_scan(scanner, request, &telling, &teller, &why);
    }
    if (err != MG_OK)
        fail_msg("%s", why.text);
    buf_fini(&teller.resource);
    otlp_scanner_free(&scanner);
}

void request_tell(struct attribute_filter *filter, struct str request, bool with_drops, struct buf *out)
{
    request_tell_within(filter, request, with_drops, SIZE_MAX, out);
}

/* --- rules -------------------------------------------------------------------------------------- */

struct attribute_rules *rules_make(const char *lines, struct mg_why *why)
{
    VEC(struct str) list = { 0 };
    struct attribute_rules *rules = NULL;
    struct str rest = str_of(lines), line;

    while (str_cut(&rest, '\n', &line))
        VEC_PUSH(&list, line);
    struct conf_list rows = { list.at, list.n };
    enum mg_err err = attribute_rules_new(&rules, &rows, why);
    assert_true(err == MG_OK || err == MG_E_FORMAT);
    assert_true((err == MG_OK && list.n > 0) == (rules != NULL));
    VEC_FINI(&list);
    return rules;
}

void expect_change(const char *lines, const char *before, const char *after)
{
    struct arena arena = { 0 };
    struct mg_why why = { "" };
    struct attribute_rules *rules = rules_make(lines, &why);
    struct buf out;

    if (!rules)
        fail_msg("%s\n  in: %s", why.text, lines);
    struct attribute_filter *filter = attribute_filter_new(rules);
    attribute_rules_unref(&rules);
    buf_init(&out, SIZE_MAX);
    struct str request = request_make(&arena, before);
    for (int i = 0; i < 2; i++) { /* the second scan finds what the first one kept */
        buf_clear(&out);
        request_tell(filter, request, true, &out);
        if (!str_eq(buf_str(&out), str_of(after)))
            fail_msg("scan %d\n  rules:  %s\n  before: %s\n  wanted: %s\n  got:    %.*s", i + 1, lines, before, after,
                     STR_ARG(buf_str(&out)));
    }
    attribute_filter_free(&filter);
    buf_fini(&out);
    arena_fini(&arena);
}
