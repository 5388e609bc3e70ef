/* A hot copy: what comes out is a store that opens, whatever the first one does meanwhile. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "store/tools.h"

enum { BLOCK = 512 };

struct sink {
    struct rig *rig;
    struct buf tar;
    uint64_t calls, fail_at;
    void (*meanwhile)(struct rig *rig);
};

static enum mg_err take(void *owner, const void *bytes, size_t len, struct mg_why *why)
{
    struct sink *sink = owner;

    if (++sink->calls == sink->fail_at)
        return mg_fail(why, MG_E_BUSY, "nobody reads any more");
    buf_put(&sink->tar, bytes, len);
    if (sink->meanwhile)
        sink->meanwhile(sink->rig);
    return MG_OK;
}

static void sink_init(struct sink *sink, struct rig *rig)
{
    *sink = (struct sink){ .rig = rig };
    buf_init(&sink->tar, (size_t)1 << 30);
}

static uint64_t octal(const char *field, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (uint64_t)(field[i] - '0');
    return value;
}

/* Puts the files of the tar into the rig's directory, whose store is closed. Returns how many. */
static unsigned unpack(struct rig *rig, const struct buf *tar)
{
    unsigned files = 0;
    size_t at = 0;

    assert_int_equal(tar->len % BLOCK, 0);
    rig_anew(rig);
    rig_abandon(rig);
    char path[160];
    rig_path(rig, 1, path);
    unlink(path);
    while (at < tar->len && tar->ptr[at]) {
        const char *header = tar->ptr + at;
        uint64_t bytes = octal(header + 124, 11), sum = 0;
        for (size_t i = 0; i < BLOCK; i++)
            sum += i >= 148 && i < 156 ? ' ' : (uint8_t)header[i];
        assert_int_equal(octal(header + 148, 6), sum);
        assert_memory_equal(header + 257, "ustar\0" "00", 8);
        assert_int_equal(octal(header + 100, 7), 0600);
        assert_true(strncmp(header, "store/", 6) == 0);
        (void)snprintf(path, sizeof path, "%s/%s", rig->store_dir, header + 6);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, tar->ptr + at + BLOCK, bytes), (ssize_t)bytes);
        close(fd);
        files++;
        at += BLOCK + (bytes + BLOCK - 1) / BLOCK * BLOCK;
    }
    assert_int_equal(tar->len - at, 2 * BLOCK);
    for (; at < tar->len; at++)
        assert_int_equal(tar->ptr[at], 0);
    return files;
}

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

/* Two sealed partitions, one closed and not sealed, the open one, an archive: spans 1 to 40. */
static void make(struct rig *rig)
{
    struct span span;
    const struct span *at = &span;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_roll(rig, 10);
    rig_span(1, 1, &span);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
}

static void a_copy_opens_and_has_everything(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    make(rig);
    sink_init(&sink, rig);
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    rig_expect(rig, 1, 40);
    rig_abandon(rig);
    assert_int_equal(unpack(rig, &sink.tar), 5);
    assert_int_equal(store_check_dir(rig->store_dir, no_line, NULL, &rig->why), MG_OK);
    rig_open(rig);
    rig_expect(rig, 1, 40);
    assert_int_equal(rig_find(rig, 1), 2);
    assert_int_equal(store_recovered(rig->store)->commit, 4);
    buf_fini(&sink.tar);
}

static void tar_itself_lists_it(void **state)
{
    struct rig *rig = *state;
    struct sink sink;
    char path[128], command[200], out[2048] = "";

    make(rig);
    sink_init(&sink, rig);
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    (void)snprintf(path, sizeof path, "%s/copy.tar", rig->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, sink.tar.ptr, sink.tar.len), (ssize_t)sink.tar.len);
    close(fd);
    (void)snprintf(command, sizeof command, "tar -tvf %s 2>&1", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, sizeof out - 1, pipe);
    out[n] = 0;
    int status = pclose(pipe);
    unlink(path);
    buf_fini(&sink.tar);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        printf("skipped: no tar\n");
        return;
    }
    assert_int_equal(status, 0);
    assert_non_null(strstr(out, "-rw-------"));
    assert_non_null(strstr(out, "store/000001.mdb"));
    assert_non_null(strstr(out, "store/pins.mdb"));
}

static void live_on(struct rig *rig)
{
    struct span span;
    const struct span *at = &span;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    RIG_SET(rig, disk_max, 1); /* everything old goes */
    store_retain(rig->store);
    RIG_SET(rig, disk_max, UINT64_C(1) << 40);
    handles_close_idle(&rig->store->handles, 0);
    rig_span(2, 1, &span);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
}

static void a_copy_is_consistent_while_the_store_lives_on(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    make(rig);
    sink_init(&sink, rig);
    sink.meanwhile = live_on;
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    rig_abandon(rig);
    unpack(rig, &sink.tar);
    assert_int_equal(store_check_dir(rig->store_dir, no_line, NULL, &rig->why), MG_OK);
    rig_open(rig);
    rig_expect(rig, 1, 40); /* what was committed while it began is of a partition that is not in it */
    assert_int_equal(rig_find(rig, 1), 2);
    buf_fini(&sink.tar);
}

static void a_reader_that_goes_ends_it(void **state)
{
    struct rig *rig = *state;
    struct sink sink;
    enum mg_err err;
    uint64_t n = 0;

    make(rig);
    do {
        sink_init(&sink, rig);
        sink.fail_at = ++n;
        err = store_backup(rig->store, take, &sink, &rig->why);
        assert_true(err == MG_OK || (err == MG_E_BUSY && strcmp(rig->why.text, "nobody reads any more") == 0));
        buf_fini(&sink.tar);
    } while (err != MG_OK);
    assert_true(n > 10);
    rig_expect(rig, 1, 40);
}

