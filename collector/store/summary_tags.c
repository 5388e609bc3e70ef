/* summary_tags.c - which attribute keys and values a block has.
 *
 * Texts become hashes at once and only those are kept: in a set, because the filter's size depends
 * on how many distinct ones there are, and resources repeat each other's. Both tables stop growing
 * at a limit, since a peer chooses keys and texts, and place entries by a product with a secret
 * number, since a peer can compute the hashes: their seeds are in the format.
 *
 * A list is read where it is. Its keys are walked once for their order, and then searched by halves
 * for each tag. */
#include "store/summary_tags.h"

#include <assert.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "codec/utf8.h"
#include "store/block_format.h"
#include "store/filter_tag.h"

enum { HEAD_BYTES = 5, KEY_BYTES = 21, WORD_BITS = 64, ALL_OPEN = 1 };
enum { KEY_SLOT_BITS = 13, TEXT_SLOTS_MIN = 1 << 10 };
#define TEXTS_MAX ((size_t)TOLD_WORDS_MAX * WORD_BITS / TOLD_TEXT_BITS)
#define HAS_TEXT  0x80u /* of a key, beside enum told_flag; not written */
_Static_assert(1 << KEY_SLOT_BITS >= 2 * TOLD_KEYS_MAX, "slots are at most half full");

struct key_entry {
    uint32_t hash; /* the high half */
    uint32_t flags;
    double low, high; /* with TOLD_HAS_NUMBERS */
};
struct told {
    uint64_t secret; /* odd */
    bool is_all_open;
    bool is_filter_full;
    uint32_t n_keys;
    struct key_entry keys[TOLD_KEYS_MAX + 1]; /* the last: of keys for which there is no room */
    uint16_t key_slots[1 << KEY_SLOT_BITS];   /* key + 1; 0: empty */
    struct {
        uint64_t *at; /* hashes; 0: empty */
        size_t room;  /* allocated */
        size_t used;  /* of them, a power of two */
        size_t n;     /* hashes, has_zero counted */
        bool has_zero;
    } texts;
};

/* --- writing ---------------------------------------------------------------------------------- */
/* As many slots as the last block used, and fewer when it used few of them. */
static void texts_begin(struct told *told)
{
    size_t used = MG_MAX(told->texts.used, (size_t)TEXT_SLOTS_MIN);

    if (used > TEXT_SLOTS_MIN && told->texts.n * 8 < used)
        used /= 2;
    if (told->texts.room < used) {
        mem_free(told->texts.at);
        told->texts.at = mem_alloc(used * sizeof *told->texts.at);
        told->texts.room = used;
    }
    memset(told->texts.at, 0, used * sizeof *told->texts.at);
    told->texts.used = used;
    told->texts.n = 0;
    told->texts.has_zero = false;
}

static void told_begin(struct told *told)
{
    texts_begin(told);
    memset(told->key_slots, 0, sizeof told->key_slots);
    told->n_keys = 0;
    told->is_all_open = told->is_filter_full = false;
}

struct told *told_new(void)
{
    struct told *told = mem_alloc(sizeof *told); /* keys come as they are needed */

    memset(&told->texts, 0, sizeof told->texts);
    told->secret = hash_bytes("told", 4, hash_seed()) | 1;
    told_begin(told);
    return told;
}

void told_free(struct told **told)
{
    if (*told)
        mem_free((*told)->texts.at);
    mem_free(*told);
    *told = NULL;
}

void told_open_all(struct told *told)
{
    told->is_all_open = true;
}

struct told_key told_put_key(struct told *told, struct str key)
{
    uint64_t hash = hash64(key.ptr, key.len, BLOCK_SEED_KEY);
    uint32_t high = (uint32_t)(hash >> 32), at = TOLD_KEYS_MAX;
    size_t mask = MG_COUNT(told->key_slots) - 1;
    size_t slot = (size_t)((high * told->secret) >> (64 - KEY_SLOT_BITS));

    for (; told->key_slots[slot]; slot = (slot + 1) & mask)
        if (told->keys[told->key_slots[slot] - 1].hash == high)
            return (struct told_key){ hash, told->key_slots[slot] - 1u };
    if (told->n_keys < TOLD_KEYS_MAX) {
        at = told->n_keys++;
        told->key_slots[slot] = (uint16_t)told->n_keys;
    } else {
        told->is_all_open = true;
    }
    told->keys[at] = (struct key_entry){ .hash = high };
    return (struct told_key){ hash, at };
}

void told_open_key(struct told *told, struct told_key key, unsigned flags)
{
    told->keys[key.at].flags |= flags;
}

