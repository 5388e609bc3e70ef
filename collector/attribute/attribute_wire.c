/* attribute_wire.c - rules inside what stays in wire form: events, links, arrays and maps.
 *
 * One walker serves all levels; a table says which field leads to which. It runs twice: first without writing, to see
 * whether there is anything to change - nearly never - and then with a buffer, into which everything is copied but
 * what changes. Recursion is bounded, whatever the scanner before let through. */
#include "attribute/attribute_apply.h"

#include "codec/hash.h"
#include "model/otlp_write.h"

enum level { LEVEL_NONE, LEVEL_EVENT, LEVEL_LINK, LEVEL_ATTR, LEVEL_PAIR, LEVEL_ANY, LEVEL_ARRAY, LEVEL_MAP, LEVEL_TEXT };
enum { LEVEL_FIELDS = 7 };

/* What is in field n of a level. ATTR is an attribute of an event or a link, PAIR one of a map in a value. */
static const uint8_t inside[][LEVEL_FIELDS] = {
    [LEVEL_EVENT] = { [2] = LEVEL_TEXT, [3] = LEVEL_ATTR },
    [LEVEL_LINK] = { [4] = LEVEL_ATTR },
    [LEVEL_ATTR] = { [2] = LEVEL_ANY },
    [LEVEL_PAIR] = { [2] = LEVEL_ANY },
    [LEVEL_ANY] = { [1] = LEVEL_TEXT, [5] = LEVEL_ARRAY, [6] = LEVEL_MAP },
    [LEVEL_ARRAY] = { [1] = LEVEL_ANY },
    [LEVEL_MAP] = { [1] = LEVEL_PAIR },
};

struct walk {
    struct bench *bench;
    const struct rule *rule;
    struct arena *arena;
    struct buf *out;    /* NULL: only looks */
    bool is_changed;
};

/* --- words and texts ---------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool ends_nocase(struct str text, struct str end)
{
    return text.len >= end.len && str_eq_nocase(str_n(text.ptr + text.len - end.len, end.len), end);
}

static bool holds_nocase(struct str text, struct str word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        size_t n = 0;
        while (n < word.len && lower(text.ptr[i + n]) == word.ptr[n])
            n++;
        if (n == word.len)
            return true;
    }
    return false;
}

/* The rule's word has parts before its last one: they are the end of the key's. */
static bool front_matches(struct str front, struct str wanted)
{
    return wanted.len == 0 || (ends_nocase(front, wanted) && (front.len == wanted.len ||
                                                              front.ptr[front.len - wanted.len - 1] == '.'));
}

bool needles_match(const struct rule *rule, struct str key)
{
    size_t last = key.len;
    uint32_t letters = 0;

    if (rule->n_needles == 0)
        return false;
    for (; last > 0 && key.ptr[last - 1] != '.'; last--)
        letters |= UINT32_C(1) << (key.ptr[last - 1] & 31);
    struct str front = str_n(key.ptr, last ? last - 1 : 0);
    for (size_t i = 0; i < rule->n_needles; i++) {
        const struct needle *needle = &rule->needles[i];
        if ((needle->letters & ~letters) == 0 && holds_nocase(str_n(key.ptr + last, key.len - last), needle->last) &&
            front_matches(front, needle->front))
            return true;
    }
    return false;
}

/* A text that costs more than its budget is hidden whole: better too much than a secret. */
bool text_redact(struct bench *bench, const struct rule *rule, struct str text, struct str *out)
{
    switch (finder_replace(rule->finder, bench->finder, text, REDACTED, &bench->replaced)) {
    case FINDER_FOUND:
        *out = buf_str(&bench->replaced);
        return true;
    case FINDER_GAVE_UP:
        *out = REDACTED;
        return true;
    default:
        return false;
    }
}

struct str value_hash(struct bench *bench, const struct value *value, struct arena *arena)
{
    struct value plain = value_plain(value);
    struct str text = value_as_text(&plain, &bench->texts[0]);
    char *digits = arena_alloc(arena, 2 * SHA256_BYTES);
    uint8_t hash[SHA256_BYTES];

    sha256(text.ptr, text.len, hash);
    hex_encode(hash, sizeof hash, digits);
    return str_n(digits, 2 * SHA256_BYTES);
}

static bool has_key(const struct rule *rule, struct str key)
{
    for (size_t i = 0; i < rule->n_keys; i++)
        if (str_eq(rule->keys[i].name, key))
            return true;
    return false;
}

/* --- the walk ----------------------------------------------------------------------------------- */

static void put(struct walk *walk, struct str bytes)
{
    if (walk->out)
        buf_put_str(walk->out, bytes);
}

static bool is_nested(const struct value *value)
{
    return value->type == VALUE_ARRAY || value->type == VALUE_KVLIST || value->type == VALUE_OTHER;
}

/* What the rule makes of an attribute as a whole. */
enum verdict { VERDICT_STAYS, VERDICT_REMOVED, VERDICT_REPLACED, VERDICT_LOOK_INSIDE };

static enum verdict pair_verdict(const struct rule *rule, enum level level, const struct attr *attr)
{
    switch (rule->action) {
    case ACTION_REDACT_KEYS:
        if (!needles_match(rule, attr->key))
            return is_nested(&attr->value) ? VERDICT_LOOK_INSIDE : VERDICT_STAYS;
        return attr->value.type == VALUE_STRING && str_eq(attr->value.str, REDACTED) ? VERDICT_STAYS : VERDICT_REPLACED;
    case ACTION_REDACT_PATTERN:
        return attr->value.type == VALUE_STRING || is_nested(&attr->value) ? VERDICT_LOOK_INSIDE : VERDICT_STAYS;
    default:
        if (level != LEVEL_ATTR || !has_key(rule, attr->key))
            return VERDICT_STAYS;
        return rule->action == ACTION_DELETE ? VERDICT_REMOVED : VERDICT_REPLACED;
    }
}

