/* Service edges: counts against a model that compares every pair, and the bytes of table `dep`. */
#include "unit/store/store_rig.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "model/otlp_write.h"
#include "store/edges.h"

/* --- a model ---------------------------------------------------------------------------------------- */

struct edge { uint32_t minute; char parent[32], child[32]; uint64_t calls, errors; };
struct model { VEC(struct edge) edges; };

static void model_add(struct model *model, uint32_t minute, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    struct edge edge = { .minute = minute, .calls = calls, .errors = errors };

    assert_true(parent.len < sizeof edge.parent && child.len < sizeof edge.child);
    memcpy(edge.parent, parent.ptr, parent.len);
    memcpy(edge.child, child.ptr, child.len);
    for (size_t i = 0; i < model->edges.n; i++) {
        struct edge *at = &model->edges.at[i];
        if (at->minute == minute && strcmp(at->parent, edge.parent) == 0 && strcmp(at->child, edge.child) == 0) {
            at->calls += calls;
            at->errors += errors;
            return;
        }
    }
    VEC_PUSH(&model->edges, edge);
}

static void model_expect(const struct model *want, const struct model *got)
{
    assert_int_equal(want->edges.n, got->edges.n);
    for (size_t i = 0; i < want->edges.n; i++) {
        const struct edge *a = &want->edges.at[i];
        size_t k = 0;
        while (k < got->edges.n && (got->edges.at[k].minute != a->minute || strcmp(got->edges.at[k].parent, a->parent) != 0 ||
                                    strcmp(got->edges.at[k].child, a->child) != 0))
            k++;
        if (k == got->edges.n)
            fail_msg("%s -> %s of minute %u is missing", a->parent, a->child, a->minute);
        assert_int_equal(a->calls, got->edges.at[k].calls);
        assert_int_equal(a->errors, got->edges.at[k].errors);
    }
}

static struct str service(unsigned i)
{
    static const char *const names[] = { "front", "cart", "pay", "" };
    return str_of(names[i % MG_COUNT(names)]);
}

static struct str resource_of(unsigned i)
{
    static char bytes[4][64];
    static size_t lens[4];
    struct buf out;

    i %= 4;
    if (i == 3) /* no service name: the view calls it something */
        return STR("");
    if (!lens[i]) {
        struct attr attr = { STR("service.name"), { .type = VALUE_STRING, .str = service(i) } };
        buf_init(&out, 64);
        size_t message = wire_open(&out, 1);
        otlp_put_attr(&out, 1, &attr);
        wire_close(&out, message);
        memcpy(bytes[i], out.ptr, out.len);
        lens[i] = out.len;
        buf_fini(&out);
    }
    return str_n(bytes[i], lens[i]);
}

static struct str shown(unsigned i, struct arena *arena)
{
    return view_service(resource_of(i), arena);
}

static struct span span_of(uint64_t trace, uint64_t id, uint64_t parent, unsigned service_number, bool is_error)
{
    struct span span = { .start_ns = RIG_WALL + id, .end_ns = RIG_WALL + id + 5, .kind = SPAN_SERVER, .name = STR("op"),
                         .trace_state = STR(""), .status_message = STR(""), .events = STR(""), .links = STR(""), .unknown = STR(""),
                         .scope = STR(""), .resource = resource_of(service_number),
                         .status_code = is_error ? STATUS_ERROR : STATUS_UNSET };
    put_be64(span.trace_id + 8, trace);
    put_be64(span.span_id, id);
    put_be64(span.parent_id, parent);
    return span;
}

/* --- what a store has ------------------------------------------------------------------------------- */

static struct model *reading;
static uint32_t reading_minute;

static void on_edge(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)owner;
    model_add(reading, reading_minute, parent, child, calls, errors);
}

static void read_store(struct rig *rig, uint32_t first, uint32_t last, struct model *out)
{
    struct store_view *view = store_view_new(rig->store);

    *out = (struct model){ { 0 } };
    reading = out;
    for (uint32_t minute = first; minute <= last; minute++) {
        reading_minute = minute;
        assert_int_equal(store_view_edges(view, minute, minute, on_edge, NULL, &rig->why), MG_OK);
    }
    store_view_free(&view);
}

static void commit(struct rig *rig)
{
    store_hurry(rig->store);
    rig_turn(rig);
}

static uint32_t minute_now(void) { return (uint32_t)(rig_wall_ns() / RIG_SECOND / 60); }

