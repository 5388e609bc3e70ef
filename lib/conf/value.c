/* value.c - one row of functions per type: parse, print, compare. Ranges are written in the rows as
 * a user writes values, so they go through the same parser; a row that is itself wrong is a
 * programmer's mistake and stops the program at the first load. */
#include "conf/value.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/scalar.h"
#include "conf/yaml.h"

static enum mg_err parse_bool(struct str text, struct conf_value *out, struct mg_why *why)
{
    bool is_true = str_eq(text, STR("true"));

    if (!is_true && !str_eq(text, STR("false")))
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is neither true nor false", SCALAR_QUOTED(text));
    out->flag = is_true;
    return MG_OK;
}

static enum mg_err parse_u64(struct str text, struct conf_value *out, struct mg_why *why)
{
    if (str_u64(text, &out->u64) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is not a whole number", SCALAR_QUOTED(text));
    return MG_OK;
}

static enum mg_err parse_bytes(struct str text, struct conf_value *out, struct mg_why *why)
{
    if (str_bytes(text, &out->u64) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is not a size such as 64MiB or 4096",
                       SCALAR_QUOTED(text));
    return MG_OK;
}

static enum mg_err parse_duration(struct str text, struct conf_value *out, struct mg_why *why)
{
    int64_t ns;

    if (str_duration_ns(text, &ns) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is not a duration such as 250ms, 30s or 7d",
                       SCALAR_QUOTED(text));
    if (ns < 0)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s': a duration cannot be negative", SCALAR_QUOTED(text));
    out->u64 = (uint64_t)ns;
    return MG_OK;
}

static enum mg_err parse_number(struct str text, struct conf_value *out, struct mg_why *why)
{
    if (str_double(text, &out->number) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is not a number", SCALAR_QUOTED(text));
    return MG_OK;
}

static enum mg_err parse_str(struct str text, struct conf_value *out, struct mg_why *why)
{
    (void)why; /* any text is a string */
    out->str = text;
    return MG_OK;
}

static enum mg_err parse_choice(const struct conf_field *field, struct str text,
                                struct conf_value *out, struct mg_why *why)
{
    struct str rest = str_of(field->choices), word;

