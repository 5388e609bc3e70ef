/* Files that LMDB wrote are accepted whatever was done to them; damage is named, and what is not
 * found ends no process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "kv/kv.h"
#include "kv/verify.h"

enum { PAGE = 4096, MAP_BYTES = 1 << 30, BLOCKS = 0, META = 1, TABLES = 2, VALUE_MAX = 300000 };
static const char *const tables[TABLES] = {"blocks", "meta"};
static const unsigned char filler[VALUE_MAX];

static char dir[64], path[96];
static unsigned char *image; /* the file as it was written */
static size_t image_bytes;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/mg-verify-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/part.mdb", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char lock[128];
    snprintf(lock, sizeof lock, "%s-lock", path);
    unlink(lock);
    unlink(path);
    mem_free(image);
    image = NULL;
    assert_int_equal(kv_env_count(), 0);
    return rmdir(dir);
}

static struct kv_env *env_create(void)
{
    struct kv_env *env;
    struct kv_options o = {
        .path = path, .map_bytes = MAP_BYTES, .tables = tables, .n_tables = TABLES, .create = true};
    assert_int_equal(kv_env_open(&env, &o, NULL), MG_OK);
    return env;
}

static void assert_verifies(void)
{
    struct mg_why why = {""};
    if (kv_verify(path, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static void image_load(void)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    mem_free(image);
    image_bytes = (size_t)st.st_size;
    image = mem_alloc(image_bytes);
    assert_int_equal(pread(fd, image, image_bytes, 0), image_bytes);
    close(fd);
}

/* The image with `bytes` bytes of `with` at `at`, cut at `end`. */
static void image_store(size_t at, const void *with, size_t bytes, size_t end)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, image, image_bytes, 0), image_bytes);
    assert_int_equal(pwrite(fd, with, bytes, (off_t)at), bytes);
    assert_int_equal(ftruncate(fd, (off_t)end), 0);
    close(fd);
}

/* --- what LMDB writes is accepted --- */

struct writer {
    struct random random;
    MDB_env *env;
    MDB_txn *txn, *reader;
    MDB_dbi dbis[3];
};

static void writer_open(struct writer *w)
{
    static const char *const names[] = {"blk", "a", "the table with a longer name"};
    assert_int_equal(mdb_env_create(&w->env), 0);
    assert_int_equal(mdb_env_set_mapsize(w->env, MAP_BYTES), 0);
    assert_int_equal(mdb_env_set_maxdbs(w->env, 3), 0);
    assert_int_equal(mdb_env_open(w->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_txn_begin(w->env, NULL, 0, &w->txn), 0);
    for (size_t i = 0; i < MG_COUNT(names); i++)
        assert_int_equal(mdb_dbi_open(w->txn, names[i], MDB_CREATE, &w->dbis[i]), 0);
    assert_int_equal(mdb_txn_commit(w->txn), 0); /* an abort would close the handles */
    assert_int_equal(mdb_txn_begin(w->env, NULL, 0, &w->txn), 0);
}

static void writer_close(struct writer *w)
{
    mdb_txn_abort(w->reader);
    w->reader = NULL;
    mdb_env_close(w->env);
}

/* Few different keys, so that they meet again; of all lengths. */
static MDB_val some_key(struct writer *w, char *room)
{
    uint64_t n = random_below(&w->random, 600);
    size_t len = 1 + n * 37 % (n % 5 ? 24 : 511);
    memset(room, (int)('a' + n % 7), len);
    memcpy(room + len - 1, &n, 1);
    if (len > 8)
        memcpy(room + 3, &n, 2);
    return (MDB_val){len, room};
}

static size_t some_size(struct writer *w)
{
    switch (random_below(&w->random, 12)) {
    case 0:
        return random_below(&w->random, 60000);
    case 1:
        return 1900 + random_below(&w->random, 400); /* about the largest that stays in the leaf */
    case 2:
        return 4076 + random_below(&w->random, 8);
    case 3:
        return 0;
    default:
        return random_below(&w->random, 300);
    }
}

static void writer_step(struct writer *w)
{
    char room[512];
    MDB_dbi dbi = w->dbis[random_below(&w->random, 3)];
    MDB_val key = some_key(w, room), value = {some_size(w), (void *)filler};
    uint64_t kind = random_below(&w->random, 1000);
    int code = 0;

    if (kind == 0)
        code = mdb_drop(w->txn, dbi, 0);
    else if (kind < 450)
        code = mdb_del(w->txn, dbi, &key, NULL);
    else
        code = mdb_put(w->txn, dbi, &key, &value, 0);
    if (code && code != MDB_NOTFOUND)
        fail_msg("%s", mdb_strerror(code));
}

/* A reader that stays keeps old pages from being used again: the lists of free pages grow. */
static void reader_move(struct writer *w)
{
    if (w->reader)
        mdb_txn_abort(w->reader);
    w->reader = NULL;
    if (random_below(&w->random, 2))
        assert_int_equal(mdb_txn_begin(w->env, NULL, MDB_RDONLY, &w->reader), 0);
}

static void a_life_of(uint64_t seed)
{
    struct writer w = {0};
    random_init(&w.random, seed);
    unlink(path);
    writer_open(&w);
    for (unsigned commits = 0; commits < 120; commits++) {
        for (uint64_t n = random_below(&w.random, 120); n > 0; n--)
            writer_step(&w);
        if (random_below(&w.random, 10) == 0)
            mdb_txn_abort(w.txn);
        else
            assert_int_equal(mdb_txn_commit(w.txn), 0);
        assert_verifies();
        if (random_below(&w.random, 8) == 0) {
            writer_close(&w);
            assert_verifies();
            writer_open(&w);
            continue;
        }
        if (random_below(&w.random, 6) == 0)
            reader_move(&w);
        assert_int_equal(mdb_txn_begin(w.env, NULL, 0, &w.txn), 0);
    }
    mdb_txn_abort(w.txn);
    writer_close(&w);
    assert_verifies();
}

static void files_of_any_history_are_accepted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        a_life_of(seed);
}

