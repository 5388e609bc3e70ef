/* query_params_fuzz.c - whatever the query string: it is refused with a sentence, or what comes out
 * is within its bounds, the same the second time, and its ids and tag keys are each there once. The
 * input is also read as a duration, a number, an id and as the parameters of one trace.
 *
 * A first byte that no query string begins with (0 to 9) makes the rest a request message of the
 * gRPC door: one of its readers' by that number, then reflection's. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "api/jaeger/go_text.h"
#include "api/jaeger/grpc_params.h"
#include "api/jaeger/reflection.h"
#include "codec/utf8.h"

#define NOW             UINT64_C(1700000000123456789)
#define TRACES_MAX      500
#define INPUT_BYTES_MAX (16u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_sentence(enum mg_err err, const struct mg_why *why)
{
    assert((err != MG_OK) == (why->text[0] != '\0'));
}

static void check_filter(const struct span_filter *filter)
{
    struct map seen = {0};
    bool is_new;

    assert(!filter->service.ptr || filter->service.len > 0);
    assert(!filter->operation.ptr || filter->operation.len > 0);
    assert(filter->duration_max_ns > 0 || filter->duration_min_ns == 1);
    for (size_t i = 0; i < filter->n_tags; i++) {
        const struct filter_tag *tag = &filter->tags[i];
        if (tag->op != TAG_EQUALS) /* a `where`, of which several may name one key */
            continue;
        (void)map_put(&seen, tag->key, &is_new); /* only the key counts */
        assert(is_new && (!tag->value.len || utf8_valid(tag->value.ptr, tag->value.len)));
    }
    map_fini(&seen);
}

static void check_ids(const struct jaeger_search *search)
{
    struct map seen = {0};
    bool is_new;

    assert(search->n_trace_ids <= TRACES_MAX);
    for (size_t i = 0; i < search->n_trace_ids; i++) {
        uint8_t again[16];
        char text[32];
        size_t n = jaeger_id_text(search->trace_ids[i], text);
        enum mg_err err = jaeger_id_parse(str_n(text, n), again, NULL);
        assert(err == MG_OK && memcmp(again, search->trace_ids[i], 16) == 0);
        (void)map_put(&seen, str_n(again, 16), &is_new); /* only the key counts */
        assert(is_new);
    }
    map_fini(&seen);
}

static void check_same(const struct jaeger_search *a, const struct jaeger_search *b)
{
    const struct span_filter *x = &a->search.filter, *y = &b->search.filter;

    assert(str_eq(x->service, y->service) && str_eq(x->operation, y->operation));
    assert(x->start_min_ns == y->start_min_ns && x->start_max_ns == y->start_max_ns);
    assert(x->duration_min_ns == y->duration_min_ns && x->duration_max_ns == y->duration_max_ns);
    assert(x->n_tags == y->n_tags && a->n_trace_ids == b->n_trace_ids && a->raw == b->raw);
    assert(a->search.limit == b->search.limit);
}

static void read_search(struct str text)
{
    struct jaeger_search first, second;
    struct mg_why why = {""}, other = {""};

    enum mg_err err = jaeger_search_parse(text, NOW, TRACES_MAX, &first, &why);
    enum mg_err again = jaeger_search_parse(text, NOW, TRACES_MAX, &second, &other);
    assert(err == again && strcmp(why.text, other.text) == 0);
    check_sentence(err, &why);
    if (err)
        return;
    check_filter(&first.search.filter);
    check_ids(&first);
    check_same(&first, &second);
    assert(first.n_trace_ids || (first.search.limit > 0 && first.search.limit <= TRACES_MAX));
    jaeger_search_fini(&first);
    jaeger_search_fini(&second);
}

static void read_texts(struct str text)
{
    struct mg_why why[4] = {{""}};
    uint8_t id[16];
    int64_t number;
    bool flag;

    check_sentence(go_duration_parse(text, &number, &why[0]), &why[0]);
    check_sentence(go_int_parse(text, 64, &number, &why[1]), &why[1]);
    check_sentence(jaeger_id_parse(text, id, &why[2]), &why[2]);
    check_sentence(jaeger_trace_parse(text, &flag, &why[3]), &why[3]);
}

/* --- gRPC
 * --------------------------------------------------------------------------------------------- */

static grpc_read_fn *const readers[] = {
    grpc_read_v2_search,       grpc_read_v3_search,       grpc_read_v2_trace,
    grpc_read_v3_trace,        grpc_read_v2_operations,   grpc_read_v3_operations,
    grpc_read_v2_dependencies, grpc_read_v3_dependencies, grpc_read_nothing,
};

static void check_asked(const struct grpc_asked *asked)
{
    const struct jaeger_search *search = &asked->search;

    check_ids(search);
    if (search->search.limit) {
        assert(search->search.limit <= TRACES_MAX);
        check_filter(&search->search.filter);
    }
    assert(!asked->service.len || utf8_valid(asked->service.ptr, asked->service.len));
    assert(!asked->kind.len || utf8_valid(asked->kind.ptr, asked->kind.len));
}

static void read_request(grpc_read_fn *read, struct str message)
{
    const struct grpc_limits limits = {.now_ns = NOW, .traces_max = TRACES_MAX};
    struct mg_why why = {""}, other = {""};
    struct grpc_asked first, second;

    enum mg_err err = read(message, &limits, &first, &why);
    enum mg_err again = read(message, &limits, &second, &other);
    assert(err == again && strcmp(why.text, other.text) == 0);
    check_sentence(err, &why);
    if (err)
        return;
    check_asked(&first);
    check_same(&first.search, &second.search);
    assert(str_eq(first.service, second.service) && str_eq(first.kind, second.kind));
    jaeger_search_fini(&first.search);
    jaeger_search_fini(&second.search);
}

static void ask_reflection(struct str message)
{
    struct mg_why why = {""};
    struct reflection reflection;
    struct buf out;

    reflection_init(&reflection);
    buf_init(&out, REFLECTION_BYTES_MAX);
    enum mg_err err = reflection_answer(&reflection, message, &out, &why);
    assert(err == MG_OK || err == MG_E_FORMAT);
    check_sentence(err, &why);
    assert(err != MG_OK || out.len > message.len);
    buf_fini(&out);
    reflection_fini(&reflection);
}

static void read_message(size_t number, struct str message)
{
    if (number < MG_COUNT(readers))
        read_request(readers[number], message);
    else
        ask_reflection(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str text = str_n(data, len < INPUT_BYTES_MAX ? len : INPUT_BYTES_MAX);

    if (text.len && data[0] <= MG_COUNT(readers)) {
        read_message(data[0], str_n(text.ptr + 1, text.len - 1));
        return 0;
    }
    read_search(text);
    read_texts(text);
    (void)jaeger_is_pretty(text); /* any answer is fine */
    return 0;
}
