/* The environment, its transactions and cursors on a real file in a private directory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "kv/kv.h"

static const char *const tables[] = {"blocks", "meta"};
enum { BLOCKS, META };

static char dir[64], path[96], link_path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/mg-kv-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/part.mdb", dir);
    snprintf(link_path, sizeof link_path, "%s/alias.mdb", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char lock[128];
    kv_fault_at(0);
    kv_fault_commit_at(0);
    assert_int_equal(kv_env_count(), 0);
    const char *const files[] = {path, link_path};
    for (size_t i = 0; i < MG_COUNT(files); i++) {
        snprintf(lock, sizeof lock, "%s-lock", files[i]);
        unlink(lock);
        unlink(files[i]);
    }
    return rmdir(dir);
}

static struct kv_options options(bool sealed, bool create)
{
    return (struct kv_options){.path = path,
                               .map_bytes = 1 << 20,
                               .tables = tables,
                               .n_tables = MG_COUNT(tables),
                               .sealed = sealed,
                               .create = create};
}

static struct kv_env *env_open(bool sealed, bool create)
{
    struct kv_env *env;
    struct mg_why why = {""};
    struct kv_options o = options(sealed, create);
    enum mg_err err = kv_env_open(&env, &o, &why);
    if (err != MG_OK)
        fail_msg("%s", why.text);
    return env;
}

static struct kv_txn *begin(struct kv_env *env, bool write)
{
    struct kv_txn *txn;
    assert_int_equal(kv_begin(&txn, env, write, NULL), MG_OK);
    return txn;
}

static void fill(struct kv_env *env)
{
    struct kv_txn *txn = begin(env, true);
    assert_int_equal(kv_put(txn, BLOCKS, STR("b"), STR("two"), NULL), MG_OK);
    assert_int_equal(kv_put(txn, BLOCKS, STR("a"), STR("one"), NULL), MG_OK);
    assert_int_equal(kv_put(txn, BLOCKS, STR("d"), STR("four"), NULL), MG_OK);
    assert_int_equal(kv_put(txn, META, STR("c"), STR("seven"), NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    assert_null(txn);
}

static void values_survive_and_tables_are_apart(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    fill(env);
    kv_env_unref(&env);
    assert_null(env);

    for (int sealed = 0; sealed < 2; sealed++) {
        env = env_open(sealed, false);
        struct kv_txn *txn = begin(env, false);
        struct str value;
        assert_true(kv_get(txn, BLOCKS, STR("a"), &value));
        assert_true(str_eq(value, STR("one")));
        assert_true(kv_get(txn, META, STR("c"), &value));
        assert_false(kv_get(txn, META, STR("a"), &value));
        assert_false(kv_get(txn, BLOCKS, STR("c"), &value));
        assert_int_equal(kv_entries(txn, BLOCKS), 3);
        assert_int_equal(kv_entries(txn, META), 1);
        assert_true(kv_env_disk_bytes(env) >= 4096 * 4);
        kv_will_need(value.ptr, value.len);
        kv_will_need(NULL, 0);
        kv_abort(&txn);
        kv_env_unref(&env);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void an_abort_leaves_nothing(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    struct kv_txn *txn = begin(env, true);
    assert_int_equal(kv_put(txn, META, STR("x"), STR("y"), NULL), MG_OK);
    kv_abort(&txn);
    assert_null(txn);
    kv_abort(&txn);
    txn = begin(env, false);
    assert_int_equal(kv_entries(txn, META), 0);
    kv_abort(&txn);
    kv_env_unref(&env);
}

static void walks_go_in_key_order(void **state)
{
    (void)state;
    static const struct {
        const char *from, *keys;
    } cases[] = {
        {NULL, "abd"}, {"", "abd"}, {"a", "abd"}, {"aa", "bd"}, {"c", "d"}, {"d", "d"}, {"e", ""},
    };
    struct kv_env *env = env_open(false, true);
    fill(env);
    struct kv_txn *txn = begin(env, false);
    struct str key, value;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct kv_cursor *cursor = NULL;
        char seen[8] = "";
        size_t n = 0;
        bool more = cases[i].from
                        ? kv_seek(txn, BLOCKS, &cursor, str_of(cases[i].from), &key, &value)
                        : kv_next(txn, BLOCKS, &cursor, &key, &value);
        for (; more; more = kv_next(txn, BLOCKS, &cursor, &key, &value))
            seen[n++] = key.ptr[0];
        assert_string_equal(seen, cases[i].keys);
        assert_null(cursor);
    }
    struct kv_cursor *cursor = NULL;
    assert_true(kv_next(txn, BLOCKS, &cursor, &key, &value));
    kv_cursor_end(&cursor);
    assert_null(cursor);
    kv_cursor_end(&cursor);
    assert_true(kv_seek_last(txn, BLOCKS, &key, &value));
    assert_true(str_eq(key, STR("d")) && str_eq(value, STR("four")));
    kv_abort(&txn);
    kv_env_unref(&env);
}

static void an_empty_table_has_no_first_and_no_last(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    struct kv_txn *txn = begin(env, false);
    struct kv_cursor *cursor = NULL;
    struct str key, value;
    uint64_t errors = kv_read_errors();
    assert_false(kv_next(txn, BLOCKS, &cursor, &key, &value));
    assert_false(kv_seek_last(txn, BLOCKS, &key, &value));
    assert_int_equal(kv_read_errors(), errors);
    kv_abort(&txn);
    kv_env_unref(&env);
}

static void appends_must_rise(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    struct kv_txn *txn = begin(env, true);
    void *room;
    char key[8];
    for (uint64_t i = 1; i <= 3; i++) {
        put_be64(key, i);
        assert_int_equal(kv_append(txn, BLOCKS, str_n(key, 8), 10000, &room, NULL), MG_OK);
        memset(room, (int)i, 10000);
    }
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);

    txn = begin(env, true);
    struct str value;
    assert_true(kv_get(txn, BLOCKS, str_n(key, 8), &value));
    assert_int_equal(value.len, 10000);
    assert_int_equal(value.ptr[9999], 3);
    assert_int_equal(kv_append(txn, BLOCKS, str_n(key, 8), 1, &room, NULL), MG_E_INTERNAL);
    struct mg_why why;
    assert_int_equal(kv_commit(&txn, &why), MG_E_IO); /* a failed put spoils the transaction */
    kv_env_unref(&env);
}