static void put_range(struct told *told, struct told_key key, double low, double high)
{
    struct key_entry *entry = &told->keys[key.at];

    low += 0.0; /* -0 becomes 0: which of them came first must not show */
    high += 0.0;
    if (!(entry->flags & TOLD_HAS_NUMBERS)) {
        entry->flags |= TOLD_HAS_NUMBERS;
        entry->low = low;
        entry->high = high;
    }
    entry->low = MG_MIN(entry->low, low);
    entry->high = MG_MAX(entry->high, high);
}

static size_t text_slot(const struct told *told, uint64_t hash)
{
    size_t mask = told->texts.used - 1;
    size_t slot =
        (size_t)((hash * told->secret) >> (64 - (unsigned)__builtin_ctzll(told->texts.used)));

    while (told->texts.at[slot] && told->texts.at[slot] != hash)
        slot = (slot + 1) & mask;
    return slot;
}

static void texts_grow(struct told *told)
{
    uint64_t *old = told->texts.at;
    size_t old_used = told->texts.used;

    told->texts.room = told->texts.used = old_used * 2;
    told->texts.at = mem_zero(told->texts.room, sizeof *told->texts.at);
    for (size_t i = 0; i < old_used; i++)
        if (old[i])
            told->texts.at[text_slot(told, old[i])] = old[i];
    mem_free(old);
}

/* Counts one more; false: there is no room. */
static bool count_text(struct told *told)
{
    if (told->texts.n < TEXTS_MAX) {
        told->texts.n++;
        return true;
    }
    told->is_filter_full = true;
    return false;
}

static void put_hash(struct told *told, uint64_t hash)
{
    size_t slot = text_slot(told, hash);

    if (hash == 0) { /* zero marks an empty slot */
        told->texts.has_zero = told->texts.has_zero || count_text(told);
    } else if (!told->texts.at[slot] && count_text(told)) {
        told->texts.at[slot] = hash;
        if (told->texts.n * 2 > told->texts.used)
            texts_grow(told);
    }
}

static void put_plain_text(struct told *told, struct told_key key, struct str text)
{
    told->keys[key.at].flags |= HAS_TEXT;
    put_hash(told, hash64(text.ptr, text.len, key.hash));
}

/* str_double, with a short way for digits alone, of which a double holds 15 exactly. */
static bool is_number(struct str text, double *number)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < text.len && i < 15 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    *number = (double)value;
    return (i > 0 && i == text.len) || str_double(text, number) == MG_OK;
}

void told_put_text(struct told *told, struct told_key key, struct str text)
{
    double number;

    if (!utf8_valid(text.ptr, text.len)) { /* compared as it is when sanitised; and is no number */
        told_open_key(told, key, TOLD_TEXT_OPEN);
        return;
    }
    put_plain_text(told, key, text);
    if (is_number(text, &number))
        put_range(told, key, number, number);
}

static void put_bools(struct told *told, struct told_key key, const uint64_t *values, size_t n)
{
    bool has[2] = { false, false };

    for (size_t i = 0; i < n; i++)
        has[values[i] != 0] = true;
    if (has[false])
        put_plain_text(told, key, STR("false"));
    if (has[true])
        put_plain_text(told, key, STR("true"));
}

static void put_ints(struct told *told, struct told_key key, const uint64_t *values, size_t n)
{
    int64_t low = INT64_MAX, high = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        low = MG_MIN(low, (int64_t)values[i]);
        high = MG_MAX(high, (int64_t)values[i]);
    }
    /* Rounding keeps the order: what is between them is between their doubles. */
    put_range(told, key, (double)low, (double)high);
    told_open_key(told, key, TOLD_HAS_TYPED);
}

static void put_doubles(struct told *told, struct told_key key, const uint64_t *values, size_t n)
{
    double low = __builtin_inf(), high = -low;
    bool is_odd = false;

    for (size_t i = 0; i < n; i++) {
        double number;
        memcpy(&number, &values[i], sizeof number);
        if (!__builtin_isfinite(number)) {
            is_odd = true;
            continue;
        }
        low = MG_MIN(low, number);
        high = MG_MAX(high, number);
    }
    if (is_odd) /* NaN is in no range, and Infinity is no number as text */
        told_open_key(told, key, TOLD_OPEN);
    if (low > high)
        return;
    put_range(told, key, low, high);
    told_open_key(told, key, TOLD_HAS_TYPED);
}

void told_put_numbers(struct told *told, struct told_key key, enum value_type type,
                      const uint64_t *values, size_t n)
{
    if (n == 0)
        return;
    if (type == VALUE_BOOL)
        put_bools(told, key, values, n);
    else if (type == VALUE_INT)
        put_ints(told, key, values, n);
    else
        put_doubles(told, key, values, n);
}

