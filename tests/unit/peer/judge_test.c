/* judge_test.c - every answer a peer can give, and what it means for a batch
 * (OTLP specification, "Failures"). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "model/wire.h"
#include "peer/private.h"

#define NOW_S  784111777u /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW_NS (NOW_S * UINT64_C(1000000000))

static const struct row {
    enum mg_err err;
    bool is_grpc;
    int status, grpc_status;
    const char *hint, *said; /* said: body or grpc-message */
    enum send_verdict want;
    uint64_t want_ms;
    const char *reason; /* part of it; NULL: none is owed */
} rows[] = {
    /* HTTP */
    {MG_OK, false, 200, -1, NULL, "", SEND_TAKEN, 0, NULL},
    {MG_OK, false, 202, -1, NULL, "", SEND_TAKEN, 0, NULL},
    {MG_OK, false, 204, -1, NULL, "", SEND_TAKEN, 0, NULL},
    {MG_OK, false, 200, -1, "5", "rubbish", SEND_TAKEN, 0, NULL},
    {MG_OK, false, 429, -1, NULL, "slow down", SEND_RETRY, 0, "HTTP status 429: slow down"},
    {MG_OK, false, 429, -1, "7", "", SEND_RETRY, 7000, "HTTP status 429"},
    {MG_OK, false, 502, -1, NULL, "", SEND_RETRY, 0, "502"},
    {MG_OK, false, 503, -1, "0", "", SEND_RETRY, 0, "503"},
    {MG_OK, false, 503, -1, "Sun, 06 Nov 1994 08:50:07 GMT", "", SEND_RETRY, 30000, "503"},
    {MG_OK, false, 504, -1, "soon", "", SEND_RETRY, 0, "504"},
    {MG_OK, false, 401, -1, NULL, "who?", SEND_RETRY, 0, "401: who?"},
    {MG_OK, false, 403, -1, "3", "no", SEND_RETRY, 3000, "403: no"},
    {MG_OK, false, 400, -1, NULL, "bad span", SEND_REFUSED, 0, "HTTP status 400: bad span"},
    {MG_OK, false, 400, -1, "9", "", SEND_REFUSED, 0, "400"},
    {MG_OK, false, 404, -1, NULL, "", SEND_RETRY, 0, "404"},
    {MG_OK, false, 405, -1, NULL, "", SEND_RETRY, 0, "405"},
    {MG_OK, false, 408, -1, NULL, "", SEND_REFUSED, 0, "408"},
    {MG_OK, false, 413, -1, NULL, "", SEND_REFUSED, 0, "413"},
    {MG_OK, false, 415, -1, NULL, "", SEND_REFUSED, 0, "415"},
    {MG_OK, false, 422, -1, NULL, "", SEND_REFUSED, 0, "422"},
    {MG_OK, false, 500, -1, "1", "", SEND_REFUSED, 0, "500"},
    {MG_OK, false, 501, -1, NULL, "", SEND_REFUSED, 0, "501"},
    {MG_OK, false, 505, -1, NULL, "", SEND_REFUSED, 0, "505"},
    {MG_OK, false, 301, -1, NULL, "", SEND_RETRY, 0,
     "301 (redirects are not followed: see exporters.x.endpoint)"},
    {MG_OK, false, 302, -1, "5", "moved", SEND_RETRY, 5000, "see exporters.x.endpoint): moved"},
    {MG_OK, false, 303, -1, NULL, "", SEND_RETRY, 0, "redirects"},
    {MG_OK, false, 307, -1, NULL, "", SEND_RETRY, 0, "redirects"},
    {MG_OK, false, 308, -1, NULL, "", SEND_RETRY, 0, "redirects"},
    {MG_OK, false, 300, -1, NULL, "", SEND_REFUSED, 0, "300"},
    {MG_OK, false, 304, -1, NULL, "", SEND_REFUSED, 0, "304"},
    /* gRPC */
    {MG_OK, true, 200, 0, NULL, "", SEND_TAKEN, 0, NULL},
    {MG_OK, true, 200, 1, NULL, "", SEND_RETRY, 0, "gRPC status 1"},
    {MG_OK, true, 200, 2, NULL, "", SEND_REFUSED, 0, "gRPC status 2"},
    {MG_OK, true, 200, 3, NULL, "bad id", SEND_REFUSED, 0, "gRPC status 3: bad id"},
    {MG_OK, true, 200, 4, NULL, "", SEND_RETRY, 0, "gRPC status 4"},
    {MG_OK, true, 200, 5, NULL, "", SEND_REFUSED, 0, "gRPC status 5"},
    {MG_OK, true, 200, 6, NULL, "", SEND_REFUSED, 0, "gRPC status 6"},
    {MG_OK, true, 200, 7, NULL, "", SEND_RETRY, 0, "gRPC status 7"},
    {MG_OK, true, 200, 8, NULL, "too large", SEND_REFUSED, 0, "gRPC status 8: too large"},
    {MG_OK, true, 200, 8, "2", "", SEND_RETRY, 2000, "gRPC status 8"},
    {MG_OK, true, 200, 9, NULL, "", SEND_REFUSED, 0, "gRPC status 9"},
    {MG_OK, true, 200, 10, NULL, "", SEND_RETRY, 0, "gRPC status 10"},
    {MG_OK, true, 200, 11, NULL, "", SEND_RETRY, 0, "gRPC status 11"},
    {MG_OK, true, 200, 12, NULL, "", SEND_RETRY, 0, "gRPC status 12"},
    {MG_OK, true, 200, 13, NULL, "", SEND_REFUSED, 0, "gRPC status 13"},
    {MG_OK, true, 200, 14, "1", "come back", SEND_RETRY, 1000, "gRPC status 14: come back"},
    {MG_OK, true, 200, 15, NULL, "", SEND_RETRY, 0, "gRPC status 15"},
    {MG_OK, true, 200, 16, NULL, "", SEND_RETRY, 0, "gRPC status 16"},
    {MG_OK, true, 503, 14, "7", "HTTP status 503 without grpc-status", SEND_RETRY, 7000,
     "without grpc-status"},
    {MG_OK, true, 302, 2, NULL, "HTTP status 302 without grpc-status", SEND_RETRY, 0,
     "redirects"},
    /* no answer, or none that was read */
    {MG_E_IO, false, 0, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_TIMEOUT, false, 0, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_FORMAT, false, 0, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_UNSUPPORTED, true, 0, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_IO, false, 200, -1, NULL, "", SEND_RETRY, 0,
     "the reason"}, /* closed in the middle of it */
    {MG_E_IO, true, 200, 0, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_TOO_BIG, false, 200, -1, NULL, "", SEND_TAKEN, 0, NULL},
    {MG_E_TOO_BIG, false, 400, -1, NULL, "", SEND_REFUSED, 0, "HTTP status 400"},
    {MG_E_TOO_BIG, false, 503, -1, "4", "", SEND_RETRY, 4000, "HTTP status 503"},
    {MG_E_HEADERS, false, 0, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_TOO_BIG, true, 200, -1, NULL, "", SEND_RETRY, 0, "the reason"},
    {MG_E_FORMAT, true, 200, 0, NULL, "", SEND_TAKEN, 0, NULL}, /* a packed message */
    {MG_E_FORMAT, false, 200, -1, NULL, "", SEND_RETRY, 0, "the reason"},
};

