/* tags.c - a list is sorted through an array of (attribute, place), because the order of equal keys
 * must stay and qsort promises nothing about it.
 *
 * After sorting, equal keys stand together; only there can be a tag that was given twice, and it is
 * looked for with a set of digests, since a span may hold thousands of attributes with one key. */
#include "api/jaeger/tags.h"

#include <stdlib.h>
#include "base/map.h"
#include "base/vec.h"
#include "codec/utf8.h"
#include "model/jaeger_tags.h"

#define JSON_INT_MAX                                                                               \
    INT64_C(9007199254740991) /* 2^53 - 1: what a JavaScript number holds exactly */

void tag_list_fini(struct tag_list *tags)
{
    VEC_FINI(tags);
}

void tag_list_add(struct tag_list *tags, const struct attr *attr)
{
    VEC_PUSH(tags, *attr);
}

void tag_list_add_message(struct tag_list *tags, struct str message, uint32_t field)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    while (attr_next(&at, end, field, &attr) == 1)
        VEC_PUSH(tags, attr);
}

/* One member of an AnyValue; an unknown one leaves the value as it is. */
static void member_take(const struct wire_field *field, struct value *out)
{
    static const enum value_type texts[] = {
        [1] = VALUE_STRING, [5] = VALUE_ARRAY, [6] = VALUE_KVLIST, [7] = VALUE_BYTES};

    switch (WIRE_TAG(field->number, field->type)) {
    case WIRE_TAG(1, WIRE_BYTES):
    case WIRE_TAG(5, WIRE_BYTES):
    case WIRE_TAG(6, WIRE_BYTES):
    case WIRE_TAG(7, WIRE_BYTES):
        *out = (struct value){.type = texts[field->number], .str = field->bytes};
        break;
    case WIRE_TAG(2, WIRE_VARINT):
        *out = (struct value){.type = VALUE_BOOL, .b = field->value != 0};
        break;
    case WIRE_TAG(3, WIRE_VARINT):
        *out = (struct value){.type = VALUE_INT, .i = (int64_t)field->value};
        break;
    case WIRE_TAG(4, WIRE_FIXED64):
        *out = (struct value){.type = VALUE_DOUBLE};
        memcpy(&out->d, &field->value, sizeof out->d);
        break;
    }
}

struct value any_value(struct str item)
{
    const uint8_t *at = wire_begin(item), *end = wire_end(item);
    struct value value = {.type = VALUE_EMPTY};
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        member_take(&field, &value);
    return value;
}

/* --- digests
 * ------------------------------------------------------------------------------------------ */

static uint64_t digest(const struct attr *attr)
{
    const struct value *value = &attr->value;
    uint64_t seed = hash_bytes(attr->key.ptr, attr->key.len, hash_seed() + (uint64_t)value->type);

    switch (value->type) {
    case VALUE_EMPTY:
        return seed;
    case VALUE_BOOL:
        return hash_bytes(value->b ? "t" : "f", 1, seed);
    case VALUE_INT:
        return hash_bytes(&value->i, sizeof value->i, seed);
    case VALUE_DOUBLE:
        return hash_bytes(&value->d, sizeof value->d, seed);
    default:
        return hash_bytes(value->str.ptr, value->str.len, seed);
    }
}

uint64_t tag_list_digest(const struct tag_list *tags)
{
    uint64_t sum = hash_seed() + tags->n;

    for (size_t i = 0; i < tags->n; i++)
        sum += digest(&tags->at[i]);
    return sum;
}

/* --- adjusting
 * ---------------------------------------------------------------------------------------- */

/* Old clients send the address as a signed or an unsigned number of 32 bits, some as a double. */
static bool address_of(const struct value *value, uint32_t *address)
{
    if (value->type == VALUE_INT)
        *address = (uint32_t)(uint64_t)value->i;
    else if (value->type == VALUE_DOUBLE && value->d > -1 && value->d < 4294967296.0)
        *address = (uint32_t)value->d;
    else
        return false;
    return true;
}

