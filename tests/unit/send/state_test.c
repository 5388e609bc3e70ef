/* The state file: both directions, damage, and every call failing or being the last one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/bytes.h"
#include "codec/hash.h"
#include "send/state.h"
#include "unit/journal/memfs.h"

static struct memfs fs;

static int setup(void **state)
{
    (void)state;
    memfs_init(&fs);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(fs.open_handles, 0);
    memfs_fini(&fs);
    return 0;
}

/* Everything in it follows from the seed. */
static struct state make(uint64_t seed, size_t unfinished)
{
    struct state s = {.read_to = 5000 + seed, .noted = 6000 + seed, .has_hole = seed % 2, .recovered = UINT64_MAX - seed,
                      .batches = seed, .spans = seed * 100, .bytes = seed * 100000};
    for (size_t i = unfinished; i-- > 0;) { /* falling, as parked tickets may be in any order */
        struct ticket ticket = {.number = i + 1, .wall_ns = UINT64_MAX - i, .bytes = i * 3, .spans = (uint32_t)i};
        VEC_PUSH(&s.unfinished, ticket);
    }
    return s;
}

static void expect(const struct state *got, uint64_t seed, size_t unfinished)
{
    struct state want = make(seed, unfinished);
    assert_int_equal(got->read_to, want.read_to);
    assert_int_equal(got->noted, want.noted);
    assert_int_equal(got->has_hole, want.has_hole);
    assert_int_equal(got->recovered, want.recovered);
    assert_int_equal(got->batches, want.batches);
    assert_int_equal(got->spans, want.spans);
    assert_int_equal(got->bytes, want.bytes);
    assert_int_equal(got->unfinished.n, unfinished);
    for (size_t i = 0; i < unfinished; i++) {
        assert_int_equal(got->unfinished.at[i].number, i + 1);
        assert_int_equal(got->unfinished.at[i].wall_ns, UINT64_MAX - i);
        assert_int_equal(got->unfinished.at[i].bytes, i * 3);
        assert_int_equal(got->unfinished.at[i].spans, i);
    }
    state_fini(&want);
}

static enum mg_err save(uint64_t seed, size_t unfinished)
{
    struct state s = make(seed, unfinished);
    struct mg_why why = {""};
    enum mg_err err = state_save(&s, &fs.io, "/queue", &why);
    assert_true((err == MG_OK) == !why.text[0]);
    state_fini(&s);
    return err;
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    static const size_t unfinished[] = {0, 1, 2, 1088, STATE_UNFINISHED_MAX, 3};
    struct state s = {.read_to = 1};
    bool is_newer;
    assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK); /* absent */
    assert_int_equal(s.read_to, 0);
    for (size_t i = 0; i < MG_COUNT(unfinished); i++) { /* the last is much shorter than the one before */
        assert_int_equal(save(i, unfinished[i]), MG_OK);
        assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK);
        expect(&s, i, unfinished[i]);
        state_fini(&s);
    }
    assert_int_equal(memfs_count(&fs, ".new"), 0);
}

static void a_leftover_is_written_over(void **state)
{
    (void)state;
    struct state s;
    bool is_newer;
    assert_int_equal(save(1, 1000), MG_OK);
    memfs_faults(&fs, 4, 0); /* open, write, sync, close: the name is not changed */
    assert_int_equal(save(2, 2000), MG_E_IO);
    memfs_faults(&fs, 0, 0);
    assert_int_equal(memfs_count(&fs, ".new"), 1);
    assert_int_equal(save(3, 1), MG_OK);
    assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK);
    expect(&s, 3, 1);
    state_fini(&s);
}

static void damage_is_seen_wherever_it_is(void **state)
{
    (void)state;
    struct state s = {.read_to = 77};
    struct mg_why why = {""};
    bool is_newer;
    assert_int_equal(save(1, 20), MG_OK);
    struct memfs_file *file = memfs_file(&fs, "state");
    for (size_t i = 0; i < file->cache.n; i++) {
        file->cache.at[i] ^= 0x40;
        assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, &why), MG_E_FORMAT);
        assert_false(is_newer);
        assert_non_null(strstr(why.text, "/queue/state"));
        file->cache.at[i] ^= 0x40;
    }
    for (size_t n = file->cache.n; n-- > 0;) {
        file->cache.n = n;
        assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, &why), MG_E_FORMAT);
    }
    assert_int_equal(s.read_to, 77);
}