static uint64_t pages_by_meta(void)
{
    image_load();
    const unsigned char *meta =
        image + (get_le64(image + 144) < get_le64(image + PAGE + 144) ? PAGE : 0);
    return get_le64(meta + 136) + 1;
}

/* A large value that goes before its commit leaves pages that were handed out and never written.
 * They are the last ones when the commit finds its other pages in the list of free ones, which
 * takes some rounds to fill. */
static void a_file_that_ends_before_its_last_page_is_accepted(void **state)
{
    (void)state;
    struct writer w = {0};
    MDB_val key = {1, "k"}, small = {5, "short"};
    unsigned shorter = 0;
    writer_open(&w);
    for (unsigned round = 1; round <= 12; round++) {
        MDB_val large = {VALUE_MAX / 12 * round, (void *)filler};
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(mdb_put(w.txn, w.dbis[i], &key, &small, 0), 0);
        assert_int_equal(mdb_put(w.txn, w.dbis[0], &key, &large, 0), 0);
        assert_int_equal(mdb_del(w.txn, w.dbis[0], &key, NULL), 0);
        assert_int_equal(mdb_txn_commit(w.txn), 0);
        assert_verifies();
        shorter += pages_by_meta() > image_bytes / PAGE;
        assert_int_equal(mdb_txn_begin(w.env, NULL, 0, &w.txn), 0);
    }
    mdb_txn_abort(w.txn);
    writer_close(&w);
    assert_true(shorter > 0);
}

static void what_is_no_file_of_lmdb(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 151, 152, 4095, 4096, 8191, 8192};
    assert_int_equal(kv_verify(path, NULL), MG_E_ABSENT);
    assert_int_equal(kv_verify(dir, NULL), MG_E_FORMAT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(kv_verify(path, NULL), MG_E_FORMAT);
    unlink(path);
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
        close(fd);
        assert_int_equal(kv_verify(path, NULL), sizes[i] ? MG_E_FORMAT : MG_OK);
    }
}

/* --- damage is named --- */

/* Where things are in the file of make_file. */
static struct {
    size_t older, meta, free_leaf, main_leaf, branch, leaf, overflow, end;
    size_t blocks_record;   /* the table's 48 bytes */
    size_t overflow_number; /* in its leaf */
} at;

static size_t node_offset(size_t page, unsigned i)
{
    return page + get_le16(image + page + 16 + 2 * i);
}

static size_t table_record(unsigned i)
{
    size_t node = node_offset(at.main_leaf, i);
    return node + 8 + get_le16(image + node + 6);
}

/* A tree of two levels, a value of three pages, and a list of free pages; `wide`: how much lies in
 * the leaves. */
