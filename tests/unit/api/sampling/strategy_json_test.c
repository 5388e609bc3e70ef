/* The JSON of a strategy, byte by byte. */
#include "strategies.h"
#include "api/sampling/strategy.h"
#include "codec/json.h"

static void is_one_of_the_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(strategies); i++) {
        struct buf out;
        buf_init(&out, 4096);
        strategy_json(&out, &strategies[i].strategy);
        if (!str_eq(buf_str(&out), str_of(strategies[i].json)))
            fail_msg("row %zu: %.*s", i, STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

/* What would break clients: an operation without a rate, null for a list, a rate as a string. */
static void is_what_clients_take(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(strategies); i++) {
        MG_AUTO(json_free) struct json *root = NULL;
        assert_int_equal(json_parse(&root, str_of(strategies[i].json), NULL), MG_OK);
        const struct json *operations = json_get(root, "operationSampling");
        const struct json *list = json_get(operations, "perOperationStrategies");
        const struct json *rate = json_get(json_get(root, "probabilisticSampling"), "samplingRate");
        assert_int_equal(json_kind(json_get(root, "strategyType")), JSON_STRING);
        assert_true(!rate == (json_get(root, "rateLimitingSampling") != NULL));
        if (!operations)
            continue;
        assert_int_equal(json_kind(list), JSON_ARRAY);
        assert_true(json_number(rate) == json_number(json_get(operations, "defaultSamplingProbability")));
        for (size_t k = 0; k < json_count(list); k++)
            assert_non_null(json_get(json_get(json_at(list, k), "probabilisticSampling"), "samplingRate"));
    }
}

static void fails_as_its_buffer_does(void **state)
{
    struct buf out;

    (void)state;
    for (size_t limit = 0; limit < strlen(strategies[6].json); limit++) {
        buf_init(&out, limit);
        strategy_json(&out, &strategies[6].strategy);
        assert_int_equal(buf_err(&out), MG_E_TOO_BIG);
        buf_fini(&out);
    }
    buf_init(&out, strlen(strategies[6].json));
    strategy_json(&out, &strategies[6].strategy);
    assert_int_equal(buf_err(&out), MG_OK);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_one_of_the_shapes),
        cmocka_unit_test(is_what_clients_take),
        cmocka_unit_test(fails_as_its_buffer_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