/* Random fragments: several traces at once, ids that repeat, copies, parents that are absent, own, or unknown; over several
 * commits, minutes and partitions. The model asks every pair. */
static void counts_are_those_of_a_naive_model(void **state)
{
    struct rig *rig = *state;
    struct model want = { { 0 } }, got;
    struct arena arena = { 0 };
    struct random random;
    uint32_t first = minute_now();
    struct span spans[60];

    random_init(&random, 42);
    for (unsigned round = 0; round < 40; round++) {
        unsigned n = 1 + (unsigned)random_below(&random, MG_COUNT(spans));
        unsigned services[60];
        rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
        for (unsigned i = 0; i < n; i++) {
            if (i > 0 && random_below(&random, 6) == 0) { /* a copy */
                unsigned from = (unsigned)random_below(&random, i);
                spans[i] = spans[from];
                services[i] = services[from];
                continue;
            }
            services[i] = (unsigned)random_below(&random, 4);
            spans[i] = span_of(1000 * round + random_below(&random, 3), 1 + 100 * i + random_below(&random, 2), 0, services[i],
                               random_below(&random, 3) == 0);
            uint64_t pick = random_below(&random, 8);
            if (pick == 7)
                put_be64(spans[i].parent_id, 999999);
            else if (pick == 6)
                memcpy(spans[i].parent_id, spans[i].span_id, 8);
            else if (pick && i)
                memcpy(spans[i].parent_id, spans[random_below(&random, i)].span_id, 8);
        }
        for (unsigned i = 0; i < n; i++) {
            bool is_copy = false;
            for (unsigned k = 0; k < i; k++)
                is_copy = is_copy || span_equal(&spans[k], &spans[i]);
            for (unsigned k = n; k-- > 0 && !is_copy;) { /* the newest stands for its id */
                bool is_parent = memcmp(spans[k].span_id, spans[i].parent_id, 8) == 0 && get_le64(spans[i].parent_id) &&
                                 memcmp(spans[k].trace_id, spans[i].trace_id, 16) == 0 && memcmp(spans[i].span_id, spans[i].parent_id, 8) != 0;
                if (!is_parent)
                    continue;
                model_add(&want, minute_now(), shown(services[k], &arena), shown(services[i], &arena), 1,
                          spans[i].status_code == STATUS_ERROR);
                break;
            }
        }
        rig_put_spans(rig, spans, n);
        if (random_below(&random, 2))
            commit(rig);
        if (random_below(&random, 4) == 0) {
            commit(rig);
            rig_move_wall(random_below(&random, 2) ? 60 * RIG_SECOND : rig->conf.roll_ns);
        }
    }
    commit(rig);
    assert_true(rig_partitions(rig) > 1);
    assert_true(want.edges.n > 20);
    read_store(rig, first, minute_now(), &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    rig_retain(rig); /* sealed ones answer the same */
    rig_reopen(rig);
    read_store(rig, first, minute_now(), &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    VEC_FINI(&want.edges);
    arena_fini(&arena);
}

static void a_late_fragment_has_edges_of_its_own_only(void **state)
{
    struct rig *rig = *state;
    struct span spans[] = { span_of(1, 1, 0, 0, false), span_of(1, 2, 1, 1, false) }, late[] = { span_of(1, 3, 2, 2, false),
                                                                                                span_of(1, 4, 3, 0, true) };
    struct model want = { { 0 } }, got;

    rig_put_spans(rig, spans, 2);
    commit(rig);
    rig_put_spans(rig, late, 2); /* the parent of 3 is not in this fragment */
    commit(rig);
    model_add(&want, minute_now(), service(0), service(1), 1, 0);
    model_add(&want, minute_now(), service(2), service(0), 1, 1);
    read_store(rig, minute_now(), minute_now(), &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    VEC_FINI(&want.edges);
}

static void a_commit_made_again_counts_once(void **state)
{
    struct rig *rig = *state;
    struct span spans[] = { span_of(1, 1, 0, 0, false), span_of(1, 2, 1, 1, true) };
    struct model want = { { 0 } }, got;
    size_t done = 0;

    /* Twice in one minute, so that there are old counts to add to. */
    for (unsigned round = 0; round < 2; round++) {
        model_add(&want, minute_now(), service(0), service(1), 1, 1);
        rig_put_spans(rig, spans, 2);
        for (uint64_t n = 1; rig->n_done == done; n++) {
            kv_fault_at(n);
            store_hurry(rig->store);
            rig_turn(rig);
            kv_fault_at(0);
            rig_move_mono(30 * RIG_SECOND);
        }
        done = rig->n_done;
    }
    read_store(rig, minute_now() - 1, minute_now() + 1, &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    VEC_FINI(&want.edges);
}

static void both_ends_of_a_window_belong_to_it(void **state)
{
    struct rig *rig = *state;
    uint32_t first = minute_now();
    struct store_view *view;
    struct model got = { { 0 } };

    for (unsigned i = 0; i < 3; i++) {
        struct span spans[] = { span_of(i + 1, 1, 0, 0, false), span_of(i + 1, 2, 1, 1, false) };
        rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
        rig_put_spans(rig, spans, 2);
        commit(rig);
        rig_move_wall(60 * RIG_SECOND);
    }
    static const struct { int from, to; uint64_t calls; } cases[] = { { 0, 2, 3 }, { 0, 0, 1 }, { 1, 2, 2 }, { 2, 9, 1 },
                                                                      { 3, 9, 0 }, { -5, -1, 0 }, { 2, 1, 0 } };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        view = store_view_new(rig->store);
        reading = &got;
        VEC_CLEAR(&got.edges);
        assert_int_equal(store_view_edges(view, first + (uint32_t)cases[i].from, first + (uint32_t)cases[i].to, on_edge, NULL, &rig->why), MG_OK);
        assert_int_equal(got.edges.n ? got.edges.at[0].calls : 0, cases[i].calls);
        store_view_free(&view);
    }
    VEC_FINI(&got.edges);
}

static void malformed_values_are_refused(void **state)
{
    static const struct { struct str value; enum mg_err want; uint64_t calls; } cases[] = {
        { STR_INIT(""), MG_E_FORMAT, 0 },
        { STR_INIT("\x01"), MG_OK, 0 },
        { STR_INIT("\x02"), MG_E_FORMAT, 0 },
        { STR_INIT("\x80"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\x01p\x01" "c\x05\x02"), MG_OK, 5 },
        { STR_INIT("\x01\x00\x00\x05\x02"), MG_OK, 5 },
        { STR_INIT("\x01\x01p\x01" "c\x05"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\x01p\x01" "c"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\x01p\x02" "c"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\x09p"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01p"), MG_E_FORMAT, 0 },
        { STR_INIT("\x01\x01p\x01" "c\x05\x02\x01"), MG_E_FORMAT, 5 },
    };
    struct model got = { { 0 } };

    (void)state;
    reading = &got;
    reading_minute = 0;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        VEC_CLEAR(&got.edges);
        if (edges_read(cases[i].value, on_edge, NULL) != cases[i].want)
            fail_msg("case %zu", i);
        assert_int_equal(got.edges.n ? got.edges.at[0].calls : 0, cases[i].calls);
    }
    VEC_FINI(&got.edges);
}

static void a_malformed_minute_fails_the_answer_and_no_commit(void **state)
{
    struct rig *rig = *state;
    struct span spans[] = { span_of(1, 1, 0, 0, false), span_of(1, 2, 1, 1, false) };
    uint8_t key[4];
    struct model got = { { 0 } };

    rig_put_spans(rig, spans, 2);
    commit(rig);
    rig_abandon(rig);
    put_be32(key, minute_now());
    rig_change(rig, 1, TABLE_DEP, str_n(key, 4), STR("\x07"));
    rig_open(rig);
    struct store_view *view = store_view_new(rig->store);
    reading = &got;
    assert_int_equal(store_view_edges(view, 0, UINT32_MAX, on_edge, NULL, &rig->why), MG_E_FORMAT);
    store_view_free(&view);
    rig_put_spans(rig, spans, 2);
    commit(rig);
    assert_int_equal(metric_get(rig->store->metrics, STORE_failed_commits, 0, 0), 0);
    assert_int_equal(rig->n_done, 1);
    VEC_CLEAR(&got.edges);
    view = store_view_new(rig->store); /* what was counted since is there */
    assert_int_equal(store_view_edges(view, 0, UINT32_MAX, on_edge, NULL, &rig->why), MG_OK);
    store_view_free(&view);
    assert_int_equal(got.edges.n, 1);
    assert_int_equal(got.edges.at[0].calls, 1);
    VEC_FINI(&got.edges);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(counts_are_those_of_a_naive_model), T(a_late_fragment_has_edges_of_its_own_only), T(a_commit_made_again_counts_once),
        T(both_ends_of_a_window_belong_to_it), cmocka_unit_test(malformed_values_are_refused),
        T(a_malformed_minute_fails_the_answer_and_no_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
