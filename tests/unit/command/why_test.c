/* What people read about a decision. */
#include "unit/command/test.h"
#include <stdio.h>
#include "command/why.h"
#include "row/outcome.h"

#define ID "0102030405060708090a0b0c0d0e0f10"
#define MEMBERS(decision, reason, policy, probability, rules, trigger)                                                    \
    "\"decision\":\"" decision "\",\"reason\":\"" reason "\",\"policy\":\"" policy "\",\"probability\":" probability      \
    ",\"rules\":" rules ",\"time\":\"2023-11-14T22:13:20.000Z\",\"trigger\":\"" trigger "\""
#define ANSWER(members, more) "{\"trace_id\":\"" ID "\"," members more "}"
#define ONE ",\"votes\":[],\"decisions\":[{}]"
#define HEAD(decision) "trace        " ID "\ndecision     " decision "\n"
#define TIME           "time         2023-11-14T22:13:20.000Z\n"
#define AT_ROOT        "decided when its root had been seen, and sampling.root_grace had passed\n"

static const struct {
    const char *json;
    enum mg_err want;
    const char *text; /* all of it; of a failure, a part of the sentence */
} rows[] = {
    { ANSWER("\"decision\":\"unknown\",\"reason\":\"\",\"probability\":null", ",\"decisions\":[]"), MG_OK,
      HEAD("unknown") "reason       nothing is known of this id: no span of it came, ingest.rules dropped them, or it is older than what is "
                      "remembered (store.retention, store.decisions_max)\n" },
    { ANSWER("\"decision\":\"pending\"", ",\"decisions\":[]"), MG_OK,
      HEAD("pending") "reason       spans of it wait for a decision (sampling.root_grace, sampling.decision_wait)\n" },
    { ANSWER(MEMBERS("kept", "policy", "errors", "1", "7", "root"),
             ",\"votes\":[{\"policy\":\"errors\",\"vote\":\"yes\"},{\"policy\":\"slow-ones\",\"vote\":\"no\"},"
             "{\"policy\":\"rare\",\"vote\":\"not_asked\"}],\"decisions\":[{}]"),
      MG_OK,
      HEAD("kept") "reason       the policy 'errors' sampled it\npolicy       errors\nprobability  1\nrules        generation 7\n" TIME AT_ROOT
                   "\nPOLICY     SAID\nerrors     yes\nslow-ones  no\nrare       (not asked)\n" },
    { ANSWER(MEMBERS("dropped", "no_policy", "", "0", "7", "deadline"), ONE), MG_OK,
      HEAD("dropped") "reason       no policy sampled it\nprobability  0\nrules        generation 7\n" TIME
                      "decided when sampling.decision_wait had passed since its first span\n" },
    { ANSWER(MEMBERS("kept", "class", "health", "0.1", "2", "early") ",\"estimate\":true", ONE), MG_OK,
      HEAD("kept") "reason       it is of the class 'health', which is sampled at a rate of its own\nclass        health\n"
                   "probability  0.1, as measured (one in about 10 such traces is kept)\nrules        generation 2\n" TIME
                   "decided when early: it had too many spans, or memory was short\n" },
    { ANSWER(MEMBERS("kept", "class_error", "health", "1", "2", "root"), ONE), MG_OK,
      HEAD("kept") "reason       it is of the class 'health', and has an error\nclass        health\nprobability  1\nrules        generation 2\n" TIME
                   AT_ROOT },
    { ANSWER(MEMBERS("dropped", "class", "", "3.1e-05", "0", "root"), ONE), MG_OK, /* no line for a name that is gone */
      HEAD("dropped") "reason       it is of the class (whose name is not known any more), which is sampled at a rate of its own\n"
                      "probability  3.1e-05 (one in about 3.226e+04 such traces is kept)\n" TIME AT_ROOT },
    { "{\"trace_id\":\"" ID "\",\"decision\":\"kept\",\"reason\":\"\",\"policy\":\"\",\"probability\":1,\"estimate\":false,\"rules\":0,"
      "\"time\":\"\",\"trigger\":\"\",\"votes\":[],\"decisions\":[{}]}",
      MG_OK, HEAD("kept") "reason       sampling was off: everything is kept\nprobability  1\n" },
    /* The text of the rules is gone, and with it the name; a name that would steer the terminal; what a newer collector says. */
    { ANSWER(MEMBERS("kept", "policy", "", "1", "0", "root"), ONE), MG_OK,
      HEAD("kept") "reason       the policy (whose name is not known any more) sampled it\nprobability  1\n" TIME AT_ROOT },
    { ANSWER(MEMBERS("dropped", "drop", "a\\u001b[0m", "0", "1", "root"), ONE), MG_OK,
      HEAD("dropped") "reason       the drop policy 'a?[0m' matched\npolicy       a?[0m\nprobability  0\nrules        generation 1\n" TIME AT_ROOT },
    { ANSWER(MEMBERS("kept", "phase_of_moon", "", "1", "1", "tide"), ONE), MG_OK,
      HEAD("kept") "reason       phase_of_moon\nprobability  1\nrules        generation 1\n" TIME "decided when tide\n" },
    { ANSWER(MEMBERS("kept", "floor_error", "", "1", "7", "late"),
             ",\"decisions\":[{" MEMBERS("dropped", "no_policy", "", "0", "8", "root") ",\"spans\":null},{" MEMBERS(
                 "kept", "floor_error", "", "1", "7", "late") ",\"spans\":5},{\"decision\":\"kept\",\"reason\":\"\",\"time\":\"\",\"spans\":1}]"),
      MG_OK,
      HEAD("kept") "reason       it has an error, and the floor keeps those within its budget\nprobability  1\nrules        generation 7\n" TIME
                   "decided when its spans came after a decision, which they follow\n"
                   "\nAll decisions, newest first:\n"
                   "  2023-11-14T22:13:20.000Z  dropped  no policy sampled it\n"
                   "  2023-11-14T22:13:20.000Z  kept     it has an error, and the floor keeps those within its budget; 5 spans\n"
                   "  (time not known)          kept     sampling was off: everything is kept; 1 span\n" },
    /* Late spans wait, and there are more decisions than are told. */
    { ANSWER(MEMBERS("kept", "no_rules", "", "1", "1", "root"),
             ",\"waiting\":true,\"more\":true,\"votes\":[],\"decisions\":[{" MEMBERS("kept", "no_rules", "", "1", "1", "root") ",\"spans\":2},{"
             MEMBERS("dropped", "drop", "x", "0", "1", "root") "}]"), MG_OK,
      HEAD("kept") "reason       no policy is configured: everything is kept\nprobability  1\nrules        generation 1\n" TIME AT_ROOT
                   "late spans   some wait to follow it\n"
                   "\nAll decisions, newest first:\n"
                   "  2023-11-14T22:13:20.000Z  kept     no policy is configured: everything is kept; 2 spans\n"
                   "  2023-11-14T22:13:20.000Z  dropped  the drop policy 'x' matched\n"
                   "  and older ones\n" },

    { "{}", MG_E_FORMAT, "the answer explains nothing: 'decision' is missing or no text" },
    { "[]", MG_E_FORMAT, "the answer explains nothing" },
    { "{\"decision\":1}", MG_E_FORMAT, "'decision' is missing or no text" },
    { "{\"decision\":\"\"}", MG_E_FORMAT, "'decision' is missing or no text" },
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
        buf_init(&out, 1 << 16);
        assert_int_equal(why_print(str_of(rows[i].json), &out, &is_fine, &why), rows[i].want);
        if (rows[i].want == MG_OK ? !str_eq(buf_str(&out), str_of(rows[i].text)) : !strstr(why.text, rows[i].text))
            fail_msg("row %zu:\n%.*s%s\nnot\n%s", i, STR_ARG(buf_str(&out)), why.text, rows[i].text);
        assert_true(is_fine);
        buf_fini(&out);
    }
}