static void test_verdicts(void **state)
{
    const struct target target = {.section = "exporters.x"};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct http_answer answer = {.status = row->status,
                                     .grpc_status = row->grpc_status,
                                     .content_type = STR("text/plain"),
                                     .retry_after = str_of(row->hint),
                                     .body = STR(""),
                                     .message = STR("")};
        const struct mg_why why = {"the reason"};
        struct verdict verdict;
        *(row->grpc_status < 0 ? &answer.body : &answer.message) = str_of(row->said);
        judge_answer(&verdict, &target, &(struct asked){.is_grpc = row->is_grpc}, row->err, &answer, &why,
                     NOW_NS);
        if (verdict.result.verdict != row->want || verdict.result.retry_after_ms != row->want_ms ||
            verdict.result.refused_spans != 0)
            fail_msg("row %zu: %d, %u ms", i, verdict.result.verdict,
                     (unsigned)verdict.result.retry_after_ms);
        if (row->reason && !strstr(verdict.result.reason, row->reason))
            fail_msg("row %zu: '%s'", i, verdict.result.reason);
    }
}

/* As grpc-go, gRPC of C++ and Python, grpc-js, grpc-java, Grpc.Net, tonic, Envoy and Go's net/http say it. */
static void test_what_is_too_large(void **state)
{
    static const struct {
        int status, grpc_status;
        const char *said;
        bool is_too_large;
        enum send_verdict want;
    } cases[] = {
        {413, -1, "", true, SEND_REFUSED},
        {413, 2, "HTTP status 413 without grpc-status", true, SEND_REFUSED},
        {400, -1, "http: request body too large", true, SEND_REFUSED},
        {200, 8, "grpc: received message larger than max (5000000 vs. 4194304)", true, SEND_REFUSED},
        {200, 8, "grpc: received message after decompression larger than max 4194304", true, SEND_REFUSED},
        {200, 8, "SERVER: Received message larger than max (5000000 vs. 4194304)", true, SEND_REFUSED},
        {200, 8, "Received message that decompresses to a size larger than 4194304", true, SEND_REFUSED},
        {200, 8, "gRPC message exceeds maximum size 4194304: 5000000", true, SEND_REFUSED},
        {200, 8, "Decompressed gRPC message exceeds maximum size 4194304", true, SEND_REFUSED},
        {200, 8, "Received message exceeds the maximum configured message size.", true, SEND_REFUSED},
        {200, 11, "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes", true, SEND_REFUSED},
        {200, 2, "Payload Too Large", true, SEND_REFUSED},
        {400, -1, "bad span", false, SEND_REFUSED},
        {414, -1, "URI too large", false, SEND_REFUSED},
        {500, -1, "http: request body too large", false, SEND_REFUSED},
        {503, -1, "http: request body too large", false, SEND_RETRY},
        {200, 8, "", false, SEND_REFUSED},
        {200, 8, "the quota is exceeded", false, SEND_REFUSED},
        {200, 11, "grpc: received message larger than max", false, SEND_RETRY},
        {200, 11, "", false, SEND_RETRY},
        {200, 2, "panic", false, SEND_REFUSED},
        {200, 3, "Payload Too Large", false, SEND_REFUSED},
        {200, 14, "grpc: received message larger than max (5 vs. 4)", false, SEND_RETRY},
    };
    const struct target target = {.section = "exporters.x"};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct http_answer answer = {.status = cases[i].status, .grpc_status = cases[i].grpc_status};
        struct verdict verdict;
        *(cases[i].grpc_status < 0 ? &answer.body : &answer.message) = str_of(cases[i].said);
        judge_answer(&verdict, &target, &(struct asked){0}, MG_OK, &answer, NULL, NOW_NS);
        if (verdict.result.verdict != cases[i].want || judge_is_too_large(&answer) != cases[i].is_too_large)
            fail_msg("row %zu: %d", i, verdict.result.verdict);
        answer.retry_after = STR("3"); /* with a time to come back it is a throttle */
        judge_answer(&verdict, &target, &(struct asked){0}, MG_OK, &answer, NULL, NOW_NS);
        if (cases[i].grpc_status == 8 || cases[i].grpc_status == 11)
            assert_int_equal(verdict.result.verdict, SEND_RETRY);
    }
}