static void make_file(unsigned wide)
{
    unlink(path);
    struct kv_env *env = env_create();
    for (unsigned round = 0; round < 4; round++) {
        struct kv_txn *txn;
        assert_int_equal(kv_begin(&txn, env, true, NULL), MG_OK);
        for (unsigned i = 0; i < wide; i++) {
            char key[16], value[300];
            memset(value, (int)i, sizeof value);
            snprintf(key, sizeof key, "key%03u", i);
            assert_int_equal(kv_put(txn, BLOCKS, str_of(key), str_n(value, sizeof value), NULL),
                             MG_OK);
        }
        assert_int_equal(kv_put(txn, META, STR("large"), str_n(filler, 9000), NULL), MG_OK);
        assert_int_equal(kv_put(txn, META, STR("small"), STR("v"), NULL), MG_OK);
        assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    }
    kv_env_unref(&env);
    image_load();
    assert_verifies();
    at.meta = get_le64(image + 144) < get_le64(image + PAGE + 144) ? PAGE : 0;
    at.older = PAGE - at.meta;
    at.free_leaf = get_le64(image + at.meta + 80) * PAGE;
    at.main_leaf = get_le64(image + at.meta + 128) * PAGE;
    at.blocks_record = table_record(BLOCKS);
    at.branch = get_le64(image + at.blocks_record + 40) * PAGE;
    at.leaf = get_le32(image + node_offset(at.branch, 1)) * (size_t)PAGE;
    at.end = (get_le64(image + at.meta + 136) + 1) * PAGE;
    at.overflow_number =
        node_offset(get_le64(image + table_record(META) + 40) * PAGE, 0) + 8 + strlen("large");
    at.overflow = get_le64(image + at.overflow_number) * PAGE;
    assert_int_equal(get_le16(image + at.branch + 10), 1);
    assert_int_equal(get_le16(image + at.leaf + 10), 2);
    assert_int_equal(get_le16(image + at.overflow + 10), 4);
}

struct damage {
    size_t *base;
    size_t offset, bytes;
    uint64_t value;
    const char *says; /* NULL: it is no damage */
};

static void damage_check(const struct damage *d, size_t where)
{
    unsigned char bytes[8];
    char page[32];
    struct mg_why why = {""};
    put_le64(bytes, d->value);
    image_store(where, bytes, d->bytes, image_bytes);
    enum mg_err err = kv_verify(path, &why);
    if (err != (d->says ? MG_E_FORMAT : MG_OK) || (d->says && !strstr(why.text, d->says)))
        fail_msg("row with '%s': %s: %s", d->says ? d->says : "fine", mg_err_name(err), why.text);
    snprintf(page, sizeof page, ": page ");
    assert_true(!d->says || (strstr(why.text, page) && strstr(why.text, "part.mdb")));
}