/* Every reason and trigger that a collector can tell has words of its own. */
static void test_words(void **state)
{
    char json[512];

    (void)state;
    for (int i = 0; i <= REASON_OVERLOAD; i++) {
        const char *reason = reason_name((enum reason)i), *trigger = trigger_name((enum trigger)(1 + i % TRIGGER_FIRST_MATCH));
        bool is_fine = true;
        struct buf out;
        size_t at;
        snprintf(json, sizeof json, "{\"decision\":\"kept\",\"reason\":\"%s\",\"trigger\":\"%s\",\"policy\":\"x\",\"probability\":1}",
                 reason, trigger);
        buf_init(&out, 4096);
        assert_int_equal(why_print(str_of(json), &out, &is_fine, NULL), MG_OK);
        snprintf(json, sizeof json, "reason       %s\n", reason);
        assert_false(str_find(buf_str(&out), str_of(json), &at));
        snprintf(json, sizeof json, "decided when %s\n", trigger);
        assert_false(str_find(buf_str(&out), str_of(json), &at));
        buf_fini(&out);
    }
}

static void test_room(void **state)
{
    bool is_fine = true;
    struct buf out;

    (void)state;
    buf_init(&out, 60);
    assert_int_equal(why_print(str_of(rows[2].json), &out, &is_fine, NULL), MG_E_TOO_BIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_words), cmocka_unit_test(test_room) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