static void keys_have_limits(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        enum mg_err want;
    } cases[] = {
        {0, MG_E_FORMAT}, {1, MG_OK}, {510, MG_OK}, {511, MG_OK}, {512, MG_E_FORMAT},
    };
    struct kv_env *env = env_open(false, true);
    char key[512] = {0};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct kv_txn *txn = begin(env, true);
        assert_int_equal(kv_put(txn, META, str_n(key, cases[i].len), STR("v"), NULL),
                         cases[i].want);
        kv_abort(&txn);
    }
    kv_env_unref(&env);
}

static void a_full_map_is_too_big_and_only_that_transaction_is_lost(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    fill(env);
    struct kv_txn *txn = begin(env, true);
    void *room;
    assert_int_equal(kv_append(txn, META, STR("m"), 2 << 20, &room, NULL), MG_E_TOO_BIG);
    assert_int_equal(kv_commit(&txn, NULL), MG_E_IO);
    txn = begin(env, true);
    assert_int_equal(kv_append(txn, META, STR("m"), 1 << 18, &room, NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    kv_env_unref(&env);
}

static void one_file_is_written_by_one_environment(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true), *second;
    struct kv_options o = options(false, false);
    assert_int_equal(kv_env_open(&second, &o, NULL), MG_E_BUSY);
    o.create = true;
    assert_int_equal(kv_env_open(&second, &o, NULL), MG_E_BUSY);
    assert_int_equal(link(path, link_path), 0);
    o.path = link_path;
    assert_int_equal(kv_env_open(&second, &o, NULL), MG_E_BUSY);
    kv_env_unref(&env);
    env = env_open(false, false);
    kv_env_unref(&env);
}

static void environments_are_counted(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    fill(env);
    struct kv_env *other = kv_env_ref(env);
    struct kv_txn *txn = begin(env, false);
    assert_int_equal(kv_env_count(), 1);
    kv_env_unref(&env);
    kv_env_unref(&other);
    kv_env_unref(&other); /* NULL is fine */
    assert_int_equal(kv_env_count(), 1);
    struct str value;
    assert_int_equal(unlink(path), 0); /* retention: unlinked while it is read */
    assert_true(kv_get(txn, BLOCKS, STR("a"), &value));
    kv_abort(&txn);
    assert_int_equal(kv_env_count(), 0);
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    static const char *const more[] = {"blocks", "meta", "third"};
    struct kv_env *env;
    struct kv_options o = options(true, false);
    struct mg_why why;
    assert_int_equal(kv_env_open(&env, &o, &why), MG_E_ABSENT);
    o.sealed = false;
    assert_int_equal(kv_env_open(&env, &o, &why), MG_E_ABSENT);
    assert_int_not_equal(access(path, F_OK), 0); /* not created by the attempt */

    env = env_open(false, true);
    kv_env_unref(&env);
    o = options(true, false);
    o.tables = more;
    o.n_tables = 3;
    assert_int_equal(kv_env_open(&env, &o, &why), MG_E_ABSENT);
    assert_non_null(strstr(why.text, "third"));

    int fd = open(path, O_WRONLY);
    char junk[8192];
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
    close(fd);
    o = options(true, false);
    assert_int_equal(kv_env_open(&env, &o, &why), MG_E_FORMAT);
    o = options(false, false);
    assert_int_equal(kv_env_open(&env, &o, &why), MG_E_FORMAT);
    assert_non_null(strstr(why.text, "part.mdb"));
}

/* Everything once; the first failure ends it. *stored: the commit said yes. */
static enum mg_err scenario(bool *stored)
{
    struct kv_options o = options(false, true);
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    MG_TRY(kv_env_open(&env, &o, NULL));
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    MG_TRY(kv_begin(&txn, env, true, NULL));
    MG_TRY(kv_put(txn, META, STR("k"), STR("v"), NULL));
    void *room;
    MG_TRY(kv_append(txn, BLOCKS, STR("b"), 4080, &room, NULL));
    memset(room, 1, 4080);
    MG_TRY(kv_commit(&txn, NULL));
    *stored = true;
    MG_TRY(kv_begin(&txn, env, false, NULL));
    uint64_t errors = kv_read_errors();
    struct str key, value;
    struct kv_cursor *cursor = NULL;
    if (!kv_get(txn, META, STR("k"), &value) || !kv_seek_last(txn, META, &key, &value) ||
        kv_entries(txn, META) != 1 || !kv_next(txn, BLOCKS, &cursor, &key, &value)) {
        assert_int_equal(kv_read_errors(), errors + 1);
        return MG_E_IO;
    }
    kv_cursor_end(&cursor);
    return MG_OK;
}

static void every_call_may_fail(void **state)
{
    (void)state;
    uint64_t nth = 0;
    enum mg_err err;
    do {
        char lock[128];
        snprintf(lock, sizeof lock, "%s-lock", path);
        unlink(lock);
        unlink(path);
        bool stored = false;
        kv_fault_at(++nth);
        err = scenario(&stored);
        kv_fault_at(0);
        assert_int_equal(kv_env_count(), 0);
        struct kv_env *env = env_open(false, true);
        struct kv_txn *txn = begin(env, false);
        struct str value;
        assert_int_equal(kv_get(txn, META, STR("k"), &value), stored);
        kv_abort(&txn);
        kv_env_unref(&env);
    } while (err != MG_OK);
    assert_true(nth > 12);
}

/* The n-th commit is said to have failed; it is there, alone or beside others. */
static void a_commit_may_be_made_and_denied(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    struct str value;
    kv_fault_commit_at(2);
    for (int i = 1; i <= 3; i++) {
        struct kv_txn *txn = begin(env, true);
        char key[2] = {(char)('0' + i), 0};
        struct mg_why why;
        assert_int_equal(kv_put(txn, META, str_of(key), STR("v"), NULL), MG_OK);
        assert_int_equal(kv_commit(&txn, &why), i == 2 ? MG_E_IO : MG_OK);
        assert_null(txn);
        if (i == 2)
            assert_non_null(strstr(why.text, "cannot commit"));
        txn = begin(env, false); /* of a reader nothing is denied or counted */
        assert_int_equal(kv_commit(&txn, NULL), MG_OK);
        assert_int_equal(kv_fault_commits(), i);
    }
    kv_fault_commit_at(0);
    assert_int_equal(kv_fault_commits(), 0);
    struct kv_txn *txn = begin(env, false);
    for (const char *key = "123"; *key; key++)
        assert_true(kv_get(txn, META, str_n(key, 1), &value));
    kv_abort(&txn);
    kv_env_unref(&env);
}

static bool has_key(struct kv_txn *txn)
{
    struct str value;
    return kv_get(txn, META, STR("k"), &value);
}

static uint64_t calls_to_begin(struct kv_env *env)
{
    kv_fault_at(0);
    struct kv_txn *txn = begin(env, true);
    kv_abort(&txn);
    return kv_fault_calls();
}

static void put_and_deny(struct kv_env *env)
{
    struct kv_txn *txn = begin(env, true);
    assert_int_equal(kv_put(txn, META, STR("k"), STR("v"), NULL), MG_OK);
    kv_fault_commit_at(1);
    assert_int_equal(kv_commit(&txn, NULL), MG_E_IO);
    kv_fault_commit_at(0);
}

static void first_pages(char out[2 * 4096])
{
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, out, 2 * 4096, 0), 2 * 4096);
    close(fd);
}

