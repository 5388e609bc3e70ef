/* The block thread rolls, seals, merges and drops while others look up, search, pin, copy, ask why and read names. Nothing is checked but that each
 * sees whole blocks; the rest is for the sanitizers. */
#include "unit/store/store_rig.h"

#include <pthread.h>
#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"

enum { ROUNDS = 60 };

static _Atomic bool is_over;

static void *look(void *argument)
{
    struct rig *rig = argument;
    uint64_t trace = 0, failures = 0;

    while (!is_over) {
        struct store_view *view = store_view_new(rig->store);
        const struct block_info *blocks;
        struct block_reader *reader;
        struct mg_why why;
        uint8_t id[16] = { 0 };
        uint32_t at[32], first;
        (void)store_view_blocks(view, &blocks);
        put_be64(id + 8, 1 + trace++ % 100);
        size_t n = store_view_find(view, id, at, MG_COUNT(at));
        for (size_t i = 0; i < n; i++) {
            if (store_view_open(view, &blocks[at[i]], &reader, &why) != MG_OK)
                failures++;
            else
                failures += block_find(reader, id, &first) == 0;
        }
        store_view_free(&view);
    }
    return (void *)(uintptr_t)failures;
}

/* Traces from 1000 on are dropped, one a round. */
static void *ask_why(void *argument)
{
    struct rig *rig = argument;
    uint64_t trace = 0, failures = 0;
    struct buf text;

    buf_init(&text, 4096);
    while (!is_over) {
        struct store_view *view = store_view_new(rig->store);
        struct store_decision found[4];
        struct arena arena = { 0 };
        struct mg_why why;
        uint8_t id[16];
        size_t n = 0;
        rig_trace_id(trace % 3 ? 1000 + trace % ROUNDS : 1 + trace % 100, id);
        failures += store_view_decisions(view, id, &arena, found, MG_COUNT(found), &n, &why) != MG_OK;
        failures += n > MG_COUNT(found);
        buf_clear(&text);
        (void)store_rules_get(rig->store, 1 + (uint32_t)(trace % 8), &text);
        trace++;
        store_view_free(&view);
        arena_fini(&arena);
    }
    buf_fini(&text);
    return (void *)(uintptr_t)failures;
}

static void *read_names(void *argument)
{
    struct rig *rig = argument;
    struct store_stats stats;

    while (!is_over) {
        struct catalog *catalog = catalog_new();
        store_catalog(rig->store, catalog);
        catalog_free(&catalog);
        store_stat(rig->store, &stats);
        (void)store_is_full(rig->store);
    }
    return NULL;
}

static enum mg_err count_bytes(void *owner, const void *bytes, size_t len, struct mg_why *why)
{
    (void)bytes;
    (void)why;
    *(uint64_t *)owner += len;
    return MG_OK;
}

static void *pin_and_copy(void *argument)
{
    struct rig *rig = argument;
    uint64_t bytes = 0, failures = 0;
    struct mg_why why;
    struct span span;
    const struct span *at = &span;

    for (unsigned i = 0; !is_over; i++) {
        memset(&span, 0, sizeof span);
        put_be64(span.trace_id + 8, 1 + i % 100);
        put_be64(span.span_id, i + 1);
        span.name = span.resource = span.scope = span.trace_state = span.status_message = span.events = span.links = span.unknown = STR("");
        failures += store_pin(rig->store, &at, 1, 0, &why) != MG_OK;
        if (i % 8 == 0)
            failures += store_backup(rig->store, count_bytes, &bytes, &why) != MG_OK;
    }
    return (void *)(uintptr_t)failures;
}

/* Rows as a reload of the program gives them: gone when the call has returned. */
static void *reload(void *argument)
{
    struct rig *rig = argument;

    for (unsigned i = 0; !is_over; i++) {
        struct store_conf *conf = mem_alloc(sizeof *conf);
        *conf = rig->conf;
        conf->block_rows += i % 2;
        store_reload(rig->store, conf);
        mem_free(conf);
    }
    return NULL;
}

static void all_at_once(void **state)
{
    static void *(*const bodies[])(void *) = { look, look, read_names, pin_and_copy, ask_why, reload };
    struct rig *rig = *state;
    pthread_t threads[MG_COUNT(bodies)];
    uint32_t generation;
    char text[16];
    void *failures;

    RIG_SET(rig, retention_ns, 20 * rig->conf.roll_ns);
    rig->store->handles.most = 4;
    RIG_SET(rig, decisions_max, 64 << 10);
    rig_start(rig);
    for (size_t i = 0; i < MG_COUNT(bodies); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], rig), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        rig_put(rig, 20, 5);
        rig_put_decided(rig, &(struct rig_decided){ .trace = 1000 + i, .outcome = rig_dropped(1) }, 1);
        (void)snprintf(text, sizeof text, "rules %u", i / 8);
        assert_int_equal(store_rules_put(rig->store, str_of(text), &generation, &rig->why), MG_OK);
        store_flush(rig->store);
        rig_move_wall(rig->conf.roll_ns / 2);
        rig_move_mono(61 * RIG_SECOND);
    }
    is_over = true;
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    assert_int_equal(rig->stored, ROUNDS * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(all_at_once, rig_setup, rig_teardown) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