/* Checksums that are right over a payload that is not. */
static void a_forged_payload_is_refused(void **state)
{
    (void)state;
#define PAYLOAD(bytes) { bytes, sizeof(bytes) - 1 }
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        PAYLOAD(""),
        PAYLOAD("\x05\x05\x05\x00\x00\x00"),                 /* no number of unfinished */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x01"),             /* none follows */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x01\x01\x01\x01"), /* cut */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x01\x00\x01\x01\x01"), /* number 0 */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x01\x06\x01\x01\x01"), /* above read_to */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x02\x05\x01\x01\x01\x01\x01\x01\x01"),
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x00\x00"),         /* something follows */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x81\x20"),         /* 4097 */
        PAYLOAD("\x05\x05\x05\x00\x00\x00\x01\x01\x80\x80\x80\x80\x10\x01\x01"), /* 2^32 spans */
        PAYLOAD("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05\x05\x00\x00\x00\x00"), /* position 2^64 - 1 */
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_int_equal(save(1, 0), MG_OK);
        struct memfs_file *file = memfs_file(&fs, "state");
        size_t len = 16 + cases[i].len;
        VEC_RESERVE(&file->cache, len + 8);
        file->cache.n = len + 8;
        put_le32(file->cache.at + 12, (uint32_t)cases[i].len);
        if (cases[i].len > 0)
            memcpy(file->cache.at + 16, cases[i].bytes, cases[i].len);
        put_le64(file->cache.at + len, hash64(file->cache.at, len, 1));
        struct state s = {0};
        bool is_newer;
        assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_E_FORMAT);
        assert_false(is_newer);
        assert_int_equal(s.unfinished.n, 0);
    }
}

static void a_later_version_is_told_apart(void **state)
{
    (void)state;
    struct state s = {0};
    bool is_newer;
    assert_int_equal(save(1, 0), MG_OK);
    struct memfs_file *file = memfs_file(&fs, "state");
    size_t len = 16 + get_le32(file->cache.at + 12);
    put_le32(file->cache.at + 8, 2);
    put_le64(file->cache.at + len, hash64(file->cache.at, len, 2));
    assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_E_FORMAT);
    assert_true(is_newer);
}

static void more_than_fits_is_not_saved(void **state)
{
    (void)state;
    struct state s, big = make(1, STATE_UNFINISHED_MAX);
    bool is_newer;
    assert_int_equal(save(2, 1), MG_OK);
    VEC_PUSH(&big.unfinished, (struct ticket){.number = 4097});
    assert_int_equal(state_save(&big, &fs.io, "/queue", NULL), MG_E_TOO_BIG);
    assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK);
    expect(&s, 2, 1);
    state_fini(&s);
    state_fini(&big);
}

/* The n-th call fails, or is where the power goes: the file is the old or the new one. */
static void it_is_always_whole(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            bool was_met = true;
            for (uint64_t nth = 1; was_met; nth++) {
                struct random random;
                struct state s = {0};
                bool is_newer;
                random_init(&random, seed);
                memfs_fini(&fs);
                memfs_init(&fs);
                assert_int_equal(save(1, 30), MG_OK);
                assert_int_equal(save(2, 300), MG_OK);
                memfs_faults(&fs, cut ? 0 : nth, cut ? nth : 0);
                enum mg_err err = save(3, 70);
                was_met = fs.calls >= nth;
                memfs_faults(&fs, 0, 0);
                memfs_power_cut(&fs, &random);
                assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK);
                if (err == MG_OK || s.read_to == 5003)
                    expect(&s, 3, 70);
                else
                    expect(&s, 2, 300);
                state_fini(&s);
            }
        }
    }
}

static void what_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct state s;
    struct mg_why why = {""};
    bool is_newer;
    assert_int_equal(save(1, 1), MG_OK);
    for (uint64_t nth = 1; nth <= 2; nth++) { /* open, read */
        memfs_faults(&fs, nth, 0);
        assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, &why), MG_E_IO);
        assert_non_null(strstr(why.text, "/queue/state"));
    }
    memfs_faults(&fs, 0, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_saved_is_loaded),       TEST(a_leftover_is_written_over),
        TEST(damage_is_seen_wherever_it_is), TEST(a_forged_payload_is_refused),
        TEST(a_later_version_is_told_apart), TEST(more_than_fits_is_not_saved),
        TEST(it_is_always_whole),            TEST(what_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
