#include "unit/command/test.h"
#include "command/ledger.h"

#define LEDGER(more)                                                                               \
    "{\"accepted\":10,\"stored\":5,\"sampled_out\":3,\"duplicate\":1,\"pending\":1,\"refused\":0,"  \
    "\"late\":0," more "}"

static const struct {
    const char *json;
    enum mg_err want;
    bool balances;
    const char *contains;
} rows[] = {
    {"{\"accepted\":10,\"stored\":5,\"sampled_out\":3,\"duplicate\":1,\"pending\":1,\"refused\":7,"
     "\"late\":2}",
     MG_OK, true,
     "accepted 10 = stored 5 + sampled_out 3 + duplicate 1 + pending 1: the ledger balances\n"},
    {"{\"accepted\":0,\"stored\":0,\"sampled_out\":0,\"duplicate\":0,\"pending\":0,\"refused\":0,"
     "\"late\":0}",
     MG_OK, true, "accepted                   0  spans taken in\n"},
    {"{\"accepted\":10,\"stored\":5,\"sampled_out\":3,\"duplicate\":1,\"pending\":0,\"refused\":1,"
     "\"late\":0,\"by\":{}}",
     MG_OK, false,
     "accepted 10 != stored 5 + sampled_out 3 + duplicate 1 + pending 0: the ledger does NOT "
     "balance\n"},
    {"{\"accepted\":10,\"stored\":12,\"sampled_out\":0,\"duplicate\":0,\"pending\":0,\"refused\":0,"
     "\"late\":0}",
     MG_OK, false, "NOT"},
    {LEDGER("\"kept_by_policy\":{\"errors\":3,\"<floor_slow>\":2},\"sampled_out_by_policy\":{\"<no_policy>\":3}"),
     MG_OK, true,
     "the ledger balances\n\n"
     "DECIDED BY              KEPT     SAMPLED OUT\n"
     "<floor_slow>               2               0\n"
     "<no_policy>                0               3\n"
     "errors                     3               0\n"},
    {LEDGER("\"kept_by_policy\":{\"a\":1},\"sampled_out_by_policy\":{\"a\":2}"), MG_OK, true,
     "\na                        1               2\n"},
    {LEDGER("\"kept_by_policy\":{\"a\\u001b[31m\":1}"), MG_OK, true, "\na?[31m"},
    {LEDGER("\"kept_by_policy\":{},\"sampled_out_by_policy\":{}"), MG_OK, true, "the ledger balances\n"},
    {LEDGER("\"kept_by_policy\":[]"), MG_E_FORMAT, false, "'kept_by_policy' is no object"},
    {LEDGER("\"sampled_out_by_policy\":{\"a\":-1}"), MG_E_FORMAT, false, "'a' in 'sampled_out_by_policy' is no count"},
    {LEDGER("\"kept_by_policy\":{\"a\":\"1\"}"), MG_E_FORMAT, false, "'a' in 'kept_by_policy' is no count"},
    {"{\"accepted\":10,\"stored\":5}", MG_E_FORMAT, false,
     "the answer is no ledger: 'sampled_out' is missing or no count"},
    {"{\"accepted\":-1,\"stored\":5}", MG_E_FORMAT, false, "'accepted' is missing"},
    {"{\"accepted\":\"1\",\"stored\":5}", MG_E_FORMAT, false, "'accepted' is missing"},
    {"[]", MG_E_FORMAT, false, "'accepted' is missing"},
    {"<html>", MG_E_FORMAT, false, ""},
    {"", MG_E_FORMAT, false, ""},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf out;
        struct mg_why why = {""};
        bool balances = false;

        buf_init(&out, 4096);
        assert_int_equal(ledger_print(str_of(rows[i].json), &out, &balances, &why), rows[i].want);
        buf_put_char(&out, '\0');
        if (!strstr(rows[i].want == MG_OK ? out.ptr : why.text, rows[i].contains))
            fail_msg("row %zu: %s%s", i, out.ptr, why.text);
        assert_int_equal(balances, rows[i].balances);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
