/* store_rig.c - see store_rig.h. */
#include "unit/store/store_rig.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "model/otlp_write.h"

#define RIG_DIRS "/tmp/mg-store-"

static _Atomic uint64_t mono_ns, wall_ns;
struct store_disk rig_disk;

struct given {
    struct store_batch batch;
    struct rig *rig;
    struct fragment *fragments;
    bool is_done;
};

static uint64_t mono(void) { return mono_ns; }
uint64_t rig_wall_ns(void) { return wall_ns; }
void rig_move_mono(uint64_t ns) { mono_ns += ns; }
void rig_move_wall(uint64_t ns) { wall_ns += ns; }
void rig_move(uint64_t ns)
{
    rig_move_mono(ns);
    rig_move_wall(ns);
}

static bool disk(const char *dir, struct store_disk *out)
{
    (void)dir;
    *out = rig_disk;
    return true;
}

/* --- life ------------------------------------------------------------------------------------------- */

static void on_committed(void *owner, uint64_t watermark)
{
    struct rig *rig = owner;

    rig->commits_told++;
    rig->watermark = watermark;
}

enum mg_err rig_try_open(struct rig *rig)
{
    const struct store_options options = { .dir = rig->store_dir, .conf = &rig->conf, .metrics = rig->metrics = metric_registry_new(),
                                           .committed = on_committed, .owner = rig, .wall_ns = rig_wall_ns, .mono_ns = mono,
                                           .disk = disk };
    enum mg_err err = store_open(&rig->store, &options, &rig->why);

    if (err != MG_OK)
        metric_registry_free(&rig->metrics);
    return err;
}

void rig_open(struct rig *rig)
{
    if (rig_try_open(rig) != MG_OK)
        fail_msg("%s", rig->why.text);
}

void rig_start(struct rig *rig)
{
    assert_int_equal(store_start(rig->store, &rig->why), MG_OK);
}

void rig_abandon(struct rig *rig)
{
    store_close(&rig->store);
    metric_registry_free(&rig->metrics);
    for (size_t i = 0; i < rig->given.n; i++) {
        mem_free(rig->given.at[i]->fragments);
        mem_free(rig->given.at[i]);
    }
    VEC_CLEAR(&rig->given);
    rig->n_done = 0;
}

void rig_reopen(struct rig *rig)
{
    rig_abandon(rig);
    rig_open(rig);
}

static void remove_all(const char *dir)
{
    DIR *files = opendir(dir);
    struct dirent *entry;
    char path[512];

    while (files && (entry = readdir(files))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        (void)unlink(path);
    }
    if (files)
        closedir(files);
    (void)rmdir(dir);
}

/* Of programs that died: the name says whose it was. */
static void remove_left_over(void)
{
    static bool is_done;
    glob_t dirs;

    if (is_done || glob(RIG_DIRS "*-??????", GLOB_ONLYDIR, NULL, &dirs) != 0)
        return;
    is_done = true;
    for (size_t i = 0; i < dirs.gl_pathc; i++) {
        char store_dir[160];
        long pid = strtol(dirs.gl_pathv[i] + sizeof RIG_DIRS - 1, NULL, 10);
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        (void)snprintf(store_dir, sizeof store_dir, "%s/store", dirs.gl_pathv[i]);
        remove_all(store_dir);
        remove_all(dirs.gl_pathv[i]);
    }
    globfree(&dirs);
}

int rig_setup(void **state)
{
    struct rig *rig = MEM_NEW(struct rig);

    mono_ns = 1000 * RIG_SECOND;
    wall_ns = RIG_WALL;
    rig_disk = (struct store_disk){ UINT64_C(1) << 41, UINT64_C(1) << 40 };
    remove_left_over();
    (void)snprintf(rig->dir, sizeof rig->dir, RIG_DIRS "%ld-XXXXXX", (long)getpid());
    if (!mkdtemp(rig->dir))
        return -1;
    (void)snprintf(rig->store_dir, sizeof rig->store_dir, "%s/store", rig->dir);
    rig->conf = (struct store_conf){ .retention_ns = 7 * 24 * 3600 * RIG_SECOND, .disk_max = UINT64_C(1) << 40, .roll_ns = 3600 * RIG_SECOND,
                                     .block_rows = 100, .block_age_ns = 10 * RIG_SECOND,
                                     .pins_max = UINT64_C(1) << 30, .decisions_max = UINT64_C(1) << 30 };
    rows_init(&rig->rows);
    rig->rows.wall_s = RIG_WALL / RIG_SECOND;
    rig_open(rig);
    *state = rig;
    return 0;
}

