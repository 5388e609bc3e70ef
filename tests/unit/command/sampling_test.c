/* The table of head sampling as text. */
#include "unit/command/test.h"
#include "command/sampling.h"

#define ROW(service, operation, numbers, source, followed)                                                                \
    "{\"service\":\"" service "\",\"operation\":\"" operation "\"," numbers ",\"source\":\"" source "\",\"is_followed\":" followed "}"
#define NUMBERS(probability, samples) "\"probability\":" probability ",\"samples_per_second\":" samples

static const struct {
    const char *json;
    enum mg_err want;
    const char *text; /* all of it; of a failure, a part of the sentence */
} rows[] = {
    { "{\"data\":[]}", MG_OK, "SERVICE  OPERATION  PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n" },
    { "{\"data\":[" ROW("", "", NUMBERS("1", "0"), "default", "false") ","
      ROW("cart", "GET /items/{id}", NUMBERS("0.001", "0.25"), "adaptive", "true") ","
      ROW("caf\xc3\xa9", "", NUMBERS("0.016666666666666666", "1234.5"), "override", "false") "]}",
      MG_OK,
      "SERVICE  OPERATION        PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n"
      "*        *                          1          0  default   no\n"
      "cart     GET /items/{id}        0.001       0.25  adaptive  yes\n"
      "caf\xc3\xa9     *                  0.0166667       1234  override  no\n" },
    { "{\"data\":[" ROW("a-service-with-a-name", "\\u001b[2J", NUMBERS("0.5", "1"), "file", "false") "]}", MG_OK,
      "SERVICE                OPERATION  PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n"
      "a-service-with-a-name  ?[2J               0.5          1  file      no\n" },
    { "{\"data\":[{\"probability\":1}]}", MG_OK, /* texts that are missing */
      "SERVICE  OPERATION  PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n"
      "*        *                    1          -            no\n" },
    /* Without a count: null, or what is no number. */
    { "{\"data\":[" ROW("cart", "", NUMBERS("0.1", "null"), "file", "false") "," ROW("cart", "b", NUMBERS("3.1e-05", "\"NaN\""), "file", "false") ","
      ROW("cart", "c", NUMBERS("1e-09", "true"), "file", "false") "," ROW("cart", "d", NUMBERS("0.00012", "0"), "adaptive", "true") "]}", MG_OK,
      "SERVICE  OPERATION  PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n"
      "cart     *                  0.1          -  file      no\n"
      "cart     b              3.1e-05          -  file      no\n"
      "cart     c                1e-09          -  file      no\n"
      "cart     d              0.00012          0  adaptive  yes\n" },

    /* A rate limit is what clients are told instead. */
    { "{\"data\":[" ROW("bar", "", "\"probability\":1,\"max_traces_per_second\":7,\"samples_per_second\":null", "file", "false") "]}", MG_OK,
      "SERVICE  OPERATION  PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n"
      "bar      *                  7/s          -  file      no\n" },

    { "{}", MG_E_FORMAT, "the answer is no table of sampling: 'data' is missing or no list" },
    { "[]", MG_E_FORMAT, "'data' is missing" },
    { "{\"data\":{}}", MG_E_FORMAT, "'data' is missing or no list" },
    { "{\"data\":[{}]}", MG_E_FORMAT, "row 0 has no probability" },
    { "{\"data\":[1]}", MG_E_FORMAT, "row 0 has no probability" },
    { "{\"data\":[{\"probability\":\"1\"}]}", MG_E_FORMAT, "row 0 has no probability" },
    { "<html>", MG_E_FORMAT, "" },
    { "", MG_E_FORMAT, "" },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        bool is_fine = true;
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(sampling_print(str_of(rows[i].json), &out, &is_fine, &why), rows[i].want);
        if (rows[i].want == MG_OK ? !str_eq(buf_str(&out), str_of(rows[i].text)) : !strstr(why.text, rows[i].text))
            fail_msg("row %zu: %.*s%s", i, STR_ARG(buf_str(&out)), why.text);
        assert_true(is_fine);
        buf_fini(&out);
    }
}

static void test_room(void **state)
{
    struct mg_why why = { "" };
    bool is_fine = true;
    struct buf out;

    (void)state;
    buf_init(&out, 80);
    assert_int_equal(sampling_print(str_of(rows[1].json), &out, &is_fine, &why), MG_E_TOO_BIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_room) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
