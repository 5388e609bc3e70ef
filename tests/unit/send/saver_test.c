/* The state file's thread: what was given is written, the newest wins, and failures are told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "send/saver.h"
#include "unit/journal/memfs.h"

static struct memfs fs;
static struct saver *saver;
static struct { /* what on_saved told */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n;
} told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void on_saved(void *owner)
{
    assert_ptr_equal(owner, &fs);
    pthread_mutex_lock(&told.lock);
    told.n++;
    pthread_cond_signal(&told.changed);
    pthread_mutex_unlock(&told.lock);
}

static void await_told(unsigned n)
{
    pthread_mutex_lock(&told.lock);
    while (told.n < n)
        pthread_cond_wait(&told.changed, &told.lock);
    pthread_mutex_unlock(&told.lock);
}

static int setup(void **state)
{
    (void)state;
    memfs_init(&fs);
    told.n = 0;
    saver = saver_new(&(struct saver_options){.dir = "/queue", .io = &fs.io, .on_saved = on_saved, .owner = &fs});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    saver_stop(saver);
    saver_free(&saver);
    assert_null(saver);
    assert_int_equal(fs.open_handles, 0);
    memfs_fini(&fs);
    return 0;
}

static void give(uint64_t read_to)
{
    struct state s = {.read_to = read_to};
    VEC_PUSH(&s.unfinished, (struct ticket){.number = 1});
    saver_give(saver, &s);
    assert_null(s.unfinished.at); /* taken */
}

static uint64_t saved(void)
{
    struct state s = {0};
    bool is_newer;
    assert_int_equal(state_load(&s, &fs.io, "/queue", &is_newer, NULL), MG_OK);
    uint64_t read_to = s.read_to;
    state_fini(&s);
    return read_to;
}

static void what_is_given_is_written(void **state)
{
    (void)state;
    enum mg_err err = MG_E_IO;
    struct mg_why why;
    assert_int_equal(saver_start(saver, NULL), MG_OK);
    assert_false(saver_take(saver, &err, &why));
    for (uint64_t i = 1; i <= 3; i++) {
        give(i);
        await_told((unsigned)i);
        assert_true(saver_is_idle(saver));
        assert_int_equal(saved(), i);
        assert_true(saver_take(saver, &err, &why));
        assert_int_equal(err, MG_OK);
        assert_false(saver_take(saver, &err, &why)); /* once */
    }
}

static void the_newest_is_written_at_the_end(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        give(i); /* nobody writes yet: the last one stays */
    assert_false(saver_is_idle(saver));
    assert_int_equal(saver_start(saver, NULL), MG_OK);
    saver_stop(saver);
    assert_int_equal(told.n, 1);
    assert_int_equal(saved(), 5);
    saver_stop(saver); /* fine */
}

static void what_nobody_wrote_is_freed(void **state)
{
    (void)state;
    give(1);
    saver_stop(saver); /* it never ran */
    assert_null(memfs_file(&fs, "state"));
}

static void a_failure_is_told_and_the_next_one_is_written(void **state)
{
    (void)state;
    enum mg_err err = MG_OK;
    struct mg_why why = {""};
    assert_int_equal(saver_start(saver, NULL), MG_OK);
    memfs_faults(&fs, 2, 0); /* the write */
    give(1);
    await_told(1);
    assert_true(saver_take(saver, &err, &why));
    assert_int_equal(err, MG_E_IO);
    assert_non_null(strstr(why.text, "/queue/state.new"));
    assert_null(memfs_file(&fs, "state"));
    memfs_faults(&fs, 0, 0);
    give(2);
    await_told(2);
    assert_true(saver_take(saver, &err, &why));
    assert_int_equal(err, MG_OK);
    assert_int_equal(saved(), 2);
}

static void more_than_fits_is_told(void **state)
{
    (void)state;
    enum mg_err err = MG_OK;
    struct mg_why why = {""};
    struct state s = {.read_to = STATE_UNFINISHED_MAX + 1};
    for (uint64_t i = 0; i <= STATE_UNFINISHED_MAX; i++)
        VEC_PUSH(&s.unfinished, (struct ticket){.number = i + 1});
    assert_int_equal(saver_start(saver, NULL), MG_OK);
    saver_give(saver, &s);
    await_told(1);
    assert_true(saver_take(saver, &err, &why));
    assert_int_equal(err, MG_E_TOO_BIG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_given_is_written),
        TEST(the_newest_is_written_at_the_end),
        TEST(what_nobody_wrote_is_freed),
        TEST(a_failure_is_told_and_the_next_one_is_written),
        TEST(more_than_fits_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