static void one_failure_is_told_and_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct sink sink;
    uint64_t n = 0;
    enum mg_err err;

    make(rig);
    rig_reopen(rig);
    do {
        sink_init(&sink, rig);
        handles_close_idle(&rig->store->handles, 0);
        kv_fault_at(++n);
        err = store_backup(rig->store, take, &sink, &rig->why);
        bool is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        assert_true(err == MG_OK ? is_over : rig->why.text[0] != 0);
        buf_fini(&sink.tar);
    } while (err != MG_OK);
    assert_true(n > 8);
    handles_close_idle(&rig->store->handles, 0);
    assert_int_equal(kv_env_count(), 2); /* the open one and the archive */
    rig_expect(rig, 1, 40);
}

/* Decisions of a sealed partition, of a closed one and of the open one, with a run that was appended and never committed. */
static void make_decided(struct rig *rig)
{
    uint64_t calls;

    for (unsigned i = 1; i <= 3; i++)
        rig_drop(rig, i, i);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 4, 4);
    rig_retain(rig);
    rig_move_wall(rig->conf.roll_ns);
    kv_fault_at(0);
    rig_drop(rig, 5, 5);
    rig_drop(rig, 6, 6);
    kv_fault_at(0);
    rig_drop(rig, 7, 7);
    calls = kv_fault_calls();
    rig_put_decided(rig, &(struct rig_decided){ .trace = 8, .outcome = rig_dropped(8) }, 1);
    store_hurry(rig->store);
    kv_fault_at(calls);
    rig_turn(rig);
    kv_fault_at(0);
}

static void expect_decided(struct rig *rig)
{
    for (int i = 1; i <= 7; i++)
        RIG_DECIDED(rig, (uint64_t)i, -i);
}

static void decide_on(struct rig *rig)
{
    rig_move_mono(60 * RIG_SECOND);
    rig_drop(rig, 100 + rig->position, 9);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 100 + rig->position, 9);
    rig_retain(rig);
}

static void decisions_are_copied(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    for (int meanwhile = 0; meanwhile < 2; meanwhile++) {
        make_decided(rig);
        sink_init(&sink, rig);
        sink.meanwhile = meanwhile ? decide_on : NULL;
        assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
        rig_abandon(rig);
        assert_int_equal(unpack(rig, &sink.tar), 6);
        assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(3));
        assert_int_equal(rig_why_bytes(rig, 2), decision_run_bytes(1));
        assert_int_equal(rig_why_bytes(rig, 3), 4 * decision_run_bytes(1)); /* with what was not committed */
        if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
            fail_msg("%s", rig->why.text);
        rig_open(rig);
        assert_int_equal(rig_why_bytes(rig, 3), 3 * decision_run_bytes(1)); /* now without */
        expect_decided(rig);
        RIG_UNDECIDED(rig, 8);
        rig_drop(rig, 9, 9);
        RIG_DECIDED(rig, 9, -9);
        buf_fini(&sink.tar);
        rig_abandon(rig);
        rig_anew(rig);
    }
}

/* The copy of the file has the commit, so its decisions are copied too. */
static void decisions_of_a_commit_that_failed_and_is_there_are_copied(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    rig_drop(rig, 1, 1);
    rig_put_decided(rig, &(struct rig_decided){ .trace = 2, .outcome = rig_dropped(2) }, 1);
    store_hurry(rig->store);
    kv_fault_commit_at(1);
    rig_turn(rig);
    kv_fault_commit_at(0);
    assert_int_equal(rig->n_done, 1);
    sink_init(&sink, rig);
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    rig_abandon(rig);
    (void)unpack(rig, &sink.tar);
    if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    rig_open(rig);
    assert_int_equal(store_recovered(rig->store)->c, 2);
    RIG_DECIDED(rig, 1, -1);
    RIG_DECIDED(rig, 2, -2);
    buf_fini(&sink.tar);
}

/* Retention takes a sealed partition's decisions while the copy is under way: the copy is without them, and sound. */
static void drop_decisions(struct rig *rig)
{
    RIG_SET(rig, decisions_max, 0);
    store_retain(rig->store);
}

static void decisions_that_go_meanwhile_are_not_copied(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    make_decided(rig);
    sink_init(&sink, rig);
    sink.meanwhile = drop_decisions;
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    rig_abandon(rig);
    (void)unpack(rig, &sink.tar);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    assert_int_equal(store_check_dir(rig->store_dir, no_line, NULL, &rig->why), MG_OK);
    rig_open(rig);
    RIG_UNDECIDED(rig, 1);
    RIG_DECIDED(rig, 7, -7);
    buf_fini(&sink.tar);
}

static void an_empty_store_is_copied_too(void **state)
{
    struct rig *rig = *state;
    struct sink sink;

    sink_init(&sink, rig);
    assert_int_equal(store_backup(rig->store, take, &sink, &rig->why), MG_OK);
    rig_abandon(rig);
    assert_int_equal(unpack(rig, &sink.tar), 1);
    rig_open(rig);
    rig_commit(rig, 10);
    rig_expect(rig, 1, 10);
    buf_fini(&sink.tar);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_copy_opens_and_has_everything), T(tar_itself_lists_it), T(a_copy_is_consistent_while_the_store_lives_on),
        T(a_reader_that_goes_ends_it), T(one_failure_is_told_and_leaves_nothing), T(an_empty_store_is_copied_too), T(decisions_are_copied),
        T(decisions_that_go_meanwhile_are_not_copied), T(decisions_of_a_commit_that_failed_and_is_there_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
