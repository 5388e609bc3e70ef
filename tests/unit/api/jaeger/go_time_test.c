#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/jaeger/go_time.h"

#define S      UINT64_C(1000000000)
#define LAYOUT "\" as \"2006-01-02T15:04:05.999999999Z07:00\": cannot parse \""

static void times(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01Z", S},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"1970-01-01T00:00:00.1Z", S / 10},
        {"1970-01-01T00:00:00.1234567894Z", 123456789}, /* the tenth digit does not count */
        {"2026-11-25T16:30:18.123Z", UINT64_C(1795624218123000000)},
        {"2026-11-25T16:30:18.123+01:30", UINT64_C(1795618818123000000)},
        {"2026-11-25T16:30:18.123 01:30", UINT64_C(1795618818123000000)},
        {"2026-11-25T16:30:18.123-01:30", UINT64_C(1795629618123000000)},
        {"2024-02-29T23:59:59Z", UINT64_C(1709251199) * S},
        {"2000-02-29T00:00:00Z", UINT64_C(951782400) * S},
        {"2000-03-01T00:00:00+00:00", UINT64_C(951868800) * S},
        {"1969-12-31T23:59:59.9Z", 0},
        {"1970-01-01T00:00:00+00:01", 0},
        {"0000-01-01T00:00:00Z", 0},
        {"0001-01-01T00:00:00Z", 0},
        {"2554-07-21T00:00:00Z", UINT64_C(18446659200) * S},
        {"2554-07-22T00:00:00Z", UINT64_MAX}, /* its last minutes would no longer fit */
        {"9999-12-31T23:59:59Z", UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        uint64_t ns = 7;
        if (go_time_parse(str_of(rows[i].text), &ns, &why) != MG_OK)
            fail_msg("%s: %s", rows[i].text, why.text);
        if (rows[i].ns == UINT64_MAX ? ns < UINT64_C(18446700000) * S : ns != rows[i].ns)
            fail_msg("%s: %llu", rows[i].text, (unsigned long long)ns);
    }
}

static void mistakes(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "parsing time \"" LAYOUT "\" as \"2006\""},
        {"now", "parsing time \"now" LAYOUT "now\" as \"2006\""},
        {"1700000000", "parsing time \"1700000000" LAYOUT "000000\" as \"-\""},
        {"2026", "parsing time \"2026" LAYOUT "\" as \"-\""},
        {"2026-1-01T00:00:00Z",
         "parsing time \"2026-1-01T00:00:00Z" LAYOUT "1-01T00:00:00Z\" as \"01\""},
        {"2026-01-01", "parsing time \"2026-01-01" LAYOUT "\" as \"T\""},
        {"2026-01-01 00:00:00Z",
         "parsing time \"2026-01-01 00:00:00Z" LAYOUT " 00:00:00Z\" as \"T\""},
        {"2026-01-01T00:00Z", "parsing time \"2026-01-01T00:00Z" LAYOUT "Z\" as \":\""},
        {"2026-01-01T00:00:00", "parsing time \"2026-01-01T00:00:00" LAYOUT "\" as \"Z07:00\""},
        {"2026-01-01T00:00:00.", "parsing time \"2026-01-01T00:00:00." LAYOUT ".\" as \"Z07:00\""},
        {"2026-01-01T00:00:00.Z",
         "parsing time \"2026-01-01T00:00:00.Z" LAYOUT ".Z\" as \"Z07:00\""},
        {"2026-01-01T00:00:00z", "parsing time \"2026-01-01T00:00:00z" LAYOUT "z\" as \"Z07:00\""},
        {"2026-01-01T00:00:00+0100",
         "parsing time \"2026-01-01T00:00:00+0100" LAYOUT "+0100\" as \"Z07:00\""},
        {"2026-01-01T00:00:00+1",
         "parsing time \"2026-01-01T00:00:00+1" LAYOUT "+1\" as \"Z07:00\""},
        {"2026-01-01T00:00:00Zx", "parsing time \"2026-01-01T00:00:00Zx\": extra text: \"x\""},
        {"2026-13-01T00:00:00Z", "parsing time \"2026-13-01T00:00:00Z\": month out of range"},
        {"2026-00-01T00:00:00Z", "parsing time \"2026-00-01T00:00:00Z\": month out of range"},
        {"2026-01-32T00:00:00Z", "parsing time \"2026-01-32T00:00:00Z\": day out of range"},
        {"2026-02-29T00:00:00Z", "parsing time \"2026-02-29T00:00:00Z\": day out of range"},
        {"1900-02-29T00:00:00Z", "parsing time \"1900-02-29T00:00:00Z\": day out of range"},
        {"2026-01-01T24:00:00Z", "parsing time \"2026-01-01T24:00:00Z\": hour out of range"},
        {"2026-01-01T00:60:00Z", "parsing time \"2026-01-01T00:60:00Z\": minute out of range"},
        {"2026-01-01T00:00:60Z", "parsing time \"2026-01-01T00:00:60Z\": second out of range"},
        {"2026-01-01T00:00:00+25:00",
         "parsing time \"2026-01-01T00:00:00+25:00\": time zone offset hour out of range"},
        {"2026-01-01T00:00:00+24:60",
         "parsing time \"2026-01-01T00:00:00+24:60\": time zone offset minute out of range"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        uint64_t ns = 7;
        assert_int_equal(go_time_parse(str_of(rows[i].text), &ns, &why), MG_E_FORMAT);
        assert_int_equal(ns, 7);
        assert_string_equal(why.text, rows[i].why);
    }
}

/* Every beginning of a time is none, and nothing is read behind its end. */
static void cut_texts(void **state)
{
    const char *whole = "2026-11-25T16:30:18.123456789+01:30";

    (void)state;
    for (size_t n = 0; n < strlen(whole); n++) {
        char *cut = test_malloc(n + 1);
        struct mg_why why;
        uint64_t ns;
        memcpy(cut, whole, n);
        assert_int_equal(go_time_parse(str_n(cut, n), &ns, &why), MG_E_FORMAT);
        test_free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(cut_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