/* --- writing: resources and scopes ------------------------------------------------------------ */
static void put_attr(struct told *told, const struct attr *attr)
{
    struct told_key key = told_put_key(told, attr->key);
    uint64_t bits = 0;

    switch (attr->value.type) {
    case VALUE_STRING: told_put_text(told, key, attr->value.str); return;
    case VALUE_EMPTY: told_put_text(told, key, STR("")); return;
    case VALUE_BOOL: bits = attr->value.b; break;
    case VALUE_INT: bits = (uint64_t)attr->value.i; break;
    case VALUE_DOUBLE: memcpy(&bits, &attr->value.d, sizeof bits); break;
    default: told_open_key(told, key, TOLD_TEXT_OPEN); return;
    }
    told_put_numbers(told, key, attr->value.type, &bits, 1);
}

static void put_message(struct told *told, struct str message, uint32_t field)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;
    int more;

    while ((more = attr_next(&at, end, field, &attr)) == 1)
        put_attr(told, &attr);
    if (more < 0)
        told->is_all_open = true;
}

void told_put_resource(struct told *told, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    for (uint32_t i = 0; i < view.n; i++)
        put_message(told, view.attributes_owner[i], 1);
}

void told_put_scope(struct told *told, struct str scope)
{
    struct scope_view view;

    scope_view(scope, &view);
    put_message(told, view.message, 3);
}

/* --- the bytes -------------------------------------------------------------------------------- */
struct place { /* of a text in the filter */
    size_t word;
    uint64_t bits;
};

static struct place place_of(uint64_t hash, size_t words)
{
    return (struct place){
        .word = (size_t)(((hash >> 32) * words) >> 32),
        .bits = UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63) |
                UINT64_C(1) << (hash >> 12 & 63) | UINT64_C(1) << (hash >> 18 & 63),
    };
}

static int compare_keys(const void *left, const void *right)
{
    const struct key_entry *a = left, *b = right;

    return (a->hash > b->hash) - (a->hash < b->hash);
}

/* Room at the end of `out`, whose limit is that of a block. */
static uint8_t *put_room(struct buf *out, size_t bytes)
{
    enum mg_err err = buf_reserve(out, bytes);

    assert(err == MG_OK);
    uint8_t *at = (uint8_t *)out->ptr + out->len;
    memset(at, 0, bytes);
    out->len += bytes;
    return at;
}

static void write_key(uint8_t *at, const struct key_entry *key, bool is_filter_full)
{
    bool has_range = key->flags & TOLD_HAS_NUMBERS;
    unsigned flags = key->flags & ~HAS_TEXT;

    if (is_filter_full && key->flags & HAS_TEXT)
        flags |= TOLD_TEXT_OPEN;
    put_le32(at, key->hash);
    at[4] = (uint8_t)flags;
    if (has_range) {
        memcpy(at + 5, &key->low, 8);
        memcpy(at + 13, &key->high, 8);
    }
}

static void put_in_filter(uint8_t *filter, size_t words, uint64_t hash)
{
    struct place place = place_of(hash, words);
    uint8_t *word = filter + place.word * 8;

    put_le64(word, get_le64(word) | place.bits);
}

static void write_filter(const struct told *told, uint8_t *filter, size_t words)
{
    for (size_t i = 0; i < told->texts.used; i++)
        if (told->texts.at[i])
            put_in_filter(filter, words, told->texts.at[i]);
    if (told->texts.has_zero)
        put_in_filter(filter, words, 0);
}

void told_write(struct told *told, struct buf *out)
{
    uint32_t n = told->is_all_open ? 0 : told->n_keys;
    size_t words = (told->texts.n * TOLD_TEXT_BITS + WORD_BITS - 1) / WORD_BITS;

    if (told->is_all_open || told->is_filter_full)
        words = 0;
    uint8_t *at = put_room(out, HEAD_BYTES + (size_t)n * KEY_BYTES + words * 8);
    at[0] = told->is_all_open ? ALL_OPEN : 0;
    put_le32(at + 1, n);
    at += HEAD_BYTES;
    qsort(told->keys, n, sizeof *told->keys, compare_keys);
    for (uint32_t i = 0; i < n; i++, at += KEY_BYTES)
        write_key(at, &told->keys[i], told->is_filter_full);
    if (words)
        write_filter(told, at, words);
    told_begin(told);
}

/* --- reading ---------------------------------------------------------------------------------- */
struct told_list {
    const uint8_t *keys, *filter;
    uint32_t n_keys;
    size_t words;
};

static double number_at(const uint8_t *at)
{
    double number;

    memcpy(&number, at, sizeof number);
    return number;
}

static bool key_is_sound(const uint8_t *key)
{
    return !(key[4] & TOLD_HAS_NUMBERS) || number_at(key + 5) <= number_at(key + 13);
}