void rig_anew(struct rig *rig)
{
    remove_all(rig->store_dir);
    rig->spans = rig->position = rig->stored = rig->duplicates = 0;
    rig_open(rig);
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;

    kv_fault_at(0);
    kv_fault_commit_at(0);
    if (rig->store && rig->store->is_started)
        assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    rig_abandon(rig);
    VEC_FINI(&rig->given);
    rows_fini(&rig->rows);
    remove_all(rig->store_dir);
    remove_all(rig->dir);
    mem_free(rig);
    assert_int_equal(kv_env_count(), 0);
    return 0;
}

/* --- spans in --------------------------------------------------------------------------------------- */

void rig_span(uint64_t number, uint64_t trace, struct span *out)
{
    static _Thread_local char resources[8][64];
    static const char *const names[] = { "GET /", "GET /cart", "POST /cart", "checkout", "charge" };
    char *resource = resources[trace % 8];
    struct buf bytes;
    char service[16];

    (void)snprintf(service, sizeof service, "service-%u", (unsigned)(trace % 8));
    struct attr attr = { STR("service.name"), { .type = VALUE_STRING, .str = str_of(service) } };
    buf_init(&bytes, 64);
    size_t message = wire_open(&bytes, 1);
    otlp_put_attr(&bytes, 1, &attr);
    wire_close(&bytes, message);
    size_t len = bytes.len;
    memcpy(resource, bytes.ptr, len);
    buf_fini(&bytes);
    *out = (struct span){ .start_ns = RIG_WALL + number * 1000, .end_ns = RIG_WALL + number * 1000 + 500, .kind = SPAN_SERVER,
                          .trace_state = STR(""), .status_message = STR(""), .events = STR(""), .links = STR(""), .unknown = STR(""),
                          .scope = STR(""), .name = str_of(names[number % MG_COUNT(names)]), .resource = str_n(resource, len) };
    put_be64(out->trace_id + 8, trace);
    put_be64(out->span_id, number);
}

static void on_done(struct store_batch *first)
{
    struct rig *rig = MG_CONTAINER(first, struct given, batch)->rig;

    rig->stored += first->stored;
    rig->duplicates += first->duplicates;
    for (struct queue_item *item = &first->link; item; item = item->next) {
        struct given *given = MG_CONTAINER(MG_CONTAINER(item, struct store_batch, link), struct given, batch);
        assert(given == rig->given.at[rig->n_done] && !given->is_done);
        given->is_done = true;
        rig->n_done++;
    }
}

static void put_rows(struct rig *rig)
{
    struct given *given = MEM_NEW(struct given);
    size_t n = rig->rows.traces.n;

    given->rig = rig;
    given->fragments = mem_copy(rig->rows.traces.at, n * sizeof *given->fragments);
    given->batch = (struct store_batch){ .position = ++rig->position, .log_ns = rig->position * 10, .wall_ns = wall_ns, .fragments = given->fragments,
                                         .n = n, .done = on_done };
    for (size_t i = 0; i < n; i++) {
        given->fragments[i].position = rig->position;
        given->batch.rows += given->fragments[i].is_kept ? given->fragments[i].n : 0;
    }
    /* The rows stay; the next batch begins without them. */
    VEC_CLEAR(&rig->rows.traces);
    VEC_CLEAR(&rig->rows.all);
    map_fini(&rig->rows.by_id);
    VEC_PUSH(&rig->given, given);
    store_put(rig->store, &given->batch);
}

void rig_put_spans(struct rig *rig, const struct span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rows_span(&rig->rows, &spans[i]);
    put_rows(rig);
}

void rig_put(struct rig *rig, unsigned n, unsigned each)
{
    struct span span;

    for (unsigned i = 0; i < n; i++) {
        rig->spans++;
        rig_span(rig->spans, 1 + (rig->spans - 1) / each, &span);
        rows_span(&rig->rows, &span);
    }
    put_rows(rig);
}

/* --- decisions in --------------------------------------------------------------------------------------- */

uint64_t rig_kept(unsigned policy)
{
    return outcome_pack(&(struct outcome){ .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .policy = (uint8_t)policy,
                                           .rules = 1 });
}

uint64_t rig_dropped(unsigned policy)
{
    return outcome_pack(&(struct outcome){ .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .reason = REASON_DROP, .policy = (uint8_t)policy,
                                           .threshold = OT_NEVER, .rules = 1 });
}

void rig_trace_id(uint64_t trace, uint8_t id[16])
{
    memset(id, 0, 16);
    put_be64(id + 8, trace);
}