static void damage_is_named(void **state)
{
    (void)state;
    make_file(40);
    uint64_t leaf = at.leaf / PAGE, last = at.end / PAGE - 1, hole = (uint64_t)1 << 23,
             pages = image_bytes / PAGE;
    size_t free_ids = node_offset(at.free_leaf, 0) + 16;
    uint64_t branch_upper = get_le16(image + at.branch + 14),
             leaf_lower = get_le16(image + at.leaf + 12);
    size_t leaf_node = node_offset(at.leaf, 0), branch_node = node_offset(at.branch, 1);
    assert_true(get_le64(image + free_ids) >= 2);
    const struct damage rows[] = {
        {&at.meta, 16, 4, 0xbeefc0df, "no LMDB meta page"},
        {&at.older, 16, 4, 0, "no LMDB meta page"},
        {&at.meta, 20, 4, 2, "version"},
        {&at.older, 20, 4, 999, "version"},
        {&at.meta, 10, 2, 2, "flags"},
        {&at.meta, 0, 8, 7, "says that it is page 7"},
        {&at.meta, 40, 4, 4097, "page size"},
        {&at.meta, 40, 4, 0, "page size"},
        {&at.older, 40, 4, 65536, "page size"},
        {&at.meta, 44, 2, 0, "flags"},
        {&at.meta, 44, 2, 0x4c, "flags"},
        {&at.meta, 92, 2, 4, "flags"},
        {&at.meta, 94, 2, 2, "flags"}, /* the main tree is one page, and that a leaf */
        {&at.meta, 94, 2, 0, "depth"},
        {&at.meta, 94, 2, 33, "depth"},
        {&at.meta, 120, 8, 3, "counts 3 entries"},
        {&at.meta, 128, 8, 1, "names pages 1+1"},
        {&at.meta, 128, 8, last + 1, "names pages"},
        {&at.meta, 128, 8, UINT64_MAX, "depth"},
        {&at.meta, 136, 8, 0, "is the last"},
        {&at.meta, 136, 8, 3, "of 4"},
        {&at.meta, 136, 8, pages + hole - 1, NULL},
        {&at.meta, 136, 8, pages + hole, "is the last"},
        {&at.meta, 136, 8, UINT64_MAX, "is the last"},
        {&at.meta, 144, 8, 8 + (at.meta == 0), "transaction"},
        {&at.older, 144, 8, UINT64_MAX - (at.older == 0), "transaction"},
        {&at.main_leaf, 0, 8, 0, "says that it is page 0"},
        {&at.blocks_record, 4, 2, 4, "flags"},
        {&at.blocks_record, 6, 2, 1, "flags"},
        {&at.blocks_record, 6, 2, 3, "flags"},
        {&at.blocks_record, 32, 8, 41, "counts 41 entries"},
        {&at.blocks_record, 40, 8, at.main_leaf / PAGE, "in use elsewhere"},
        {&at.branch, 10, 2, 0x11, "flags"},
        {&at.branch, 12, 2, 18, "keys"},
        {&at.branch, 14, 2, branch_upper - 2, "gap"},
        {&at.branch, 14, 2, branch_upper + 2, "offset"},
        {&branch_node, 0, 4, at.branch / PAGE, "in use elsewhere"},
        {&branch_node, 0, 4, at.free_leaf / PAGE, "in use elsewhere"},
        {&branch_node, 4, 2, 1, "names pages"},
        {&branch_node, 6, 2, 512, "key of 512 bytes"},
        {&branch_node, 6, 2, 0, "key of 0 bytes"},
        {&branch_node, 8, 1, 'j', "not above"},
        {&branch_node, 8, 1, 'l', "not above"},
        {&at.leaf, 0, 8, leaf + 1, "says that it is page"},
        {&at.leaf, 10, 2, 0x12, "flags"},
        {&at.leaf, 10, 2, 1, "flags"},
        {&at.leaf, 12, 2, 14, "bounds"},
        {&at.leaf, 12, 2, 16, "keys"},
        {&at.leaf, 12, 2, leaf_lower + 1, "bounds"},
        {&at.leaf, 12, 2, leaf_lower - 2, "has"}, /* a node without an offset: a gap */
        {&at.leaf, 14, 2, PAGE + 2, "bounds"},
        {&at.leaf, 16, 2, PAGE - 6, "offset"},
        {&at.leaf, 16, 2, 8, "offset"},
        {&at.leaf, 18, 2, get_le16(image + at.leaf + 16), "two nodes"},
        {&leaf_node, 0, 4, UINT32_MAX, "crosses its end"},
        {&leaf_node, 0, 4, 302, "has"},
        {&leaf_node, 4, 2, 4, "flags"},
        {&leaf_node, 4, 2, 2, "flags"},
        {&leaf_node, 8, 1, 'z', "not above"},
        {&at.overflow_number, 0, 8, leaf, "in use elsewhere"},
        {&at.overflow_number, 0, 8, last + 1, "names pages"},
        {&at.overflow, 0, 8, 1, "says that it is page 1"},
        {&at.overflow, 10, 2, 2, "flags"},
        {&at.overflow, 12, 4, 2, "begins 2 pages"},
        {&at.overflow, 12, 4, 3, NULL},
        {&at.overflow, 12, 4, UINT32_MAX, "names pages"},
        {&at.overflow, 16, 8, UINT64_MAX, NULL}, /* what the value says is not looked at */
        {&free_ids, 0, 8, 1000, "list of 1000 free pages"},
        {&free_ids, 8, 8, last + 1, "names pages"},
        {&free_ids, 8, 8, 1, "names pages 1+1"},
        {&free_ids, 16, 8, last, "has a list of free pages out of order"},
        {&free_ids, 8, 8, at.main_leaf / PAGE, "page"},
        {&free_ids, -8, 8, 1000, "transaction 1000"},
        {&free_ids, -8, 8, 0, "transaction 0"},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        damage_check(&rows[i], *rows[i].base + rows[i].offset);
}

static void every_cut_that_takes_a_used_page_is_found(void **state)
{
    (void)state;
    make_file(40);
    size_t used_end = image_bytes; /* behind the last page that holds something */
    for (size_t end = image_bytes; end > 0; end -= 512) {
        image_store(0, image, 1, end);
        struct mg_why why = {""};
        enum mg_err err = kv_verify(path, &why);
        if (err == MG_OK) {
            assert_int_equal(used_end, image_bytes);
            continue;
        }
        assert_int_equal(err, MG_E_FORMAT);
        assert_non_null(strstr(why.text, "end"));
        used_end = end;
    }
    assert_true(used_end < image_bytes || image_bytes == at.end);
}

/* --- what is not found does no harm --- */

static uint64_t read_all(struct kv_txn *txn)
{
    uint64_t sum = 0;
    for (unsigned table = 0; table < TABLES; table++) {
        struct kv_cursor *cursor = NULL;
        struct str key, value;
        while (kv_next(txn, table, &cursor, &key, &value))
            for (size_t i = 0; i < value.len; i += 512)
                sum += (unsigned char)value.ptr[i] + key.len;
        (void)kv_get(txn, table, STR("key017"), &value);
        (void)kv_seek_last(txn, table, &key, &value);
    }
    return sum;
}

/* true: it was opened. */
static bool use_sealed(void)
{
    struct kv_options o = {
        .path = path, .map_bytes = MAP_BYTES, .tables = tables, .n_tables = TABLES, .sealed = true};
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    struct kv_txn *txn;
    if (kv_env_open(&env, &o, NULL) != MG_OK)
        return false;
    if (kv_begin(&txn, env, false, NULL) == MG_OK) {
        (void)read_all(txn);
        kv_abort(&txn);
    }
    return true;
}

static void use_writable(void)
{
    struct kv_options o = {
        .path = path, .map_bytes = MAP_BYTES, .tables = tables, .n_tables = TABLES, .create = true};
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    if (kv_env_open(&env, &o, NULL) != MG_OK)
        return;
    for (unsigned round = 0; round < 2; round++) {
        MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
        if (kv_begin(&txn, env, true, NULL) != MG_OK)
            return;
        if (kv_put(txn, META, STR("large"), str_n(filler, 20000), NULL) != MG_OK ||
            kv_put(txn, META, STR("small"), str_n(filler, 1000), NULL) != MG_OK ||
            kv_put(txn, BLOCKS, STR("key005"), str_n(filler, 1800), NULL) != MG_OK ||
            kv_put(txn, BLOCKS, STR("a new one"), str_n(filler, 700), NULL) != MG_OK)
            return;
        (void)read_all(txn);
        if (kv_commit(&txn, NULL) != MG_OK)
            return;
    }
}

/* Every byte of every page but those of the values, and of those the header. */
static bool is_structure(size_t at_byte)
{
    size_t page = at_byte / PAGE * PAGE;
    if (page == at.overflow)
        return at_byte < page + 16;
    return page < at.overflow || page >= at.overflow + 3 * (size_t)PAGE;
}

/* Sanitizers map and unmap ten times as slowly: there every ninth byte. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NEXT_FLIP(byte) ((byte) + 9)
#else
#define NEXT_FLIP(byte) ((byte) + 1)
#endif

static void no_flipped_byte_is_a_signal(void **state)
{
    (void)state;
    struct random random;
    uint64_t flips = 0, opened = 0;
    random_init(&random, 7);
    make_file(14);
    for (size_t byte = 0; byte < image_bytes; byte = NEXT_FLIP(byte)) {
        if (!is_structure(byte))
            continue;
        unsigned char flipped = image[byte] ^ (unsigned char)(1 + random_below(&random, 255));
        image_store(byte, &flipped, 1, image_bytes);
        bool is_open = use_sealed();
        flips++;
        opened += is_open;
        if (random_below(&random, is_open ? 300 : 600) == 0)
            use_writable();
    }
    assert_true(opened > 0 && opened < flips);
}

/* The numbers of headers and nodes, each with values about its limits, and writing after each that
 * is accepted. */
static void no_odd_number_is_a_signal(void **state)
{
    (void)state;
    static const uint16_t odd[] = {0,    1,    2,   3,    4,    16,     17,     0x10,
                                   0x20, 0x40, 510, 4094, 4096, 0x4000, 0x8000, 0xffff};
    make_file(14);
    unsigned n_accepted = 0;
    size_t nodes[] = {at.meta,
                      at.meta + 40,
                      at.meta + 88,
                      at.free_leaf,
                      at.main_leaf,
                      at.branch,
                      at.leaf,
                      at.blocks_record,
                      node_offset(at.free_leaf, 0),
                      node_offset(at.branch, 0),
                      node_offset(at.branch, 1),
                      node_offset(at.leaf, 0),
                      at.overflow_number,
                      at.overflow};
    for (size_t n = 0; n < MG_COUNT(nodes); n++) {
        for (size_t field = 0; field < 20; field += 2) {
            for (size_t i = 0; i < MG_COUNT(odd); i++) {
                unsigned char with[2];
                put_le16(with, odd[i]);
                image_store(nodes[n] + field, with, 2, image_bytes);
                if (kv_verify(path, NULL) == MG_OK && n_accepted++ % 3 == 0)
                    use_writable();
            }
        }
    }
}

/* --- verified once --- */

static enum mg_err open_sealed(struct kv_verified *verified)
{
    struct kv_options o = {.path = path,
                           .map_bytes = MAP_BYTES,
                           .tables = tables,
                           .n_tables = TABLES,
                           .sealed = true,
                           .verified = verified};
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    return kv_env_open(&env, &o, NULL);
}

static void time_set(struct timespec mtime)
{
    const struct timespec times[2] = {mtime, mtime};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct timespec time_get(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mtim;
}

static void a_file_is_verified_again_when_it_changed(void **state)
{
    (void)state;
    static const struct {
        bool is_known, is_damaged;
        long later_ns;     /* its time moves */
        size_t more_bytes; /* it grows */
        bool is_another;   /* it is written anew under its name */
        enum mg_err want;
    } cases[] = {
        {true, false, 0, 0, false, MG_OK},       {false, false, 0, 0, false, MG_OK},
        {true, false, 1, 0, false, MG_OK},       {true, true, 0, 0, false, MG_OK}, /* not looked at */
        {false, true, 0, 0, false, MG_E_FORMAT}, {true, true, 1, 0, false, MG_E_FORMAT},
        {true, true, -1, 0, false, MG_E_FORMAT}, {true, true, 0, PAGE, false, MG_E_FORMAT},
        {true, true, 0, 0, true, MG_E_FORMAT},
    };
    const unsigned char wrong[2] = {0xff, 0xff};

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct kv_verified verified = {0};
        make_file(14);
        time_set((struct timespec){1000, 500});
        if (cases[i].is_known)
            assert_int_equal(open_sealed(&verified), MG_OK);
        assert_int_equal(verified.inode != 0, cases[i].is_known);
        if (cases[i].is_another) { /* beside the old one, or it may get the same inode */
            char other[128];
            snprintf(other, sizeof other, "%s-other", path);
            assert_int_equal(rename(path, other), 0);
            int fd = open(path, O_RDWR | O_CREAT, 0600);
            close(fd);
            assert_int_equal(unlink(other), 0);
        }
        image_store(at.leaf + 10, cases[i].is_damaged ? wrong : image + at.leaf + 10, 2,
                    image_bytes + cases[i].more_bytes);
        time_set((struct timespec){1000, 500 + cases[i].later_ns});
        for (int round = 0; round < 2; round++) /* what failed once is not believed later */
            if (open_sealed(&verified) != cases[i].want)
                fail_msg("case %zu, round %d", i, round);
        if (cases[i].is_damaged)
            assert_int_equal(open_sealed(NULL), MG_E_FORMAT);
    }
    assert_int_equal(time_get().tv_sec, 1000); /* to open it does not change it */
}

static void what_was_verified_is_written_only_when_it_is_sound(void **state)
{
    (void)state;
    struct kv_verified verified = {0}, none = {0};
    const unsigned char wrong[2] = {0xff, 0xff};

    assert_int_equal(open_sealed(&verified), MG_E_ABSENT);
    assert_memory_equal(&verified, &none, sizeof none);
    make_file(14);
    image_store(at.leaf + 10, wrong, 2, image_bytes);
    assert_int_equal(open_sealed(&verified), MG_E_FORMAT);
    assert_memory_equal(&verified, &none, sizeof none);
    image_store(0, image, 1, image_bytes);
    assert_int_equal(open_sealed(&verified), MG_OK);
    assert_int_equal(verified.bytes, image_bytes);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(files_of_any_history_are_accepted),
        T(a_file_that_ends_before_its_last_page_is_accepted),
        T(what_is_no_file_of_lmdb),
        T(damage_is_named),
        T(every_cut_that_takes_a_used_page_is_found),
        T(no_flipped_byte_is_a_signal),
        T(no_odd_number_is_a_signal),
        T(a_file_is_verified_again_when_it_changed),
        T(what_was_verified_is_written_only_when_it_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