/* False: nothing may be concluded, because the list says so or is malformed. */
static bool list_open(struct told_list *list, struct str content)
{
    const uint8_t *at = (const uint8_t *)content.ptr;

    if (content.len < HEAD_BYTES || at[0] & ALL_OPEN)
        return false;
    size_t rest = content.len - HEAD_BYTES, n = get_le32(at + 1);
    if (n > rest / KEY_BYTES || (rest - n * KEY_BYTES) % 8)
        return false;
    *list = (struct told_list){
        .keys = at + HEAD_BYTES,
        .n_keys = (uint32_t)n,
        .filter = at + HEAD_BYTES + n * KEY_BYTES,
        .words = (rest - n * KEY_BYTES) / 8,
    };
    for (size_t i = 0; i < n; i++) {
        const uint8_t *key = list->keys + i * KEY_BYTES;
        if ((i && get_le32(key - KEY_BYTES) >= get_le32(key)) || !key_is_sound(key))
            return false;
    }
    return true;
}

static const uint8_t *find_key(const struct told_list *list, uint32_t hash)
{
    uint32_t low = 0, high = list->n_keys;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (get_le32(list->keys + (size_t)middle * KEY_BYTES) < hash)
            low = middle + 1;
        else
            high = middle;
    }
    const uint8_t *key = list->keys + (size_t)low * KEY_BYTES;
    return low < list->n_keys && get_le32(key) == hash ? key : NULL;
}

static bool filter_has(const struct told_list *list, uint64_t hash)
{
    if (list->words == 0)
        return false;
    struct place place = place_of(hash, list->words);
    return (get_le64(list->filter + place.word * 8) & place.bits) == place.bits;
}

static bool range_has(const uint8_t *key, double number)
{
    return number_at(key + 5) <= number && number <= number_at(key + 13);
}

/* The text of an integer or a double is a number as `where` reads it, and no other than its own. */
static bool text_may(const struct told_list *list, const uint8_t *key, uint64_t hash,
                     struct str wanted)
{
    double number;

    return key[4] & TOLD_TEXT_OPEN || filter_has(list, hash64(wanted.ptr, wanted.len, hash)) ||
           (key[4] & TOLD_HAS_TYPED && key[4] & TOLD_HAS_NUMBERS &&
            str_double(wanted, &number) == MG_OK && range_has(key, number));
}

static bool number_may(const uint8_t *key, const struct filter_tag *tag)
{
    if (key[4] & TOLD_NUMBERS_OPEN)
        return true;
    if (!(key[4] & TOLD_HAS_NUMBERS))
        return false;
    if (tag->op == TAG_IS)
        return range_has(key, tag->number);
    bool asks_lowest = tag->op == TAG_LESS || tag->op == TAG_AT_MOST;
    return filter_number_holds(number_at(key + (asks_lowest ? 5 : 13)), tag);
}

static bool key_may(const struct told_list *list, struct str name, const struct filter_tag *tag)
{
    uint64_t hash = hash64(name.ptr, name.len, BLOCK_SEED_KEY);
    const uint8_t *key = find_key(list, (uint32_t)(hash >> 32));

    if (!key || tag->op == TAG_EXISTS)
        return key;
    return tag->op == TAG_EQUALS ? text_may(list, key, hash, tag->value) : number_may(key, tag);
}

/* Tags that filter.c derives from other parts of a span: nothing of those is told. */
static bool is_derived(const struct filter_tag *tag)
{
    static const struct str keys[] = {
        STR_INIT("error"),
        STR_INIT("span.kind"),
        STR_INIT("span.status"),
        STR_INIT("otel.status_code"),
        STR_INIT("otel.status_description"),
        STR_INIT("otel.scope.name"),
        STR_INIT("scope.name"),
        STR_INIT("otel.scope.version"),
        STR_INIT("scope.version"),
        STR_INIT("w3c.tracestate"),
    };

    for (size_t i = 0; tag->op == TAG_EQUALS && i < MG_COUNT(keys); i++)
        if (str_eq(tag->key, keys[i]))
            return true;
    return false;
}

static bool tag_may(const struct told_list *list, const struct filter_tag *tag)
{
    const struct str prefix = STR("resource.");

    if (is_derived(tag) || key_may(list, tag->key, tag))
        return true;
    return str_starts(tag->key, prefix) &&
           key_may(list, str_n(tag->key.ptr + prefix.len, tag->key.len - prefix.len), tag);
}

bool told_may_match(struct str content, const struct span_filter *filter)
{
    struct told_list list;

    if (filter->n_tags == 0 || !list_open(&list, content))
        return true;
    for (size_t i = 0; i < filter->n_tags; i++)
        if (!tag_may(&list, &filter->tags[i]))
            return false;
    return true;
}