static void decided_rows(struct rig *rig, const struct rig_decided *decided)
{
    static uint64_t far = UINT64_C(1) << 40;
    struct span span;

    if (decided->is_kept) {
        rig_span(++rig->spans, decided->trace, &span);
        rows_span(&rig->rows, &span);
        return;
    }
    rig_span(++far, decided->trace, &span);
    rows_span(&rig->rows, &span);
    rig_span(++far, decided->trace, &span);
    put_be64(span.parent_id, far - 1);
    rows_span(&rig->rows, &span);
}

void rig_put_decided(struct rig *rig, const struct rig_decided *decided, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        decided_rows(rig, &decided[i]);
        struct fragment *fragment = &rig->rows.traces.at[rig->rows.traces.n - 1];
        fragment->is_kept = decided[i].is_kept;
        fragment->outcome = decided[i].outcome;
        fragment->votes = decided[i].votes;
        map_fini(&rig->rows.by_id); /* each is a fragment of its own */
    }
    put_rows(rig);
}

static void decide(struct rig *rig, uint64_t trace, uint64_t outcome, bool is_kept)
{
    size_t done = rig->n_done;

    rig_put_decided(rig, &(struct rig_decided){ .trace = trace, .outcome = outcome, .is_kept = is_kept }, 1);
    store_hurry(rig->store);
    rig_turn(rig);
    assert_true(rig->n_done > done);
}

void rig_drop(struct rig *rig, uint64_t trace, unsigned policy)
{
    decide(rig, trace, rig_dropped(policy), false);
}

void rig_keep(struct rig *rig, uint64_t trace, unsigned policy)
{
    decide(rig, trace, rig_kept(policy), true);
}

