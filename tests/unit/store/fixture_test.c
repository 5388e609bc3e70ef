/* A store as an earlier build wrote it (tests/fixtures/store-v1): every later one must read it, to the last field.
 *
 * MGTEST_MAKE_FIXTURE=DIR writes such a store anew into an empty directory and prints its figures; that is for a new format
 * version, which gets a fixture of its own beside the old ones. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/hash.h"
#include "store/tools.h"

static const char *const names[] = { "000001.mdb", "000002.mdb", "pins.mdb" };

/* What the fixture holds. */
#define FIXTURE_LINES 71
#define FIXTURE_DIGEST UINT64_C(0x6dc153f091decd4d)
#define FIXTURE_CALLS 11

struct digest { struct hash64_stream *stream; uint64_t lines; };

static void on_line(void *owner, struct str line)
{
    struct digest *digest = owner;

    hash64_add(digest->stream, line.ptr, line.len);
    hash64_add(digest->stream, "\n", 1);
    digest->lines++;
}

static uint64_t digest_of(struct rig *rig, uint64_t *lines)
{
    struct digest digest = { .stream = hash64_new() };
    uint64_t value;

    hash64_begin(digest.stream, 0);
    if (store_dump_dir(rig->store_dir, NULL, on_line, &digest, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    value = hash64_end(digest.stream);
    *lines = digest.lines;
    hash64_free(&digest.stream);
    return value;
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    if (in < 0 || out < 0)
        fail_msg("%s to %s", from, to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static void copy_all(const char *from, const char *to)
{
    char source[512], target[512];

    for (size_t i = 0; i < MG_COUNT(names); i++) {
        (void)snprintf(source, sizeof source, "%s/%s", from, names[i]);
        (void)snprintf(target, sizeof target, "%s/%s", to, names[i]);
        copy_file(source, target);
    }
}

/* Every kind of field, strays, late parts, edges, a sealed partition, an open one and an archive. */
static void make(struct rig *rig, const char *to)
{
    struct arena arena = { 0 };
    struct random random;
    struct span spans[40], pinned;
    const struct span *at = &pinned;

    random_init(&random, 20);
    store_snapshot(rig->store, 12, 11, 10, STR("counters"));
    for (unsigned i = 0; i < MG_COUNT(spans); i++) {
        random_span(&random, 4, &arena, &spans[i]);
        if (i % 2) /* not stray */
            spans[i].start_ns = RIG_WALL + i;
    }
    rig_put_spans(rig, spans, MG_COUNT(spans));
    store_hurry(rig->store);
    rig_turn(rig);
    rig->spans = 1000;
    rig_commit(rig, 10);
    rig_roll(rig, 20);
    rig_retain(rig);
    rig_span(1001, 201, &pinned);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
    rig_abandon(rig);
    copy_all(rig->store_dir, to);
    rig_open(rig);
    arena_fini(&arena);
}

static void on_edge(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)parent;
    (void)child;
    (void)errors;
    *(uint64_t *)owner += calls;
}

static uint64_t calls_of(struct rig *rig)
{
    struct store_view *view = store_view_new(rig->store);
    uint64_t calls = 0;

    assert_int_equal(store_view_edges(view, 0, UINT32_MAX, on_edge, &calls, &rig->why), MG_OK);
    store_view_free(&view);
    return calls;
}

static void use_fixture(struct rig *rig, const char *from)
{
    rig_abandon(rig);
    copy_all(from, rig->store_dir);
}

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

static void the_fixture_is_read_to_the_last_field(void **state)
{
    struct rig *rig = *state;
    uint64_t lines, digest;

    use_fixture(rig, MGTEST_FIXTURES "/store-v1");
    if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    digest = digest_of(rig, &lines);
    rig_open(rig);
    uint64_t calls = calls_of(rig);
    if (lines != FIXTURE_LINES || digest != FIXTURE_DIGEST || calls != FIXTURE_CALLS)
        fail_msg("%llu lines, digest %#llx, %llu calls", (unsigned long long)lines, (unsigned long long)digest, (unsigned long long)calls);
}

static void the_fixture_is_served_and_written_on(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    size_t strays = 0;

    use_fixture(rig, MGTEST_FIXTURES "/store-v1");
    rig_open(rig);
    const struct store_state *recovered = store_recovered(rig->store);
    assert_int_equal(recovered->commit, 3);
    assert_int_equal(recovered->p, 12);
    assert_int_equal(recovered->watermark, 11);
    assert_true(str_eq(recovered->snapshot, STR("counters")));
    assert_int_equal(rig_partitions(rig), 2);
    assert_true(rig_partition(rig, 0)->says_sealed);
    assert_int_equal(rig_find(rig, 201), 2); /* and the archive */
    assert_int_equal(rig_find(rig, 203), 1);
    assert_int_equal(rig_find(rig, 9999), 0);
    struct store_view *view = store_view_new(rig->store);
    size_t n = store_view_blocks(view, &blocks);
    for (size_t i = 0; i < n; i++)
        strays += blocks[i].is_stray;
    store_view_free(&view);
    assert_true(strays >= 1 && strays < n);
    rig->spans = 5000;
    rig->position = 10;
    rig_move_wall(2 * rig->conf.roll_ns);
    rig_commit(rig, 10);
    assert_int_equal(rig_find(rig, 1001), 1);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->commit, 4);
}

static void make_fixture(void **state)
{
    struct rig *rig = *state;

    make(rig, getenv("MGTEST_MAKE_FIXTURE"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = { T(the_fixture_is_read_to_the_last_field), T(the_fixture_is_served_and_written_on) };
    const struct CMUnitTest makers[] = { T(make_fixture) };

    if (getenv("MGTEST_MAKE_FIXTURE"))
        return cmocka_run_group_tests(makers, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
