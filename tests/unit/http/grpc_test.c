#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/grpc.h"

static const struct {
    const char *text;
    enum mg_err want;
    uint64_t ns;
} timeouts[] = {
    { "1H", MG_OK, 3600000000000u },
    { "2M", MG_OK, 120000000000u },
    { "3S", MG_OK, 3000000000u },
    { "10000m", MG_OK, 10000000000u },
    { "5u", MG_OK, 5000 },
    { "6n", MG_OK, 6 },
    { "0S", MG_OK, 0 },
    { "00000001n", MG_OK, 1 },
    { "99999999M", MG_OK, 5999999940000000000u },
    { "99999999H", MG_OK, INT64_MAX },
    { "2562047H", MG_OK, 2562047u * 3600000000000u },
    { "2562048H", MG_OK, INT64_MAX },
    { "", MG_E_FORMAT, 0 },
    { "1", MG_E_FORMAT, 0 },
    { "S", MG_E_FORMAT, 0 },
    { "1s", MG_E_FORMAT, 0 },
    { "1h", MG_E_FORMAT, 0 },
    { "1x", MG_E_FORMAT, 0 },
    { "1SS", MG_E_FORMAT, 0 },
    { "-1S", MG_E_FORMAT, 0 },
    { "+1S", MG_E_FORMAT, 0 },
    { " 1S", MG_E_FORMAT, 0 },
    { "1 S", MG_E_FORMAT, 0 },
    { "1.5S", MG_E_FORMAT, 0 },
    { "100000000S", MG_E_FORMAT, 0 },
    { "000000001S", MG_E_FORMAT, 0 },
};

static void reads_timeouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(timeouts); i++) {
        uint64_t ns = 77;
        enum mg_err err = grpc_timeout_parse(str_of(timeouts[i].text), &ns);
        if (err != timeouts[i].want)
            fail_msg("'%s': %s", timeouts[i].text, mg_err_name(err));
        assert_int_equal(ns, err == MG_OK ? timeouts[i].ns : 77);
    }
}

static const struct {
    struct str plain, escaped;
} messages[] = {
    { STR_INIT(""), STR_INIT("") },
    { STR_INIT("plain ~text"), STR_INIT("plain ~text") },
    { STR_INIT("100%"), STR_INIT("100%25") },
    { STR_INIT("a\nb\tc"), STR_INIT("a%0Ab%09c") },
    { STR_INIT("\x7f\x1f "), STR_INIT("%7F%1F ") },
    { STR_INIT("\xc3\xa4\0"), STR_INIT("%C3%A4%00") },
    { STR_INIT("%41"), STR_INIT("%2541") },
};
static const struct {
    struct str escaped, plain;
} sloppy[] = {
    { STR_INIT("%"), STR_INIT("%") },       { STR_INIT("%4"), STR_INIT("%4") },
    { STR_INIT("%4x"), STR_INIT("%4x") },   { STR_INIT("%%41"), STR_INIT("%A") },
    { STR_INIT("100%"), STR_INIT("100%") }, { STR_INIT("%c3%a4"), STR_INIT("\xc3\xa4") },
    { STR_INIT("\xff"), STR_INIT("\xff") },
};

static void assert_bytes(struct str got, struct str want)
{
    if (!str_eq(got, want))
        fail_msg("got '%.*s', want '%.*s'", STR_ARG(got), STR_ARG(want));
}

static void escapes_messages(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 256);

    for (size_t i = 0; i < MG_COUNT(messages); i++) {
        buf_clear(&out);
        grpc_message_escape(&out, messages[i].plain);
        assert_bytes(buf_str(&out), messages[i].escaped);
        buf_clear(&out);
        grpc_message_unescape(&out, messages[i].escaped);
        assert_bytes(buf_str(&out), messages[i].plain);
    }
    for (size_t i = 0; i < MG_COUNT(sloppy); i++) {
        buf_clear(&out);
        grpc_message_unescape(&out, sloppy[i].escaped);
        assert_bytes(buf_str(&out), sloppy[i].plain);
    }
    buf_fini(&out);
}

static const struct {
    struct str bytes;
    enum mg_err want;
    struct str message;
    bool compressed;
} frames[] = {
    { STR_INIT("\0\0\0\0\0"), MG_OK, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0\3abc"), MG_OK, STR_INIT("abc"), false },
    { STR_INIT("\1\0\0\0\1z"), MG_OK, STR_INIT("z"), true },
    { STR_INIT(""), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0\3ab"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0\3abcd"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0\0\0\0\0\0\0"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\0\0\0\1a\0\0\0\0\1b"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\2\0\0\0\1z"), MG_E_FORMAT, STR_INIT(""), false },
    { STR_INIT("\0\xff\xff\xff\xff"
               "a"),
      MG_E_FORMAT, STR_INIT(""), false },
};

static void takes_one_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(frames); i++) {
        struct str message = STR("untouched");
        bool compressed = true;
        enum mg_err err = grpc_unframe(frames[i].bytes, &message, &compressed);
        if (err != frames[i].want)
            fail_msg("row %zu: %s", i, mg_err_name(err));
        assert_bytes(message, err == MG_OK ? frames[i].message : STR("untouched"));
        if (err == MG_OK)
            assert_int_equal(compressed, frames[i].compressed);
    }
}

static void writes_prefixes(void **state)
{
    (void)state;
    uint8_t prefix[GRPC_PREFIX_BYTES];

    grpc_prefix(prefix, false, 0x01020304);
    assert_memory_equal(prefix, "\0\1\2\3\4", 5);
    grpc_prefix(prefix, true, UINT32_MAX);
    assert_memory_equal(prefix, "\1\xff\xff\xff\xff", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_timeouts),
        cmocka_unit_test(escapes_messages),
        cmocka_unit_test(takes_one_message),
        cmocka_unit_test(writes_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