static void after_a_failed_commit_a_writer_waits_for_the_disk_and_readers_do_not(void **state)
{
    (void)state;
    static char before[2 * 4096], after[2 * 4096];
    struct kv_env *env = env_open(false, true);
    struct kv_txn *txn;
    assert_int_equal(calls_to_begin(env), 1); /* this program made the file */
    put_and_deny(env);
    txn = begin(env, false); /* the environment is opened again */
    assert_true(has_key(txn));
    kv_abort(&txn);
    first_pages(before);
    for (int i = 0; i < 3; i++) {
        struct mg_why why;
        kv_fault_at(2);
        assert_int_equal(kv_begin(&txn, env, true, &why), MG_E_IO);
        kv_fault_at(0);
        assert_non_null(strstr(why.text, "cannot begin"));
        txn = begin(env, false);
        assert_true(has_key(txn));
        kv_abort(&txn);
    }
    txn = begin(env, true); /* nothing of those before holds LMDB's lock */
    assert_true(has_key(txn));
    kv_abort(&txn);
    first_pages(after);
    assert_memory_equal(before, after, sizeof after);
    assert_int_equal(calls_to_begin(env), 1);
    kv_env_unref(&env);
}

static void so_does_the_first_writer_of_a_file_that_was_there(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    put_and_deny(env);
    kv_env_unref(&env); /* as if the program had ended */
    env = env_open(false, false);
    struct kv_txn *txn;
    kv_fault_at(2);
    assert_int_equal(kv_begin(&txn, env, true, NULL), MG_E_IO);
    assert_int_equal(calls_to_begin(env), 2);
    assert_int_equal(calls_to_begin(env), 1);
    txn = begin(env, true);
    assert_true(has_key(txn));
    kv_abort(&txn);
    kv_env_unref(&env);
    struct kv_options o = options(false, true); /* tables are made in a write transaction, too */
    kv_fault_at(4);
    assert_int_equal(kv_env_open(&env, &o, NULL), MG_E_IO);
    kv_fault_at(0);
    env = env_open(false, true);
    assert_int_equal(calls_to_begin(env), 1);
    kv_env_unref(&env);
}

