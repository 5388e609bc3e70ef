/* Places of spans under resource and scope. */
#include "spans.h"
#include "api/jaeger/groups.h"

/* One letter a span: its resource; a digit behind it: its scope. What comes out is the order. */
static const struct {
    const char *spans, *want;
} rows[] = {
    {"", ""},
    {"a1", "0"},
    {"a1a1a1", "012"},
    {"a1b1a1b1", "0213"},
    {"a1a2a1a2", "0213"},
    {"b1a1b2a1b1", "04213"}, /* groups as they appear, not by name */
    {"a1b2a2b1a1", "04213"},
};

static void groups_as_they_appear(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct adjusted_span spans[8];
        size_t n = strlen(rows[i].spans) / 2;
        char got[9] = "", text[2] = "";
        for (size_t k = 0; k < n; k++) {
            struct span *span = span_of(k + 1, 0, SPAN_CLIENT);
            struct attr name = A_STR("service.name", "");
            text[0] = rows[i].spans[2 * k];
            name.value.str = str_of(text);
            span->resource = resource_of(&name, 1);
            text[0] = rows[i].spans[2 * k + 1];
            span->scope = scope_of(text, "");
            spans[k] = (struct adjusted_span){.span = span};
        }
        const struct place *places = spans_grouped(spans, n, &spans_arena);
        for (size_t k = 0; k < n; k++)
            got[k] = (char)('0' + places[k].span);
        assert_string_equal(got, rows[i].want);
    }
}

static void a_group_is_told_from_its_neighbour(void **state)
{
    struct adjusted_span spans[3];

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct span *span = span_of(k + 1, 0, SPAN_CLIENT);
        span->scope = scope_of(k == 1 ? "x" : "", "");
        spans[k] = (struct adjusted_span){.span = span};
    }
    const struct place *places = spans_grouped(spans, 3, &spans_arena);
    assert_int_equal(places[0].group, places[1].group);
    assert_int_not_equal(places[1].group, places[2].group);
    assert_int_equal(places[0].resource, places[2].resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_as_they_appear),
        cmocka_unit_test(a_group_is_told_from_its_neighbour),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