static void format_addresses(struct tag_list *tags, struct arena *arena)
{
    for (size_t i = 0; i < tags->n; i++) {
        struct attr *attr = &tags->at[i];
        uint32_t ip;
        if (!str_eq(attr->key, STR("ip")) && !str_eq(attr->key, STR("peer.ipv4")))
            continue;
        if (address_of(&attr->value, &ip))
            attr->value = (struct value){
                .type = VALUE_STRING,
                .str = arena_printf(arena, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                                    ip & 255),
            };
    }
}

struct placed {
    struct attr attr;
    size_t place;
};

static int placed_order(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order = str_cmp(a->attr.key, b->attr.key);

    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static void sort(struct tag_list *tags, struct arena *arena)
{
    size_t first_wrong = 1;

    while (first_wrong < tags->n &&
           str_cmp(tags->at[first_wrong - 1].key, tags->at[first_wrong].key) <= 0)
        first_wrong++;
    if (first_wrong >= tags->n)
        return;
    struct placed *placed = arena_alloc(arena, tags->n * sizeof *placed);
    for (size_t i = 0; i < tags->n; i++)
        placed[i] = (struct placed){tags->at[i], i};
    qsort(placed, tags->n, sizeof *placed, placed_order);
    for (size_t i = 0; i < tags->n; i++)
        tags->at[i] = placed[i].attr;
}

/* Moves the run [from, to) of one key to `kept`, each value once; returns the place behind it. */
static size_t keep_run(struct tag_list *tags, size_t from, size_t to, size_t kept)
{
    struct map seen = {0};
    bool is_new = true;

    for (size_t i = from; i < to; i++) {
        uint64_t key = digest(&tags->at[i]);
        if (to - from > 1)
            (void)map_put(&seen, str_n(&key, sizeof key), &is_new); /* only the key counts */
        if (is_new)
            tags->at[kept++] = tags->at[i];
    }
    map_fini(&seen);
    return kept;
}

static void drop_duplicates(struct tag_list *tags)
{
    size_t kept = 0;

    for (size_t from = 0, to; from < tags->n; from = to) {
        for (to = from + 1; to < tags->n && str_eq(tags->at[from].key, tags->at[to].key);)
            to++;
        kept = keep_run(tags, from, to, kept);
    }
    tags->n = kept;
}

void tag_list_adjust(struct tag_list *tags, bool format_ips, struct arena *arena)
{
    unsigned n_hidden = 0;

    for (size_t i = 0; i < tags->n; i++)
        jaeger_tag_sanitize(&tags->at[i], &n_hidden, arena);
    if (format_ips)
        format_addresses(tags, arena);
    sort(tags, arena);
    drop_duplicates(tags);
}

/* --- writing
 * ------------------------------------------------------------------------------------------ */

static const char *type_name(enum value_type type)
{
    switch (type) {
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
        return "int64";
    case VALUE_DOUBLE:
        return "float64";
    case VALUE_BYTES:
        return "binary";
    default: /* arrays and maps as JSON text, nothing as an empty one */
        return "string";
    }
}

static void value_write(struct json_writer *w, const struct value *value, struct buf *text)
{
    switch (value->type) {
    case VALUE_STRING:
        json_put_str(w, value->str);
        return;
    case VALUE_BOOL:
        json_put_bool(w, value->b);
        return;
    case VALUE_INT:
        if (value->i > JSON_INT_MAX || value->i < -JSON_INT_MAX)
            json_put_i64_text(w, value->i);
        else
            json_put_i64(w, value->i);
        return;
    case VALUE_DOUBLE: /* Jaeger answers 500 for a whole trace that holds a NaN; its text is the
                          better answer */
        json_put_double(w, value->d);
        return;
    case VALUE_BYTES:
        json_put_base64(w, value->str.ptr, value->str.len);
        return;
    default:
        buf_clear(text);
        value_text(text, value);
        json_put_str(w, buf_str(text));
    }
}

void tag_write(struct json_writer *w, const struct attr *tag, struct buf *text)
{
    struct value value = value_plain(&tag->value);

    json_object(w);
    json_key_text(w, "key");
    json_put_str(w, tag->key);
    json_key_text(w, "type");
    json_put_str(w, str_of(type_name(value.type)));
    json_key_text(w, "value");
    value_write(w, &value, text);
    json_object_end(w);
}