    for (int i = 0; str_cut(&rest, '|', &word); i++) {
        if (str_eq(word, text)) {
            out->choice = i;
            return MG_OK;
        }
    }
    return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is none of %s", SCALAR_QUOTED(text), field->choices);
}

static bool is_ipv6(struct str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    struct str plain = host, scope;

    if (str_split_at(host, '%', &plain, &scope) && scope.len == 0)
        return false;
    if (plain.len >= sizeof text)
        return false;
    memcpy(text, plain.ptr, plain.len);
    text[plain.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* A name, or when it has only digits and dots a complete IPv4 address. */
static bool is_host(struct str host)
{
    char text[254]; /* RFC 1035 2.3.4: names of at most 253 characters */
    bool is_numeric = true;
    struct in_addr address;

    if (host.len == 0 || host.len >= sizeof text)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (!scalar_is_word_char(host.ptr[i]))
            return false;
        is_numeric =
            is_numeric && (host.ptr[i] == '.' || (host.ptr[i] >= '0' && host.ptr[i] <= '9'));
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return !is_numeric || inet_pton(AF_INET, text, &address) == 1;
}

static enum mg_err parse_address(struct str text, struct conf_value *out, struct mg_why *why)
{
    static const char usage[] = "write host:port, [ipv6]:port or off";
    size_t colon = text.len;
    uint64_t port;

    out->str = STR("");
    if (str_eq(text, STR("off")))
        return MG_OK;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s' has no port; %s", SCALAR_QUOTED(text), usage);
    struct str host = { text.ptr, colon - 1 }, digits = { text.ptr + colon, text.len - colon };
    if (digits.len > 5 || str_u64(digits, &port) != MG_OK || port > 65535)
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s': the port is a number from 0 to 65535; %s",
                       SCALAR_QUOTED(text), usage);
    bool is_bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    struct str inner = is_bracketed ? str_n(host.ptr + 1, host.len - 2) : host;
    if (!(is_bracketed ? is_ipv6(inner) : is_host(inner)))
        return mg_fail(why, MG_E_FORMAT, "'%s%.*s': no usable host in front of the port; %s",
                       SCALAR_QUOTED(text), usage);
    out->str = text;
    return MG_OK;
}

static enum mg_err parse_plain(const struct conf_field *field, struct str text,
                               struct conf_value *out, struct mg_why *why)
{
    switch (field->type) {
    case CONF_BOOL: return parse_bool(text, out, why);
    case CONF_U64: return parse_u64(text, out, why);
    case CONF_BYTES: return parse_bytes(text, out, why);
    case CONF_DURATION: return parse_duration(text, out, why);
    case CONF_NUMBER: return parse_number(text, out, why);
    case CONF_STR: return parse_str(text, out, why);
    case CONF_CHOICE: return parse_choice(field, text, out, why);
    case CONF_ADDRESS: return parse_address(text, out, why);
    case CONF_LIST:
    case CONF_TREE: break;
    }
    assert(!"a list or a tree has no plain value");
    return MG_E_INTERNAL;
}

static bool is_ordered(enum conf_type type)
{
    return type == CONF_U64 || type == CONF_BYTES || type == CONF_DURATION || type == CONF_NUMBER;
}

/* -1, 0, 1 as value stands to a limit of its row. */
static int compare_limit(const struct conf_field *field, const struct conf_value *value,
                         const char *limit)
{
    struct conf_value bound = { 0 };
    enum mg_err err = parse_plain(field, str_of(limit), &bound, NULL);

    assert(err == MG_OK); /* the row itself is wrong */
    if (field->type == CONF_NUMBER)
        return (value->number > bound.number) - (value->number < bound.number);
    return (value->u64 > bound.u64) - (value->u64 < bound.u64);
}

static enum mg_err check_range(const struct conf_field *field, struct str text,
                               const struct conf_value *value, struct mg_why *why)
{
    assert(is_ordered(field->type) || (!field->min && !field->max));
    if (!is_ordered(field->type))
        return MG_OK;
    bool is_below = field->min && compare_limit(field, value, field->min) < 0;
    bool is_above = field->max && compare_limit(field, value, field->max) > 0;
    if (!is_below && !is_above)
        return MG_OK;
    if (field->min && field->max)
        return mg_fail(why, MG_E_FORMAT, "%.*s is out of range, from %s to %s", STR_ARG(text),
                       field->min, field->max);
    return mg_fail(why, MG_E_FORMAT, "%.*s is out of range, at %s %s", STR_ARG(text),
                   is_below ? "least" : "most", is_below ? field->min : field->max);
}

enum mg_err conf_value_parse(const struct conf_field *field, struct str text, struct arena *arena,
                             struct conf_value *out, struct mg_why *why)
{
    struct conf_value value = { 0 };

    if (field->type == CONF_LIST)
        return conf_value_parse_list(&text, text.len ? 1 : 0, arena, out, why);
    MG_TRY(scalar_check(text, why));
    MG_TRY(parse_plain(field, text, &value, why));
    MG_TRY(check_range(field, text, &value, why));
    if (field->type == CONF_STR || field->type == CONF_ADDRESS)
        value.str = arena_str(arena, value.str);
    *out = value;
    return MG_OK;
}

enum mg_err conf_value_parse_list(const struct str *items, size_t n, struct arena *arena,
                                  struct conf_value *out, struct mg_why *why)
{
    struct conf_list list = { arena_alloc(arena, (n ? n : 1) * sizeof(struct str)), n };

    for (size_t i = 0; i < n; i++) {
        MG_TRY(scalar_check(items[i], why));
        list.at[i] = arena_str(arena, items[i]);
    }
    out->list = list;
    return MG_OK;
}

static size_t field_bytes(enum conf_type type)
{
    switch (type) {
    case CONF_BOOL: return sizeof(bool);
    case CONF_U64:
    case CONF_BYTES:
    case CONF_DURATION: return sizeof(uint64_t);
    case CONF_NUMBER: return sizeof(double);
    case CONF_CHOICE: return sizeof(int);
    case CONF_STR:
    case CONF_ADDRESS: return sizeof(struct str);
    case CONF_LIST: return sizeof(struct conf_list);
    case CONF_TREE: return sizeof(const struct yaml *);
    }
    return 0;
}

void conf_value_store(const struct conf_field *field, const struct conf_value *value, void *target)
{
    memcpy((char *)target + field->offset, value, field_bytes(field->type));
}

void conf_value_read(const struct conf_field *field, const void *target, struct conf_value *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out, (const char *)target + field->offset, field_bytes(field->type));
}

static bool list_eq(const struct conf_list *a, const struct conf_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->at[i], b->at[i]))
            return false;
    return true;
}