/* A commit that never came to LMDB is not there, and a reader keeps the environment as it was. */
static void what_failed_is_shown_or_not_also_under_a_reader(void **state)
{
    (void)state;
    for (int is_there = 0; is_there < 2; is_there++) {
        struct kv_env *env = env_open(false, true);
        struct kv_txn *reader = begin(env, false), *txn = begin(env, true);
        assert_int_equal(kv_put(txn, META, STR("k"), STR("v"), NULL), MG_OK);
        kv_fault_commit_at(is_there);
        kv_fault_at(!is_there);
        assert_int_equal(kv_commit(&txn, NULL), MG_E_IO);
        kv_fault_commit_at(0);
        kv_fault_at(0);
        assert_false(has_key(reader));
        txn = begin(env, true);
        assert_int_equal(has_key(txn), is_there);
        kv_abort(&txn);
        kv_abort(&reader);
        kv_env_unref(&env);
    }
}

static void *read_many(void *env)
{
    for (int i = 0; i < 200; i++) {
        struct kv_txn *txn = begin(env, false);
        struct str value;
        assert_true(kv_get(txn, BLOCKS, STR("a"), &value));
        kv_abort(&txn);
    }
    return NULL;
}

static void readers_run_beside_a_writer(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    pthread_t readers[3];
    fill(env);
    for (size_t i = 0; i < MG_COUNT(readers); i++)
        pthread_create(&readers[i], NULL, read_many, env);
    for (int i = 0; i < 10; i++)
        fill(env);
    for (size_t i = 0; i < MG_COUNT(readers); i++)
        pthread_join(readers[i], NULL);
    kv_env_unref(&env);
}

