/* A backup as it passes by: whole, cut at every byte, with every byte of a header changed. */
#include "unit/command/test.h"
#include <stdio.h>
#include "base/buf.h"
#include "command/tar_check.h"

enum { BLOCK = TAR_BLOCK_BYTES };

static void put_sum(char *head)
{
    unsigned sum = 0;

    memset(head + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (uint8_t)head[i];
    snprintf(head + 148, 8, "%06o", sum);
}

static void put_head(struct buf *tar, const char *name, const char *size, char type)
{
    char head[BLOCK] = { 0 };

    snprintf(head, 100, "%s", name);
    memcpy(head + 124, size, strnlen(size, 12));
    head[156] = type;
    memcpy(head + 257, "ustar\00000", 8);
    put_sum(head);
    buf_put(tar, head, sizeof head);
}

static void put_zeroes(struct buf *tar, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_put_char(tar, '\0');
}

/* Contents of 600 bytes in two blocks. */
static void put_file(struct buf *tar, const char *name)
{
    put_head(tar, name, "00000001130", '0');
    for (size_t i = 0; i < 600; i++)
        buf_put_char(tar, (char)('a' + i % 26));
    put_zeroes(tar, 2 * BLOCK - 600);
}

static void put_whole(struct buf *tar)
{
    buf_init(tar, 1 << 20);
    put_file(tar, "store/000002.mdb");
    put_file(tar, "store/pins.mdb");
    put_zeroes(tar, 2 * BLOCK);
}

static enum mg_err look(struct str tar, size_t piece, struct tar_check *check)
{
    struct mg_why why = { "" };
    enum mg_err err = MG_OK;

    *check = (struct tar_check){ 0 };
    for (size_t at = 0; err == MG_OK && at < tar.len; at += piece)
        err = tar_check_add(check, str_n(tar.ptr + at, MG_MIN(piece, tar.len - at)), &why);
    if (err == MG_OK)
        err = tar_check_end(check, &why);
    assert_int_equal(err == MG_OK, why.text[0] == '\0');
    return err;
}

static void takes_a_whole_one(void **state)
{
    static const size_t pieces[] = { 1, 7, 511, 512, 513, 1000, 1 << 20 };
    struct tar_check check;
    struct buf tar;

    (void)state;
    put_whole(&tar);
    for (size_t i = 0; i < MG_COUNT(pieces); i++) {
        assert_int_equal(look(buf_str(&tar), pieces[i], &check), MG_OK);
        assert_int_equal(check.files, 2);
        assert_int_equal(check.bytes, 8 * BLOCK);
    }
    put_zeroes(&tar, 10 * BLOCK); /* other writers fill up to a record */
    assert_int_equal(look(buf_str(&tar), 100, &check), MG_OK);
    buf_fini(&tar);
}

static void notices_every_cut(void **state)
{
    struct tar_check check;
    struct buf tar;

    (void)state;
    put_whole(&tar);
    for (size_t len = 0; len < tar.len; len++)
        assert_int_equal(look(str_n(tar.ptr, len), BLOCK, &check), MG_E_FORMAT);
    buf_fini(&tar);
}

static void notices_every_changed_header(void **state)
{
    struct tar_check check;
    struct buf tar;

    (void)state;
    put_whole(&tar);
    for (size_t i = 0; i < BLOCK; i++) {
        if (i >= 148 + 6 && i < 148 + 8) /* behind the sum's digits: NUL or blank */
            continue;
        tar.ptr[i] ^= 1;
        if (look(buf_str(&tar), 1000, &check) != MG_E_FORMAT)
            fail_msg("byte %zu", i);
        tar.ptr[i] ^= 1;
    }
    tar.ptr[tar.len - 1] = 1; /* after the end nothing follows */
    assert_int_equal(look(buf_str(&tar), 1000, &check), MG_E_FORMAT);
    buf_fini(&tar);
}

static const struct {
    const char *name, *size;
    char type;
    enum mg_err want;
} heads[] = {
    { "store/1", "00000000000", '0', MG_OK },
    { "store/1", "0 ", '0', MG_OK },
    { "store/1", "000000000000", '0', MG_OK },
    { "store/1", "", '0', MG_E_FORMAT },
    { "store/1", "0000000000x", '0', MG_E_FORMAT },
    { "store/1", "-0", '0', MG_E_FORMAT },
    { "store/1", "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", '0', MG_E_FORMAT },
    { "store/1", "00000000000", '2', MG_E_FORMAT },
    { "store/1", "00000000000", '5', MG_E_FORMAT },
    { "store/", "00000000000", '0', MG_E_FORMAT },
    { "store/..", "00000000000", '0', MG_E_FORMAT },
    { "store/a/b", "00000000000", '0', MG_E_FORMAT },
    { "/etc/x", "00000000000", '0', MG_E_FORMAT },
    { "stor", "00000000000", '0', MG_E_FORMAT },
    { "", "00000000000", '0', MG_E_FORMAT },
};

static void believes_only_what_the_store_writes(void **state)
{
    struct tar_check check;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(heads); i++) {
        struct buf tar;
        buf_init(&tar, 1 << 20);
        put_head(&tar, heads[i].name, heads[i].size, heads[i].type);
        put_zeroes(&tar, 2 * BLOCK);
        if (look(buf_str(&tar), BLOCK, &check) != heads[i].want)
            fail_msg("row %zu: '%s' '%s' %c", i, heads[i].name, heads[i].size, heads[i].type);
        buf_fini(&tar);
    }
}

/* Beyond eleven octal digits, and all that twelve bytes can say: its end is never seen. */
static void reads_large_sizes(void **state)
{
    char size[12] = { (char)0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1 };
    struct tar_check check = { 0 };
    struct buf tar;

    (void)state;
    buf_init(&tar, 1 << 20);
    char head[BLOCK] = { 0 };
    memcpy(head, "store/1", 7);
    memcpy(head + 124, size, sizeof size);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    put_sum(head);
    buf_put(&tar, head, sizeof head);
    assert_int_equal(tar_check_add(&check, buf_str(&tar), NULL), MG_OK);
    assert_true(check.left == (UINT64_C(2) << 32) + BLOCK);
    assert_int_equal(tar_check_end(&check, NULL), MG_E_FORMAT);
    buf_fini(&tar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_whole_one),
        cmocka_unit_test(notices_every_cut),
        cmocka_unit_test(notices_every_changed_header),
        cmocka_unit_test(believes_only_what_the_store_writes),
        cmocka_unit_test(reads_large_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