/* A tree and what its dump loads back to must be equal, so the printed text is what counts. */
static bool tree_eq(const struct yaml *a, const struct yaml *b)
{
    enum { ROOM = 16 * CONF_FILE_BYTES_MAX }; /* a byte of the file becomes at most 6 or 8 */
    struct buf one, two;

    if (a == b || !a || !b)
        return a == b;
    buf_init(&one, ROOM);
    buf_init(&two, ROOM);
    yaml_print(a, &one);
    yaml_print(b, &two);
    bool is_equal = buf_err(&one) == MG_OK && str_eq(buf_str(&one), buf_str(&two));
    buf_fini(&one);
    buf_fini(&two);
    return is_equal;
}

bool conf_value_eq(const struct conf_field *field, const struct conf_value *a,
                   const struct conf_value *b)
{
    switch (field->type) {
    case CONF_STR:
    case CONF_ADDRESS: return str_eq(a->str, b->str);
    case CONF_LIST: return list_eq(&a->list, &b->list);
    case CONF_TREE: return tree_eq(a->tree, b->tree);
    default: return memcmp(a, b, field_bytes(field->type)) == 0;
    }
}

bool conf_value_is_zero(const struct conf_field *field, const struct conf_value *value)
{
    return conf_value_eq(field, value, &(struct conf_value){ 0 });
}

struct unit {
    const char *name;
    uint64_t size;
};

static void print_bytes(uint64_t bytes, struct buf *out)
{
    static const struct unit units[] = {
        { "TiB", 1ull << 40 },
        { "GiB", 1ull << 30 },
        { "MiB", 1ull << 20 },
        { "KiB", 1ull << 10 },
    };

    for (size_t i = 0; bytes && i < MG_COUNT(units); i++) {
        if (bytes % units[i].size == 0) {
            buf_printf(out, "%llu%s", (unsigned long long)(bytes / units[i].size), units[i].name);
            return;
        }
    }
    buf_put_u64(out, bytes);
}

static void print_duration(uint64_t ns, struct buf *out)
{
    static const struct unit units[] = {
        { "d", 86400000000000ull },
        { "h", 3600000000000ull },
        { "m", 60000000000ull },
        { "s", 1000000000ull },
        { "ms", 1000000ull },
        { "us", 1000ull },
        { "ns", 1ull },
    };

    if (ns == 0)
        buf_put_char(out, '0');
    for (size_t i = 0; i < MG_COUNT(units); i++) {
        if (ns >= units[i].size)
            buf_printf(out, "%llu%s", (unsigned long long)(ns / units[i].size), units[i].name);
        ns %= units[i].size;
    }
}

/* The fewest digits that read back to the same number. */
static void print_number(double number, struct buf *out)
{
    char text[32];

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buf_put_text(out, text);
}

static void print_choice(const struct conf_field *field, int choice, struct buf *out)
{
    struct str rest = str_of(field->choices), word;

    for (int i = 0; str_cut(&rest, '|', &word); i++)
        if (i == choice)
            scalar_print(word, out);
}

static void print_list(const struct conf_list *list, struct buf *out)
{
    buf_put_char(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        buf_put_text(out, i ? ", " : "");
        scalar_print_quoted(list->at[i], out);
    }
    buf_put_char(out, ']');
}

void conf_value_print(const struct conf_field *field, const struct conf_value *value,
                      struct buf *out)
{
    switch (field->type) {
    case CONF_BOOL: buf_put_text(out, value->flag ? "true" : "false"); return;
    case CONF_U64: buf_put_u64(out, value->u64); return;
    case CONF_BYTES: print_bytes(value->u64, out); return;
    case CONF_DURATION: print_duration(value->u64, out); return;
    case CONF_NUMBER: print_number(value->number, out); return;
    case CONF_STR: scalar_print(value->str, out); return;
    case CONF_CHOICE: print_choice(field, value->choice, out); return;
    case CONF_ADDRESS: scalar_print(value->str.len ? value->str : STR("off"), out); return;
    case CONF_LIST: print_list(&value->list, out); return;
    case CONF_TREE: yaml_print(value->tree, out); return;
    }
}
