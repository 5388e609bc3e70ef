/* Files that were cut, by a full disk copied elsewhere or a repair of the file system: at every page, never a signal. The check says so
 * and the store starts and serves what is left. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "store/tools.h"

enum { PAGE = 4096 };

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

static void on_edge(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)parent;
    (void)child;
    (void)errors;
    *(uint64_t *)owner += calls;
}

static uint64_t decode_all(struct block_reader *reader)
{
    struct arena arena = { 0 };
    struct span *spans;
    struct mg_why why;
    uint64_t n = 0;
    uint32_t rows;

    for (uint32_t i = 0; i < block_n_fragments(reader); i++)
        if (block_decode(reader, i, &arena, &spans, &rows, &why) == MG_OK)
            n += rows;
    arena_fini(&arena);
    return n;
}

/* Everything a query may do; how many spans could be read. */
static uint64_t read_what_is_there(struct rig *rig)
{
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    const struct span_filter filter = { .service = STR("service-1"), .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX };
    struct catalog *catalog = catalog_new();
    struct block_reader *reader;
    struct mg_why why;
    uint64_t spans = 0, calls = 0;
    uint32_t at[64];
    uint8_t id[16] = { 0 };
    bool may;

    size_t n = store_view_blocks(view, &blocks);
    for (size_t i = 0; i < n; i++) {
        (void)!store_view_may_match(view, &blocks[i], &filter, &may);
        if (store_view_open(view, &blocks[i], &reader, &why) == MG_OK)
            spans += decode_all(reader);
    }
    for (uint64_t trace = 1; trace < 8; trace++) {
        put_be64(id + 8, trace);
        (void)store_view_find(view, id, at, MG_COUNT(at));
    }
    (void)!store_view_edges(view, 0, UINT32_MAX, on_edge, &calls, &why);
    store_catalog(rig->store, catalog);
    catalog_free(&catalog);
    store_view_free(&view);
    return spans;
}

static void load(const char *path, struct buf *out)
{
    char bytes[PAGE];
    ssize_t n;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    buf_init(out, 1 << 28);
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        buf_put(out, bytes, (size_t)n);
    close(fd);
}

static void save(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
    close(fd);
}

struct files { struct buf first, second, pins; };

static void restore(struct rig *rig, const struct files *files)
{
    char path[128];

    rig_abandon(rig);
    rig_anew(rig);
    rig_abandon(rig);
    rig_path(rig, 1, path);
    save(path, buf_str(&files->first));
    rig_path(rig, 2, path);
    save(path, buf_str(&files->second));
    (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    save(path, buf_str(&files->pins));
}

static void make(struct rig *rig, struct files *files)
{
    struct span span;
    const struct span *at = &span;
    char path[128];

    for (int i = 0; i < 3; i++)
        rig_commit(rig, 60);
    rig_roll(rig, 60);
    rig_commit(rig, 60);
    rig_span(1, 1, &span);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
    rig_retain(rig);
    assert_true(rig_partition(rig, 0)->is_sealed);
    rig_abandon(rig);
    rig_path(rig, 1, path);
    load(path, &files->first);
    rig_path(rig, 2, path);
    load(path, &files->second);
    (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    load(path, &files->pins);
    rig_open(rig);
}

/* The check first: a start lengthens the file. */
static void cut_and_start(struct rig *rig, const char *path, off_t bytes, uint64_t all)
{
    enum mg_err checked;
    struct store_stats stats;

    assert_int_equal(truncate(path, bytes), 0);
    checked = store_check_dir(rig->store_dir, no_line, NULL, &rig->why);
    (void)!store_dump_dir(rig->store_dir, NULL, no_line, NULL, &rig->why);
    (void)!store_stats_dir(rig->store_dir, no_line, NULL, &rig->why);
    rig_open(rig);
    uint64_t n = read_what_is_there(rig);
    store_stat(rig->store, &stats);
    bool is_whole = n == all && stats.damaged == 0;
    if (checked == MG_OK && !is_whole && bytes >= 2 * PAGE)
        fail_msg("cut at %lld: the check finds nothing, %llu of %llu spans are read", (long long)bytes, (unsigned long long)n,
                 (unsigned long long)all);
    rig->spans = 1000;
    size_t done = rig->n_done;
    rig_put(rig, 10, 5); /* and it goes on, in a new partition at the latest after some failures */
    store_hurry(rig->store);
    for (int i = 0; i < 8 && rig->n_done == done; i++) {
        rig_turn(rig);
        rig_move_mono(30 * RIG_SECOND);
    }
    assert_true(rig->n_done > done);
    (void)read_what_is_there(rig);
}

static void cut_at_every_page(struct rig *rig, int which)
{
    struct files files;
    char path[128];

    make(rig, &files);
    const struct buf *const parts[] = { &files.first, &files.second, &files.pins };
    rig_path(rig, (uint32_t)which + 1, path);
    if (which == 2)
        (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    for (size_t at = 0; at <= parts[which]->len; at += PAGE) {
        restore(rig, &files);
        cut_and_start(rig, path, (off_t)at, 300);
        if (at < 2 * PAGE || at % (3 * PAGE))
            continue;
        restore(rig, &files);
        cut_and_start(rig, path, (off_t)at - PAGE / 2, 300);
    }
    buf_fini(&files.first);
    buf_fini(&files.second);
    buf_fini(&files.pins);
}

static void a_sealed_partition_cut_at_every_page(void **state) { cut_at_every_page(*state, 0); }
static void the_open_partition_cut_at_every_page(void **state) { cut_at_every_page(*state, 1); }
static void the_archive_cut_at_every_page(void **state) { cut_at_every_page(*state, 2); }

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_sealed_partition_cut_at_every_page), T(the_open_partition_cut_at_every_page), T(the_archive_cut_at_every_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