void rig_expect_decided(struct rig *rig, uint64_t trace, const int *policies, size_t n)
{
    struct store_view *view = store_view_new(rig->store);
    struct store_decision found[64];
    struct arena arena = { 0 };
    struct outcome outcome;
    uint8_t id[16];
    size_t got;

    rig_trace_id(trace, id);
    if (store_view_decisions(view, id, &arena, found, MG_COUNT(found), &got, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    if (got != n)
        fail_msg("trace %llu: %zu decisions, not %zu", (unsigned long long)trace, got, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(outcome_unpack(found[i].outcome, &outcome));
        assert_int_equal(found[i].is_kept, outcome.verdict == VERDICT_KEPT);
        assert_int_equal(found[i].is_kept ? outcome.policy : -(int)outcome.policy, policies[i]);
    }
    store_view_free(&view);
    arena_fini(&arena);
}

void rig_why_path(const struct rig *rig, uint32_t number, char path[128])
{
    (void)snprintf(path, 128, "%s/%06u.why", rig->store_dir, number);
}

uint64_t rig_why_bytes(const struct rig *rig, uint32_t number)
{
    struct stat file;
    char path[128];

    rig_why_path(rig, number, path);
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

void rig_turn(struct rig *rig)
{
    store_turn(rig->store, 0);
}

void rig_commit(struct rig *rig, unsigned n)
{
    size_t done;

    rig_put(rig, n, 5);
    done = rig->n_done;
    store_hurry(rig->store);
    rig_turn(rig);
    assert_true(rig->n_done > done);
}

void rig_roll(struct rig *rig, unsigned n)
{
    size_t before = rig_partitions(rig);

    rig_move_wall(rig->conf.roll_ns);
    rig_commit(rig, n);
    assert_int_equal(rig_partitions(rig), before + 1);
}

void rig_retain(struct rig *rig)
{
    rig_move_mono(60 * RIG_SECOND);
    rig_turn(rig);
}

/* --- what is there ---------------------------------------------------------------------------------- */

size_t rig_partitions(struct rig *rig)
{
    return rig->store->shared.partitions.n;
}

struct partition *rig_partition(struct rig *rig, size_t i)
{
    return rig->store->shared.partitions.at[i];
}

bool rig_value(struct rig *rig, size_t i, unsigned table, struct str key, struct buf *out)
{
    struct kv_env *env;
    struct kv_txn *txn;
    struct str value;
    bool is_there;

    assert_int_equal(partition_env(rig_partition(rig, i), &env, &rig->why), MG_OK);
    assert_int_equal(kv_begin(&txn, env, false, NULL), MG_OK);
    is_there = kv_get(txn, table, key, &value);
    buf_init(out, 1 << 24);
    if (is_there)
        buf_put_str(out, value);
    kv_abort(&txn);
    kv_env_unref(&env);
    return is_there;
}

size_t rig_find(struct rig *rig, uint64_t trace)
{
    struct store_view *view = store_view_new(rig->store);
    uint8_t id[16] = { 0 };
    uint32_t at[64];
    size_t n;

    put_be64(id + 8, trace);
    n = store_view_find(view, id, at, MG_COUNT(at));
    store_view_free(&view);
    return n;
}

static void count_block(struct store_view *view, const struct block_info *block, uint8_t *seen, uint64_t last)
{
    struct arena arena = { 0 };
    struct block_reader *reader;
    struct mg_why why;
    struct span *spans;
    uint32_t n;

    if (store_view_open(view, block, &reader, &why) != MG_OK)
        fail_msg("%s", why.text);
    for (uint32_t i = 0; i < block_n_fragments(reader); i++) {
        assert_int_equal(block_decode(reader, i, &arena, &spans, &n, &why), MG_OK);
        for (uint32_t k = 0; k < n; k++) {
            uint64_t number = get_be64(spans[k].span_id);
            assert_in_range(number, 1, last);
            assert_int_equal(seen[number], 0);
            seen[number] = 1;
        }
    }
    arena_fini(&arena);
}

static uint8_t *count_all(struct store_view *view, uint64_t last)
{
    uint8_t *seen = mem_zero(last + 1, 1);
    const struct block_info *blocks;
    size_t n = store_view_blocks(view, &blocks);

    for (size_t i = 0; i < n; i++)
        count_block(view, &blocks[i], seen, last);
    return seen;
}

void rig_expect_in(struct store_view *view, uint64_t first, uint64_t last)
{
    uint8_t *seen = count_all(view, last);

    for (uint64_t i = 1; i <= last; i++)
        if (seen[i] != (i >= first))
            fail_msg("span %llu is %s", (unsigned long long)i, seen[i] ? "still there" : "missing");
    mem_free(seen);
}

void rig_expect(struct rig *rig, uint64_t first, uint64_t last)
{
    struct store_view *view = store_view_new(rig->store);

    rig_expect_in(view, first, last);
    store_view_free(&view);
}

uint64_t rig_count(struct rig *rig, uint64_t last)
{
    struct store_view *view = store_view_new(rig->store);
    uint8_t *seen = count_all(view, last);
    uint64_t n = 0;

    for (uint64_t i = 1; i <= last; i++)
        n += seen[i];
    mem_free(seen);
    store_view_free(&view);
    return n;
}

void rig_path(const struct rig *rig, uint32_t number, char path[128])
{
    (void)snprintf(path, 128, "%s/%06u.mdb", rig->store_dir, number);
}

bool rig_file_exists(const struct rig *rig, uint32_t number, bool lock)
{
    char path[128], full[160];

    rig_path(rig, number, path);
    (void)snprintf(full, sizeof full, "%s%s", path, lock ? "-lock" : "");
    return access(full, F_OK) == 0;
}

static struct kv_env *open_file(const struct rig *rig, uint32_t number)
{
    static const char *const tables[] = { "blk", "sum", "run", "meta", "dep" };
    struct kv_env *env;
    char path[128];

    rig_path(rig, number, path);
    const struct kv_options options = { .path = path, .map_bytes = UINT64_C(1) << 30, .tables = tables, .n_tables = MG_COUNT(tables) };
    assert_int_equal(kv_env_open(&env, &options, NULL), MG_OK);
    return env;
}

void rig_change(const struct rig *rig, uint32_t number, unsigned table, struct str key, struct str value)
{
    struct kv_env *env = open_file(rig, number);
    struct kv_txn *txn;

    assert_int_equal(kv_begin(&txn, env, true, NULL), MG_OK);
    assert_int_equal(kv_put(txn, table, key, value, NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    kv_env_unref(&env);
}

void rig_change_block(const struct rig *rig, uint32_t number, unsigned table, uint32_t block, void (*damage)(struct buf *value))
{
    struct kv_env *env = open_file(rig, number);
    struct kv_txn *txn;
    struct str value;
    struct buf changed;
    uint8_t key[4];

    partition_key(block, key);
    buf_init(&changed, SIZE_MAX / 2);
    assert_int_equal(kv_begin(&txn, env, true, NULL), MG_OK);
    assert_true(kv_get(txn, table, str_n(key, 4), &value));
    buf_put_str(&changed, value);
    damage(&changed);
    assert_int_equal(kv_put(txn, table, str_n(key, 4), buf_str(&changed), NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    buf_fini(&changed);
    kv_env_unref(&env);
}

void rig_truncate(const struct rig *rig, uint32_t number, uint64_t bytes)
{
    char path[128];

    rig_path(rig, number, path);
    assert_int_equal(truncate(path, (off_t)bytes), 0);
}