static void put_replaced(struct walk *walk, uint32_t number, struct attr *attr)
{
    struct str text = REDACTED;

    if (!walk->out)
        return;
    if (walk->rule->action == ACTION_HASH)
        text = value_hash(walk->bench, &attr->value, walk->arena);
    attr->value = (struct value){ .type = VALUE_STRING, .str = text };
    otlp_put_attr(walk->out, number, attr);
}

/* False: what is inside the attribute is to be looked at. */
static bool pair_take(struct walk *walk, enum level level, const struct wire_field *field)
{
    struct attr attr;
    enum verdict verdict = attr_decode(field->bytes, &attr) < 0 ? VERDICT_STAYS : pair_verdict(walk->rule, level, &attr);

    if (verdict == VERDICT_LOOK_INSIDE)
        return false;
    if (verdict == VERDICT_STAYS) {
        put(walk, field->whole);
        return true;
    }
    walk->is_changed = true;
    if (verdict == VERDICT_REPLACED)
        put_replaced(walk, field->number, &attr);
    return true;
}

static void text_take(struct walk *walk, const struct wire_field *field)
{
    struct str text;

    if (walk->rule->action != ACTION_REDACT_PATTERN || !text_redact(walk->bench, walk->rule, field->bytes, &text)) {
        put(walk, field->whole);
        return;
    }
    walk->is_changed = true;
    if (walk->out)
        wire_put_bytes(walk->out, field->number, text);
}

static void walk_message(struct walk *walk, enum level level, struct str message, unsigned depth);

static void walk_field(struct walk *walk, enum level level, const struct wire_field *field, unsigned depth)
{
    if (level == LEVEL_TEXT) {
        text_take(walk, field);
        return;
    }
    if ((level == LEVEL_ATTR || level == LEVEL_PAIR) && pair_take(walk, level, field))
        return;
    if (depth == 0) {
        put(walk, field->whole);
        return;
    }
    size_t mark = walk->out ? wire_open(walk->out, field->number) : 0;
    walk_message(walk, level, field->bytes, depth - 1);
    if (walk->out)
        wire_close(walk->out, mark);
}

static void walk_message(struct walk *walk, enum level level, struct str message, unsigned depth)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    while ((walk->out || !walk->is_changed) && wire_next(&at, end, &field) == 1) {
        enum level next = field.number < LEVEL_FIELDS ? (enum level)inside[level][field.number] : LEVEL_NONE;
        if (next == LEVEL_NONE || field.type != WIRE_BYTES)
            put(walk, field.whole);
        else
            walk_field(walk, next, &field, depth);
    }
}

/* The fields of span.events or span.links. Their messages themselves are no change, only what is in them. */
static void walk_part(struct walk *walk, enum part part, struct str bytes)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;

    while ((walk->out || !walk->is_changed) && wire_next(&at, end, &field) == 1) {
        if (field.type != WIRE_BYTES) {
            put(walk, field.whole);
            continue;
        }
        size_t mark = walk->out ? wire_open(walk->out, field.number) : 0;
        walk_message(walk, part == PART_EVENTS ? LEVEL_EVENT : LEVEL_LINK, field.bytes, WIRE_DEPTH_MAX);
        if (walk->out)
            wire_close(walk->out, mark);
    }
}

static struct walk walk_begin(struct bench *bench, const struct rule *rule, struct arena *arena)
{
    return (struct walk){ .bench = bench, .rule = rule, .arena = arena };
}

static void walk_to_write(struct walk *walk)
{
    walk->out = &walk->bench->wire;
    buf_clear(walk->out);
}

bool raw_redact(struct bench *bench, const struct rule *rule, const struct value *value, struct arena *arena, struct str *out)
{
    struct walk walk = walk_begin(bench, rule, arena);
    enum level level = value->type == VALUE_ARRAY ? LEVEL_ARRAY : value->type == VALUE_KVLIST ? LEVEL_MAP : LEVEL_PAIR;

    walk_message(&walk, level, value->raw, WIRE_DEPTH_MAX);
    if (!walk.is_changed)
        return false;
    walk_to_write(&walk);
    walk_message(&walk, level, value->raw, WIRE_DEPTH_MAX);
    *out = arena_str(arena, buf_str(walk.out));
    return true;
}

bool part_change(struct bench *bench, const struct rule *rule, enum part part, struct str bytes, struct arena *arena,
                 struct str *out)
{
    struct walk walk = walk_begin(bench, rule, arena);

    walk_part(&walk, part, bytes);
    if (!walk.is_changed)
        return false;
    walk_to_write(&walk);
    walk_part(&walk, part, bytes);
    *out = arena_str(arena, buf_str(walk.out));
    return true;
}

/* --- which keys are there ----------------------------------------------------------------------- */

static uint64_t message_bits(const struct attribute_rules *rules, uint32_t attributes, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;
    uint64_t bits = 0;

    while (attr_next(&at, end, attributes, &attr) == 1)
        bits |= rules_bits(rules, attr.key);
    return bits;
}

uint64_t part_bits(const struct attribute_rules *rules, enum part part, struct str bytes)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;
    uint64_t bits = 0;

    while (wire_next(&at, end, &field) == 1)
        bits |= message_bits(rules, part == PART_EVENTS ? 3 : 4, field.bytes);
    return bits;
}