/* Where it leads is told by its host alone. */
static void test_redirects(void **state)
{
    static const struct {
        const char *location, *told;
    } cases[] = {
        {"https://u:s3cret@other:8443/s3cret?s3cret#s3cret", ", this one leads to https://other:8443"},
        {"http://[::1]", ", this one leads to http://[::1]"},
        {"http://t0kent0kenh/", ", this one leads to http://***h"},
        {"/s3cret", ""},
        {"//other/s3cret", ""},
        {"ftp://s3cret", ""},
        {"https://h/s3cret@h", ""},
        {"https://h\ns3cret", ""},
        {"https://", ""},
        {"", ""},
    };
    struct str secrets[] = {STR("t0kent0ken")};
    const struct target target = {.section = "exporters.x", .secrets = {.at = secrets, .n = 1}};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct http_answer answer = {
            .status = 308, .grpc_status = -1, .location = str_of(cases[i].location)};
        struct verdict verdict;
        char want[200];
        snprintf(want, sizeof want,
                 "HTTP status 308 (redirects are not followed%s: see exporters.x.endpoint)",
                 cases[i].told);
        judge_answer(&verdict, &target, &(struct asked){0}, MG_OK, &answer, NULL, NOW_NS);
        assert_string_equal(verdict.result.reason, want);
    }
}