/* Several pages of values, so that a cut takes some away. */
static off_t fill_pages(void)
{
    struct kv_env *env = env_open(false, true);
    struct kv_txn *txn = begin(env, true);
    struct stat st;
    char value[3000];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t key[4];
        put_be32(key, i);
        assert_int_equal(kv_put(txn, BLOCKS, str_n(key, 4), str_n(value, sizeof value), NULL), MG_OK);
    }
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    kv_env_unref(&env);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_file_that_was_cut_is_read_without_a_signal(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        for (off_t cut = 8192; cut <= 4096 * 22; cut += 1024) {
            unlink(path);
            off_t whole = fill_pages();
            assert_true(whole > 4096 * 20);
            assert_int_equal(truncate(path, cut), 0);
            struct kv_options o = options(sealed, false);
            struct kv_env *env;
            if (kv_env_open(&env, &o, NULL) != MG_OK)
                continue;
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            assert_true(st.st_size >= whole);
            struct kv_txn *txn = begin(env, false);
            struct kv_cursor *cursor = NULL;
            struct str key, value;
            unsigned n = 0, sound = 0;
            uint64_t errors = kv_read_errors();
            while (kv_next(txn, BLOCKS, &cursor, &key, &value)) {
                n++;
                sound += value.len && value.ptr[0] == 'v' && value.ptr[value.len - 1] == 'v';
            }
            assert_true(sound == 20 || n < 20 || sound < n || kv_read_errors() > errors);
            kv_abort(&txn);
            kv_env_unref(&env);
        }
    }
}

static void a_file_that_cannot_be_lengthened_is_refused(void **state)
{
    (void)state;
    struct rlimit old, small = {.rlim_cur = 12288};
    struct kv_options o = options(true, false);
    struct kv_env *env;
    struct mg_why why;
    fill_pages();
    assert_int_equal(truncate(path, 12288), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum mg_err err = kv_env_open(&env, &o, &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(err, MG_E_FORMAT);
    assert_non_null(strstr(why.text, "12288"));
}

static void a_copy_is_as_of_the_last_commit(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    struct str value;
    fill(env);
    struct kv_txn *txn = begin(env, false); /* a reader does not matter */
    int fd = open(link_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    kv_fault_at(1);
    assert_int_equal(kv_env_copy(env, fd, NULL), MG_E_IO);
    kv_fault_at(0);
    assert_int_equal(kv_env_copy(env, fd, NULL), MG_OK);
    close(fd);
    kv_abort(&txn);
    kv_env_unref(&env);
    struct kv_options o = options(true, false);
    o.path = link_path;
    assert_int_equal(kv_env_open(&env, &o, NULL), MG_OK);
    assert_true(kv_env_is_sealed(env));
    assert_true(kv_env_fd(env) >= 0);
    txn = begin(env, false);
    assert_int_equal(kv_env_refs(env), 2);
    assert_true(kv_get(txn, META, STR("c"), &value));
    kv_abort(&txn);
    assert_int_equal(kv_env_refs(env), 1);
    kv_env_unref(&env);
    assert_int_equal(kv_env_copy((env = env_open(true, false)), -1, NULL), MG_E_IO);
    kv_env_unref(&env);
}

static void commits_are_counted_in_the_file(void **state)
{
    (void)state;
    struct kv_env *env = env_open(false, true);
    assert_int_equal(kv_env_commits(env), 1); /* the tables */
    fill(env);
    assert_int_equal(kv_env_commits(env), 2);
    struct kv_txn *txn = begin(env, true);
    assert_int_equal(kv_put(txn, META, STR("x"), STR("y"), NULL), MG_OK);
    kv_abort(&txn);
    kv_env_unref(&env);
    env = env_open(true, false);
    assert_int_equal(kv_env_commits(env), 2);
    kv_env_unref(&env);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(values_survive_and_tables_are_apart),
        T(an_abort_leaves_nothing),
        T(walks_go_in_key_order),
        T(an_empty_table_has_no_first_and_no_last),
        T(appends_must_rise),
        T(keys_have_limits),
        T(a_full_map_is_too_big_and_only_that_transaction_is_lost),
        T(one_file_is_written_by_one_environment),
        T(environments_are_counted),
        T(what_cannot_be_opened),
        T(every_call_may_fail),
        T(a_commit_may_be_made_and_denied),
        T(after_a_failed_commit_a_writer_waits_for_the_disk_and_readers_do_not),
        T(so_does_the_first_writer_of_a_file_that_was_there),
        T(what_failed_is_shown_or_not_also_under_a_reader),
        T(readers_run_beside_a_writer),
        T(a_file_that_was_cut_is_read_without_a_signal),
        T(a_file_that_cannot_be_lengthened_is_refused),
        T(a_copy_is_as_of_the_last_commit),
        T(commits_are_counted_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
