/* zipkin_params_fuzz.c - whatever the query string: it is refused with a sentence, or what comes
 * out is within its bounds and the same the second time. The input is also read as what the other
 * paths take, and as a trace id. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "api/zipkin/params.h"
#include "base/map.h"
#include "codec/utf8.h"

#define INPUT_BYTES_MAX (16u * 1024)

static const struct zipkin_defaults defaults = {
    .now_ms = 1700000000123, .lookback_ms = 86400000, .limit = 10, .limit_max = 500};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_sentence(enum mg_err err, const struct mg_why *why)
{
    assert(err == MG_OK || err == MG_E_FORMAT);
    assert((err != MG_OK) == (why->text[0] != '\0'));
    assert(utf8_valid(why->text, strlen(why->text)));
}

static void check_name(struct str name, struct arena *arena)
{
    assert(utf8_valid(name.ptr, name.len));
    assert(str_eq(zipkin_name(arena, name), name));
}

static void check_terms(const struct zipkin_search *search)
{
    struct map seen = {0};
    bool is_new;

    assert(search->n_terms <= ZIPKIN_TERMS_MAX);
    for (size_t i = 0; i < search->n_terms; i++) {
        const struct zipkin_term *term = &search->terms[i];
        assert(utf8_valid(term->value.ptr, term->value.len));
        (void)map_put(&seen, term->key, &is_new); /* only the key counts */
        assert(is_new);
    }
    map_fini(&seen);
}

static void check_search(const struct zipkin_search *search, struct arena *arena)
{
    check_name(search->service, arena);
    check_name(search->remote, arena);
    check_name(search->name, arena);
    assert(!str_eq(search->name, STR("all")));
    assert(search->limit > 0 && search->limit <= defaults.limit_max);
    assert(search->start_min_us <= search->start_max_us && search->start_max_us > 0);
    assert(search->duration_min_us <= search->duration_max_us);
    check_terms(search);
}

static void check_same(const struct zipkin_search *a, const struct zipkin_search *b)
{
    assert(str_eq(a->service, b->service) && str_eq(a->remote, b->remote));
    assert(str_eq(a->name, b->name) && a->n_terms == b->n_terms && a->limit == b->limit);
    assert(a->start_min_us == b->start_min_us && a->start_max_us == b->start_max_us);
    assert(a->duration_min_us == b->duration_min_us && a->duration_max_us == b->duration_max_us);
    for (size_t i = 0; i < a->n_terms; i++)
        assert(str_eq(a->terms[i].key, b->terms[i].key) &&
               str_eq(a->terms[i].value, b->terms[i].value));
}

static void read_search(struct str text, struct arena *arena)
{
    struct mg_why why = {""}, other = {""};
    struct zipkin_search first, second;

    enum mg_err err = zipkin_search_parse(text, &defaults, arena, &first, &why);
    enum mg_err again = zipkin_search_parse(text, &defaults, arena, &second, &other);
    assert(err == again && strcmp(why.text, other.text) == 0);
    check_sentence(err, &why);
    if (err)
        return;
    check_search(&first, arena);
    check_same(&first, &second);
}

static void read_id(struct str text)
{
    struct mg_why why = {""};
    uint8_t id[16], again[16];
    char digits[32];

    enum mg_err err = zipkin_trace_id_parse(text, id, &why);
    check_sentence(err, &why);
    if (err)
        return;
    struct str shown = str_n(digits, zipkin_trace_id_text(id, digits));
    err = zipkin_trace_id_parse(shown, again, NULL);
    assert(err == MG_OK && memcmp(id, again, sizeof id) == 0);
}

static void read_ids(struct str text, struct arena *arena)
{
    struct mg_why why = {""};
    uint8_t(*ids)[16];
    size_t n;

    enum mg_err err = zipkin_trace_ids_parse(text, arena, &ids, &n, &why);
    check_sentence(err, &why);
    assert(err || (n >= 2 && n <= ZIPKIN_TRACES_MAX));
}

static void read_others(struct str text, struct arena *arena)
{
    struct mg_why why[3] = {{""}};
    struct zipkin_window window;
    struct str name, key;

    enum mg_err err = zipkin_window_parse(text, &defaults, &window, &why[0]);
    check_sentence(err, &why[0]);
    assert(err || window.from_ns <= window.to_ns);
    err = zipkin_service_parse(text, arena, &name, &why[1]);
    check_sentence(err, &why[1]);
    if (!err)
        check_name(name, arena);
    err = zipkin_key_parse(text, arena, &key, &why[2]);
    check_sentence(err, &why[2]);
    assert(err || (key.len && utf8_valid(key.ptr, key.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str text = str_n(data, len < INPUT_BYTES_MAX ? len : INPUT_BYTES_MAX);
    struct arena arena = {0};

    read_search(text, &arena);
    read_id(text);
    read_ids(text, &arena);
    read_others(text, &arena);
    arena_fini(&arena);
    return 0;
}