static void test_hints(void **state)
{
    static const struct {
        const char *text;
        uint64_t want;
    } cases[] = {
        {"", 0},
        {"1", 1000},
        {" 12 ", 12000},
        {"0", 0},
        {"86400", 86400000},
        {"86401", 86400000},
        {"18446744073709551615", 86400000},
        {"18446744073709551616", 0},
        {"-1", 0},
        {"1.5", 0},
        {"5s", 0},
        {"1, 2", 0},
        {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0},
        {"Mon, 07 Nov 1994 08:49:38 GMT", 86400000},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 86400000},
        {"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
        {"Sun Nov  6 08:49:47 1994", 10000},
        {"Sun Nov 16 08:49:47 1994", 86400000},
        {"Sun, 06 Nov 1994 08:49:47", 0},
        {"Sun, 06 Nov 1994 08:49:47 CET", 0},
        {"Sun, 06 Nov 1994 08:49:47 GMT and more", 0},
        {"Sun, 46 Nov 1994 08:49:47 GMT", 0},
        {"yesterday", 0},
        {"Sun, 06 Nov 1994 08:49:47 GMT                                                            "
         "        !",
         0},
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        if (judge_hint_ms(str_of(cases[i].text), NOW_NS) != cases[i].want)
            fail_msg("'%s': %u", cases[i].text,
                     (unsigned)judge_hint_ms(str_of(cases[i].text), NOW_NS));
}

/* google.rpc.Status with code 8 by google.rpc.status_pb2 (Python), base64 as gRPC sends it. */
#define DETAILS(rest) "CAgSBHNsb3c" rest
#define INFO(rest)    "odHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mb" rest

static void test_retry_info(void **state)
{
    static const struct {
        const char *details;
        bool has_info;
        uint64_t ms;
    } cases[] = {
        {DETAILS("aNgo" INFO("xIKCggIAhCAyrXuAQ")), true, 2500},
        {DETAILS(
             "aKwopdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkJhZFJlcXVlc3QaMAo" INFO("xIECgIIAw")),
         true, 3000},
        {DETAILS("aLgo" INFO("xICCgA")), true, 0},
        {DETAILS("aKgo" INFO("w")), true, 0},
        {DETAILS("aOQo" INFO("xINCgsI////////////AQ")), true, 0}, /* -1 s */
        {DETAILS("aNAo" INFO("xIICgYIgJTr3AM")), true, 86400000}, /* 10^9 s */
        {DETAILS("aNAo" INFO("xIICgYIgJTr3AM==")), false, 0},     /* wrong padding */
        {DETAILS(""), false, 0},
        {DETAILS("aMgopdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkJhZFJlcXVlc3QSBQoDCgF4"), false,
         0},
        {DETAILS("aNgo" INFO("xIKCggIAhCA")), false, 0}, /* cut */
        {"", false, 0},
        {"!", false, 0},
        {"////", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct target target = {0};
        const struct http_answer answer = {
            .status = 200, .grpc_status = 8, .details = str_of(cases[i].details)};
        struct verdict verdict;
        uint64_t ms = 0;
        if (judge_retry_info(answer.details, &ms) != cases[i].has_info || ms != cases[i].ms)
            fail_msg("row %zu: %u ms", i, (unsigned)ms);
        judge_answer(&verdict, &target, &(struct asked){.is_grpc = true}, MG_OK, &answer, NULL, NOW_NS);
        assert_int_equal(verdict.result.verdict, cases[i].has_info ? SEND_RETRY : SEND_REFUSED);
        assert_int_equal(verdict.result.retry_after_ms, cases[i].ms);
    }
}

/* Only what says that the service is not there waits for better rows, which are named. */
static void test_an_absent_service(void **state)
{
    static const struct {
        int status, grpc_status;
        const char *hint;
        enum send_verdict want;
        uint64_t want_ms;
    } cases[] = {
        {404, -1, NULL, SEND_RETRY, 0},      {405, -1, NULL, SEND_RETRY, 0},
        {404, -1, "7", SEND_RETRY, 7000},    {200, 12, NULL, SEND_RETRY, 0},
        {404, 12, NULL, SEND_RETRY, 0},      {400, -1, NULL, SEND_REFUSED, 0},
        {406, -1, NULL, SEND_REFUSED, 0},    {410, -1, NULL, SEND_REFUSED, 0},
        {415, -1, NULL, SEND_REFUSED, 0},    {501, -1, NULL, SEND_REFUSED, 0},
        {200, 3, NULL, SEND_REFUSED, 0},     {200, 5, NULL, SEND_REFUSED, 0},
        {405, 2, NULL, SEND_RETRY, 0},       {200, 13, NULL, SEND_REFUSED, 0},
    };
    static const char *const other_rows[] = {NULL, "x.y"};
    static const char *const told[] = {" (no such service there: see exporters.x.endpoint)",
                                       " (no such service there: see exporters.x.endpoint and x.y)"};
    const struct target target = {.section = "exporters.x"};
    (void)state;
    for (size_t n = 0; n < 2 * MG_COUNT(cases); n++) {
        size_t i = n / 2, other = n % 2;
        const struct asked asked = {.is_grpc = cases[i].grpc_status >= 0,
                                    .other_row = other_rows[other]};
        const struct http_answer answer = {.status = cases[i].status,
                                           .grpc_status = cases[i].grpc_status,
                                           .retry_after = str_of(cases[i].hint)};
        bool is_told;
        struct verdict verdict;
        judge_answer(&verdict, &target, &asked, MG_OK, &answer, NULL, NOW_NS);
        is_told = strstr(verdict.result.reason, told[other]) != NULL;
        if (verdict.result.verdict != cases[i].want ||
            verdict.result.retry_after_ms != cases[i].want_ms ||
            is_told != (cases[i].want == SEND_RETRY))
            fail_msg("row %zu: %d, %s", i, verdict.result.verdict, verdict.result.reason);
    }
}

/* The reason for a refusal whose body is this. */
static const char *reason_of(struct verdict *verdict, const struct target *target, const char *type,
                             struct str body)
{
    const struct http_answer answer = {
        .status = 400, .grpc_status = -1, .content_type = str_of(type), .body = body};
    judge_answer(verdict, target, &(struct asked){0}, MG_OK, &answer, NULL, NOW_NS);
    assert_int_equal(verdict->result.verdict, SEND_REFUSED);
    return verdict->result.reason;
}

static void test_what_the_peer_said(void **state)
{
    char long_text[500], want[300];
    const struct target target = {0};
    struct verdict verdict;
    struct buf status;
    (void)state;
    assert_string_equal(reason_of(&verdict, &target, "text/plain", STR("  two\r\n\tlines\n ")),
                        "HTTP status 400: two   lines");
    assert_string_equal(reason_of(&verdict, &target, "text/plain",
                                  STR("a\xff"
                                      "b")),
                        "HTTP status 400: a\xef\xbf\xbd"
                        "b");
    assert_string_equal(reason_of(&verdict, &target, "", STR("\0\1")), "HTTP status 400: ");
    memset(long_text, 'x', sizeof long_text);
    memset(want, 'x', sizeof want);
    want[200] = '\0';
    assert_string_equal(
        reason_of(&verdict, &target, "text/html", str_n(long_text, sizeof long_text)) + 17, want);
    long_text[199] = '\xc3', long_text[200] = '\xa4';
    want[199] = '\0';
    assert_string_equal(
        reason_of(&verdict, &target, "text/html", str_n(long_text, sizeof long_text)) + 17, want);

    buf_init(&status, 1000);
    wire_put_varint(&status, 1, 3);
    wire_put_bytes(&status, 2, STR("a span without an id"));
    assert_string_equal(reason_of(&verdict, &target, "application/x-protobuf", buf_str(&status)),
                        "HTTP status 400: a span without an id");
    assert_string_equal(
        reason_of(&verdict, &target, "application/x-protobuf", STR("\x12\x7fshort")),
        "HTTP status 400");
    buf_fini(&status);
}

static void test_secrets_are_not_repeated(void **state)
{
    struct str texts[] = {STR("Bearer abcdef123456"), STR("abcdef123456"), STR("hunter22")};
    const struct target target = {.secrets = {.at = texts, .n = MG_COUNT(texts)}};
    struct verdict verdict;
    char text[6000];
    (void)state;
    assert_string_equal(
        reason_of(&verdict, &target, "", STR("no Bearer abcdef123456, nor abcdef123456hunter22!")),
        "HTTP status 400: no ***, nor ******!");
    assert_string_equal(reason_of(&verdict, &target, "", STR("Bearer abcdef")),
                        "HTTP status 400: Bearer abcdef");
    for (size_t i = 0; i + 8 <= sizeof text; i += 8)
        memcpy(text + i, "hunter22", 8);
    assert_null(strstr(reason_of(&verdict, &target, "", str_n(text, sizeof text)), "hunter"));
    memset(text, ' ', sizeof text);
    memcpy(text + 195, "hunter22", 8); /* where the text is cut */
    memset(text, '-', 195);
    assert_null(strstr(reason_of(&verdict, &target, "", str_n(text, sizeof text)), "hunt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_what_is_too_large),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_an_absent_service),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_retry_info),
        cmocka_unit_test(test_what_the_peer_said),
        cmocka_unit_test(test_secrets_are_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
