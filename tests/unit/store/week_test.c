/* Ten days in hours: the disk stays flat from the eighth day on, the oldest is gone to the hour, names follow, and clocks that
 * are far off change nothing of that (collector/README.md R7, R8). */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "model/otlp_write.h"

enum { HOURS = 240, WEEK = 168, SPANS_AN_HOUR = 12 };

static void resource_of_day(unsigned day, struct buf *out)
{
    char name[32];

    (void)snprintf(name, sizeof name, "service-of-day-%u", day);
    struct attr attr = { STR("service.name"), { .type = VALUE_STRING, .str = str_of(name) } };
    buf_clear(out);
    size_t message = wire_open(out, 1);
    otlp_put_attr(out, 1, &attr);
    wire_close(out, message);
}

/* Traces 3 h + 1 (today), 3 h + 2 (1970), 3 h + 3 (2100). */
static void put_hour(struct rig *rig, unsigned hour, struct buf *resource)
{
    struct span spans[SPANS_AN_HOUR];

    resource_of_day(hour / 24, resource);
    rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
    for (unsigned i = 0; i < SPANS_AN_HOUR; i++) {
        uint64_t trace = 3 * hour + 1 + (i < 10 ? 0 : i - 9);
        rig_span(++rig->spans, trace, &spans[i]);
        spans[i].start_ns = i == 10 ? 5 : i == 11 ? UINT64_C(4102444800) * RIG_SECOND : rig_wall_ns();
        spans[i].end_ns = spans[i].start_ns + 100;
        spans[i].resource = buf_str(resource);
    }
    rig_put_spans(rig, spans, SPANS_AN_HOUR);
    store_hurry(rig->store);
    rig_turn(rig);
}

static size_t services(struct rig *rig)
{
    struct catalog *catalog = catalog_new();
    struct arena arena = { 0 };
    struct str *names;

    store_catalog(rig->store, catalog);
    size_t n = catalog_services(catalog, &arena, &names);
    catalog_free(&catalog);
    arena_fini(&arena);
    return n;
}

/* All of an hour or nothing, whatever its spans say of times. */
static void expect_hour(struct rig *rig, unsigned hour, bool is_there)
{
    for (unsigned i = 1; i <= 3; i++)
        if ((rig_find(rig, 3 * hour + i) > 0) != is_there)
            fail_msg("hour %u, trace %u is %s", hour, i, is_there ? "gone" : "still there");
}

static void a_week_is_kept_to_the_hour(void **state)
{
    struct rig *rig = *state;
    uint64_t least = UINT64_MAX, most = 0;
    struct store_stats stats;
    struct buf resource;

    buf_init(&resource, 256);
    for (unsigned hour = 0; hour < HOURS; hour++) {
        put_hour(rig, hour, &resource);
        rig_move(rig->conf.roll_ns);
        rig_turn(rig); /* rolls and retains */
        rig_retain(rig);
        store_stat(rig->store, &stats);
        if (hour + 1 < WEEK) {
            expect_hour(rig, 0, true);
            continue;
        }
        /* An hour's last commit was when it began; it goes when that is a week ago. */
        unsigned oldest = hour - WEEK + 2;
        if (hour % 12 == 0) {
            expect_hour(rig, oldest - 1, false);
            expect_hour(rig, oldest, true);
            assert_in_range(services(rig), 7, 8);
            assert_true(handles_open(&rig->store->handles) <= HANDLES_MAX);
        }
        assert_in_range(stats.partitions, WEEK - 1, WEEK + 1);
        if (hour >= WEEK + 24) {
            least = MG_MIN(least, stats.disk_bytes);
            most = MG_MAX(most, stats.disk_bytes);
        }
    }
    assert_true(most - least < most / 50);
    rig_reopen(rig);
    assert_in_range(services(rig), 7, 8);
    rig_move(rig->conf.retention_ns * 2); /* nothing comes any more */
    for (int i = 0; i < 3; i++)
        rig_retain(rig);
    assert_int_equal(rig_partitions(rig), 1);
    buf_fini(&resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(a_week_is_kept_to_the_hour, rig_setup, rig_teardown) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
