/* Service edges: counts against a model that compares every pair, and the bytes of table `dep`. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "model/otlp_write.h"
#include "store/edges.h"

/* --- a model ---------------------------------------------------------------------------------------- */

struct edge { uint32_t minute; char parent[300], child[300]; uint64_t calls, errors; };
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
    static const char *const names[] = { "front", "cart", "pay" };
    return str_of(names[i]);
}

/* NULL: a resource that has no service name. */
static struct str resource_named(struct arena *arena, const char *name)
{
    struct attr attr = { STR("service.name"), { .type = VALUE_STRING } };
    struct buf out;

    if (!name)
        return STR("");
    attr.value.str = str_of(name);
    buf_init(&out, 4096);
    size_t message = wire_open(&out, 1);
    otlp_put_attr(&out, 1, &attr);
    wire_close(&out, message);
    struct str bytes = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return bytes;
}

static struct str resource_of(unsigned i)
{
    static struct arena arena;
    static struct str resources[3];

    if (i == 3) /* no service name: nobody */
        return STR("");
    if (!resources[i].len)
        resources[i] = resource_named(&arena, service(i).ptr);
    return resources[i];
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

/* --- who calls whom ---------------------------------------------------------------------------------- */

/* A span of a case: id, parent, kind, service (NULL: none), remote name (NULL: none), whether it is an ERROR. */
struct told { uint8_t id, parent, kind; const char *service, *peer; bool is_error; };
#define L SPAN_INTERNAL
#define S SPAN_SERVER
#define C SPAN_CLIENT
#define P SPAN_PRODUCER
#define K SPAN_CONSUMER
#define U SPAN_UNSPECIFIED

/* The remote name is neither the first nor the last attribute. */
static struct span span_told(const struct told *told, uint64_t trace, struct arena *arena)
{
    struct span span = span_of(trace, told->id, told->parent, 3, told->is_error);
    struct attr *attrs = arena_zero(arena, 3 * sizeof *attrs);

    span.kind = told->kind;
    span.resource = resource_named(arena, told->service);
    attrs[0] = (struct attr){ STR("http.method"), { .type = VALUE_STRING, .str = STR("GET") } };
    if (told->peer)
        attrs[++span.n_attrs] = (struct attr){ STR("peer.service"), { .type = VALUE_STRING, .str = str_of(told->peer) } };
    attrs[++span.n_attrs] = (struct attr){ STR("peer.servic"), { .type = VALUE_INT, .i = 7 } };
    span.attrs = attrs;
    span.n_attrs++;
    return span;
}

static int by_names(const void *a, const void *b)
{
    const struct edge *left = a, *right = b;
    int order = strcmp(left->parent, right->parent);

    return order ? order : strcmp(left->child, right->child);
}

/* The spans as one fragment of a minute of their own; "parent>child:calls/errors …" by names. */
static void edges_text(struct rig *rig, const struct span *spans, size_t n, struct buf *out)
{
    struct model got;

    rig_move_wall(60 * RIG_SECOND);
    rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
    rig_put_spans(rig, spans, n);
    commit(rig);
    read_store(rig, minute_now(), minute_now(), &got);
    if (got.edges.n)
        qsort(got.edges.at, got.edges.n, sizeof *got.edges.at, by_names);
    buf_clear(out);
    for (size_t i = 0; i < got.edges.n; i++) {
        const struct edge *edge = &got.edges.at[i];
        buf_printf(out, "%s%s>%s:%u/%u", i ? " " : "", edge->parent, edge->child, (unsigned)edge->calls, (unsigned)edge->errors);
    }
    buf_put_char(out, '\0');
    VEC_FINI(&got.edges);
}

static void expect_edges(struct rig *rig, const char *what, const struct span *spans, size_t n, const char *want)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    edges_text(rig, spans, n, &out);
    if (strcmp(out.ptr, want) != 0)
        fail_msg("%s: '%s', not '%s'", what, out.ptr, want);
    buf_fini(&out);
}

enum { TOLD_MAX = 6 };
struct told_case { const char *what; struct told spans[TOLD_MAX]; const char *want; };

/* In the order told and turned round: spans come in any. */
static void expect_told(struct rig *rig, const struct told_case *cases, size_t n_cases)
{
    struct arena arena = { 0 };

    for (size_t i = 0; i < n_cases; i++) {
        struct span spans[TOLD_MAX], turned[TOLD_MAX];
        size_t n = 0;
        while (n < TOLD_MAX && cases[i].spans[n].id)
            n++;
        for (size_t k = 0; k < n; k++)
            spans[k] = turned[n - 1 - k] = span_told(&cases[i].spans[k], 1 + i, &arena);
        expect_edges(rig, cases[i].what, spans, n, cases[i].want);
        expect_edges(rig, cases[i].what, turned, n, cases[i].want);
    }
    arena_fini(&arena);
}

static void two_sides_of_a_call_are_linked_once(void **state)
{
    static const struct told_case cases[] = {
        { "a pair", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "a server alone", { { 1, 0, S, "a", NULL, 0 } }, "" },
        { "a client alone", { { 1, 0, C, "a", NULL, 0 } }, "" },
        { "three levels", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 }, { 3, 2, C, "b", NULL, 0 }, { 4, 3, S, "c", NULL, 0 } },
          "a>b:1/0 b>b:1/0 b>c:1/0" },
        { "three levels, servers only", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 }, { 3, 2, S, "c", NULL, 0 } },
          "a>b:1/0 b>c:1/0" },
        { "three levels, clients only", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, C, "b", NULL, 0 }, { 3, 2, C, "c", NULL, 0 } },
          "a>b:1/0 b>c:1/0" },
        { "a step between", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, L, "a", NULL, 0 }, { 3, 2, S, "b", NULL, 0 } },
          "a>a:1/0 a>b:1/0" },
        { "itself", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "a", NULL, 0 } }, "a>a:1/0" },
        { "no kinds", { { 1, 0, U, "a", NULL, 0 }, { 2, 1, U, "b", NULL, 0 } }, "a>b:1/0" },
        { "steps of two services", { { 1, 0, L, "a", NULL, 0 }, { 2, 1, L, "b", NULL, 0 } }, "a>b:1/0" },
        { "a kind beyond the header", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, 200, "b", "c", 0 } }, "a>b:1/0" },
        { "an unknown parent", { { 1, 0, S, "a", NULL, 0 }, { 2, 9, S, "b", NULL, 0 }, { 3, 9, C, "c", NULL, 0 } }, "" },
        { "its own parent", { { 1, 1, S, "a", NULL, 0 } }, "" },
        { "each other's parent", { { 1, 2, S, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0 b>a:1/0" },
        { "a ring of three", { { 1, 3, S, "a", NULL, 0 }, { 2, 1, C, "b", NULL, 0 }, { 3, 2, S, "c", NULL, 0 } },
          "a>b:1/0 b>c:1/0 c>a:1/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void a_shared_id_is_a_client_and_its_server(void **state)
{
    static const struct told_case cases[] = {
        { "a pair", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "a pair within a service", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "a", NULL, 0 } }, "a>a:1/0" },
        { "with a parent", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 } },
          "a>a:1/0 a>b:1/0" },
        { "a server that does not know its parent", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "a", NULL, 0 }, { 2, 0, S, "b", NULL, 0 } },
          "a>a:1/0 a>b:1/0" },
        { "a child of the server", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 2, 1, C, "b", "db", 0 } },
          "a>b:1/0 b>b:1/0 b>db:1/0" },
        { "a child of the client", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 2, 1, L, "a", NULL, 0 } },
          "a>a:1/0 a>b:1/0" },
        { "a child of who knows", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 2, 1, S, "c", NULL, 0 } },
          "a>b:1/0 a>c:1/0" },
        { "two servers", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 1, 0, S, "c", NULL, 0 }, { 2, 1, L, "c", NULL, 0 } },
          "a>b:1/0 a>c:1/0 c>c:1/0" },
        { "two pairs in a row", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 2, 1, C, "b", NULL, 0 }, { 2, 1, S, "c", NULL, 0 } },
          "a>b:1/0 b>b:1/0 b>c:1/0" },
        { "the remote name has an answer", { { 1, 0, C, "a", "x", 0 }, { 1, 0, S, "b", "y", 0 } }, "a>b:1/0" },
        { "no client", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "two servers and no client", { { 1, 0, S, "b", NULL, 0 }, { 1, 0, S, "c", NULL, 0 }, { 2, 1, S, "c", NULL, 0 } },
          "c>c:1/0" },
        { "no client, a remote name", { { 1, 9, S, "b", "a", 0 } }, "a>b:1/0" },
        { "two clients and no server", { { 1, 0, C, "a", "x", 0 }, { 1, 0, C, "b", "x", 0 } }, "a>x:1/0 b>x:1/0" },
        { "a broker shares nothing", { { 1, 0, P, "a", NULL, 0 }, { 1, 0, K, "b", NULL, 0 } }, "" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void a_remote_name_stands_for_who_sends_no_spans(void **state)
{
    static const struct told_case cases[] = {
        { "a leaf", { { 1, 0, C, "a", "db", 0 } }, "a>db:1/0" },
        { "a leaf below", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "a", "db", 0 } }, "a>a:1/0 a>db:1/0" },
        { "a leaf of another service", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "b", "db", 0 } }, "a>b:1/0 b>db:1/0" },
        { "two leaves", { { 1, 0, C, "a", "db", 0 }, { 2, 0, C, "a", "db", 0 } }, "a>db:2/0" },
        { "itself", { { 1, 0, C, "a", "a", 0 } }, "a>a:1/0" },
        { "an answered client", { { 1, 0, C, "a", "alias", 0 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "a client with a step", { { 1, 0, C, "a", "db", 0 }, { 2, 1, L, "a", NULL, 0 } }, "a>a:1/0" },
        { "a root server", { { 1, 0, S, "b", "a", 0 } }, "a>b:1/0" },
        { "a server with a child", { { 1, 0, S, "b", "a", 0 }, { 2, 1, L, "b", NULL, 0 } }, "a>b:1/0 b>b:1/0" },
        { "a server whose caller is there", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "b", "alias", 0 } }, "a>b:1/0" },
        { "a server whose parent is not", { { 1, 0, S, "x", NULL, 0 }, { 2, 9, S, "b", "a", 0 } }, "a>b:1/0" },
        { "no kind", { { 1, 0, U, "a", "db", 0 } }, "a>db:1/0" },
        { "no kind and a child", { { 1, 0, U, "a", "b", 0 }, { 2, 1, U, "b", NULL, 0 } }, "a>b:1/0" },
        { "a step calls nobody", { { 1, 0, L, "a", "db", 0 } }, "" },
        { "an empty name", { { 1, 0, C, "a", "", 0 }, { 2, 0, S, "b", "", 0 }, { 3, 0, P, "b", "", 0 } }, "" },
        { "bad UTF-8", { { 1, 0, C, "a", "d\xff", 0 } }, "a>d\xef\xbf\xbd:1/0" },
        { "a name with a space", { { 1, 0, C, "a", "my db", 0 } }, "a>my db:1/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void a_broker_stands_between_its_two_sides(void **state)
{
    static const struct told_case cases[] = {
        { "both name it", { { 1, 0, P, "prod", "kafka", 0 }, { 2, 1, K, "cons", "kafka", 0 } }, "kafka>cons:1/0 prod>kafka:1/0" },
        { "nobody does", { { 1, 0, P, "prod", NULL, 0 }, { 2, 1, K, "cons", NULL, 0 } }, "prod>cons:1/0" },
        { "the producer does", { { 1, 0, P, "prod", "kafka", 0 }, { 2, 1, K, "cons", NULL, 0 } },
          "prod>cons:1/0 prod>kafka:1/0" },
        { "the consumer does", { { 1, 0, P, "prod", NULL, 0 }, { 2, 1, K, "cons", "kafka", 0 } }, "kafka>cons:1/0" },
        { "the producer alone", { { 1, 0, P, "prod", "kafka", 0 } }, "prod>kafka:1/0" },
        { "a consumer alone", { { 1, 0, K, "cons", "kafka", 0 } }, "kafka>cons:1/0" },
        { "a consumer with an unknown parent", { { 1, 9, K, "cons", "kafka", 0 } }, "kafka>cons:1/0" },
        { "two consumers", { { 1, 0, P, "prod", "kafka", 0 }, { 2, 1, K, "x", "kafka", 0 }, { 3, 1, K, "y", "kafka", 0 } },
          "kafka>x:1/0 kafka>y:1/0 prod>kafka:1/0" },
        { "on the way", { { 1, 0, S, "prod", NULL, 0 }, { 2, 1, P, "prod", "kafka", 0 }, { 3, 2, K, "cons", "kafka", 0 }, { 4, 3, C, "cons", "db", 0 } },
          "cons>cons:1/0 cons>db:1/0 kafka>cons:1/0 prod>kafka:1/0 prod>prod:1/0" },
        { "who produces is not known", { { 1, 0, P, NULL, "kafka", 0 } }, "" },
        { "who produces is not known, below", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, P, NULL, "kafka", 0 } }, "" },
        { "who consumes is not known", { { 1, 0, P, "prod", NULL, 0 }, { 2, 1, K, NULL, "kafka", 0 } }, "" },
        { "errors are of each side", { { 1, 0, P, "prod", "kafka", 1 }, { 2, 1, K, "cons", "kafka", 0 } },
          "kafka>cons:1/0 prod>kafka:1/1" },
        { "errors are of each side", { { 1, 0, P, "prod", "kafka", 0 }, { 2, 1, K, "cons", "kafka", 1 } },
          "kafka>cons:1/1 prod>kafka:1/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void who_has_no_service_is_nobody(void **state)
{
    static const struct told_case cases[] = {
        { "a child", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, NULL, NULL, 0 } }, "" },
        { "a child with an empty name", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, "", NULL, 0 } }, "" },
        { "a parent", { { 1, 0, S, NULL, NULL, 0 }, { 2, 1, S, "b", NULL, 0 } }, "" },
        { "between two", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, L, NULL, NULL, 0 }, { 3, 2, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "two between two", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, L, NULL, NULL, 0 }, { 3, 2, C, NULL, NULL, 0 },
            { 4, 3, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "a client below", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, NULL, "db", 0 } }, "a>db:1/0" },
        { "a client alone", { { 1, 0, C, NULL, "db", 0 } }, "" },
        { "no kind below", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, U, NULL, "db", 0 } }, "" },
        { "a server with a remote name", { { 1, 0, S, NULL, "a", 0 } }, "" },
        { "a caller by name only", { { 1, 0, C, NULL, NULL, 0 }, { 2, 1, S, "b", "a", 0 } }, "a>b:1/0" },
        { "a ring of nobody", { { 1, 2, L, NULL, NULL, 0 }, { 2, 1, L, NULL, NULL, 0 }, { 3, 1, S, "b", NULL, 0 } }, "" },
        { "a ring through nobody", { { 1, 2, L, "a", NULL, 0 }, { 2, 1, L, NULL, NULL, 0 } }, "" },
        { "a shared id", { { 1, 0, C, NULL, NULL, 0 }, { 1, 0, S, "b", NULL, 0 } }, "" },
        { "a shared id below", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, NULL, NULL, 0 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void an_error_is_of_the_call_that_failed(void **state)
{
    static const struct told_case cases[] = {
        { "the server's", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 1 } }, "a>b:1/1" },
        { "the client's", { { 1, 0, C, "a", NULL, 1 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/1" },
        { "both", { { 1, 0, C, "a", NULL, 1 }, { 2, 1, S, "b", NULL, 1 } }, "a>b:1/1" },
        { "the parent's, who is no client", { { 1, 0, S, "a", NULL, 1 }, { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "the client's, for a step", { { 1, 0, C, "a", NULL, 1 }, { 2, 1, L, "b", NULL, 0 } }, "a>b:1/0" },
        { "a step's", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, L, "b", NULL, 1 } }, "a>b:1/1" },
        { "of a shared id the server's", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 1 } }, "a>b:1/1" },
        { "of a shared id not the client's", { { 1, 0, C, "a", NULL, 1 }, { 1, 0, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "a leaf's", { { 1, 0, C, "a", "db", 1 } }, "a>db:1/1" },
        { "not that of its own call", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "b", "db", 1 } }, "a>b:1/0 b>db:1/1" },
        { "nor without a name", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, C, "b", NULL, 1 } }, "a>b:1/0" },
        { "nor of no kind", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, U, "b", "db", 1 } }, "a>b:1/0 b>db:1/1" },
        { "a root server's", { { 1, 0, S, "b", "a", 1 } }, "a>b:1/1" },
        { "the client's above nobody", { { 1, 0, C, "a", NULL, 1 }, { 2, 1, L, NULL, NULL, 0 }, { 3, 2, S, "b", NULL, 0 } },
          "a>b:1/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

static void copies_and_pieces_are_one_span(void **state)
{
    static const struct told_case cases[] = {
        { "copies of all", { { 1, 0, C, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 }, { 1, 0, C, "a", NULL, 0 },
            { 2, 1, S, "b", NULL, 0 } }, "a>b:1/0" },
        { "copies of a leaf", { { 1, 0, C, "a", "db", 1 }, { 1, 0, C, "a", "db", 1 }, { 1, 0, C, "a", "db", 1 } }, "a>db:1/1" },
        { "copies of a root server", { { 1, 0, S, "b", "a", 0 }, { 1, 0, S, "b", "a", 0 } }, "a>b:1/0" },
        { "the name in one", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, C, "a", "db", 0 } }, "a>db:1/0" },
        { "the error in one", { { 1, 0, C, "a", "db", 0 }, { 1, 0, C, "a", "db", 1 } }, "a>db:1/1" },
        { "the kind in one", { { 1, 0, U, "a", "db", 0 }, { 1, 0, C, "a", NULL, 0 } }, "a>db:1/0" },
        { "the kind in one, which is called", { { 1, 0, U, "b", NULL, 0 }, { 1, 0, S, "b", "a", 0 } }, "a>b:1/0" },
        { "the service in one", { { 1, 0, C, NULL, "db", 0 }, { 1, 0, C, "a", NULL, 0 } }, "a>db:1/0" },
        { "the parent in one", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 }, { 2, 0, S, "b", NULL, 1 } }, "a>b:1/1" },
        { "pieces of both halves", { { 1, 0, C, "a", NULL, 0 }, { 1, 0, S, "b", NULL, 0 }, { 1, 0, C, "a", "x", 0 },
            { 1, 0, S, "b", NULL, 1 } }, "a>b:1/1" },
        { "a child that is a copy", { { 1, 0, C, "a", "db", 0 }, { 2, 1, L, "a", NULL, 0 }, { 2, 1, L, "a", NULL, 0 } },
          "a>a:1/0" },
        { "another service is no piece", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, S, "b", NULL, 0 }, { 2, 1, S, "c", NULL, 0 } },
          "a>b:1/0 a>c:1/0" },
        { "another kind is no piece", { { 1, 0, S, "a", NULL, 0 }, { 2, 1, P, "b", NULL, 0 }, { 2, 1, K, "b", NULL, 0 } },
          "a>b:2/0" },
    };

    expect_told(*state, cases, MG_COUNT(cases));
}

/* Which attribute is the remote name, whatever else stands around it. */
static void only_a_text_is_a_remote_name(void **state)
{
    static char huge[3001], cut[301];
    const struct attr name = { STR("peer.service"), { .type = VALUE_STRING, .str = STR("db") } };
    const struct attr last = { STR("peer.service"), { .type = VALUE_STRING, .str = STR("end") } };
    const struct attr number = { STR("peer.service"), { .type = VALUE_INT, .i = 5 } };
    const struct attr bytes = { STR("peer.service"), { .type = VALUE_BYTES, .str = STR("db") } };
    const struct attr longer = { STR("peer.service.x"), { .type = VALUE_STRING, .str = STR("x") } };
    const struct attr none = { STR(""), { .type = VALUE_STRING, .str = STR("x") } };
    struct attr full = { STR("peer.service"), { .type = VALUE_STRING, .str = { huge, 3000 } } };
    const struct { struct attr attrs[3]; uint32_t n; const char *want; } cases[] = {
        { { name }, 1, "front>db:1/0" },
        { { longer, none, name }, 3, "front>db:1/0" },
        { { name, last }, 2, "front>end:1/0" }, /* the endpoint's stands behind the tag's */
        { { name, number }, 2, "front>db:1/0" },
        { { number }, 1, "" },
        { { bytes }, 1, "" },
        { { longer, none }, 2, "" },
        { { name }, 0, "" },
        { { full }, 1, cut },
    };
    struct span span = span_of(1, 1, 0, 0, false);

    memset(huge, 'x', 3000);
    snprintf(cut, sizeof cut, "front>%.256s:1/0", huge);
    span.kind = SPAN_CLIENT;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        span.attrs = cases[i].attrs;
        span.n_attrs = cases[i].n;
        expect_edges(*state, cases[i].want, &span, 1, cases[i].want);
    }
}

static void as_many_ancestors_as_are_climbed(void **state)
{
    static const struct { unsigned n; const char *want; } cases[] = { { 63, "cart>front:1/0" }, { 64, "cart>front:1/0" }, { 65, "" }, { 66, "" } };
    struct span spans[70];

    for (size_t i = 0; i < MG_COUNT(cases); i++) { /* so many without a service between the two */
        unsigned n = cases[i].n + 2;
        for (unsigned k = 0; k < n; k++)
            spans[k] = span_of(1, k + 1, k, k == 0 ? 1 : k == n - 1 ? 0 : 3, false);
        expect_edges(*state, "climbing", spans, n, cases[i].want);
    }
}

static void as_many_spans_of_an_id_as_are_told_apart(void **state)
{
    static const struct { unsigned n, want; } cases[] = { { 31, 31 }, { 32, 32 }, { 33, 32 }, { 300, 32 } };
    struct arena arena = { 0 };
    struct span spans[301];
    struct buf out;

    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        unsigned got = 1;
        spans[0] = span_of(1, 1, 0, 0, false);
        for (unsigned k = 1; k <= cases[i].n; k++) {
            spans[k] = span_of(1, 2, 1, 3, false);
            spans[k].resource = resource_named(&arena, arena_printf(&arena, "s%u", k).ptr);
        }
        edges_text(*state, spans, cases[i].n + 1, &out);
        for (const char *at = out.ptr; (at = strchr(at, ' ')); at++)
            got++;
        assert_int_equal(got, cases[i].want);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

/* --- against a model ------------------------------------------------------------------------------------ */

enum { MODEL_SPANS = 60 };
struct modelled { unsigned service, peer; bool is_copy; }; /* 3: none */

static bool same_trace(const struct span *a, const struct span *b)
{
    return memcmp(a->trace_id, b->trace_id, 16) == 0;
}

/* Index of the span's parent, n: none. Shared ids are a client and a server. */
static unsigned model_parent(const struct span *spans, const struct modelled *of, unsigned n, unsigned i)
{
    unsigned best = n, best_rank = 0;

    for (unsigned k = 0; spans[i].kind == SPAN_SERVER && k < n; k++)
        if (spans[k].kind == SPAN_CLIENT && same_trace(&spans[k], &spans[i]) && memcmp(spans[k].span_id, spans[i].span_id, 8) == 0)
            return k;
    if (get_le64(spans[i].parent_id) == 0 || memcmp(spans[i].parent_id, spans[i].span_id, 8) == 0)
        return n;
    for (unsigned k = 0; k < n; k++) {
        unsigned rank = spans[k].kind == SPAN_CLIENT ? 2 : of[k].service != 3 && of[k].service == of[i].service ? 3 : 1;
        if (!of[k].is_copy && same_trace(&spans[k], &spans[i]) && memcmp(spans[k].span_id, spans[i].parent_id, 8) == 0 && rank > best_rank) {
            best = k;
            best_rank = rank;
        }
    }
    return best;
}

static void model_link(struct model *model, struct str parent, struct str child, bool is_error)
{
    model_add(model, minute_now(), parent, child, 1, is_error);
}

static void model_span(struct model *model, const struct span *spans, const struct modelled *of, unsigned n, unsigned i)
{
    static const struct str peers[] = { STR_INIT("db"), STR_INIT("kafka"), STR_INIT("cart") };
    unsigned parent = model_parent(spans, of, n, i), ancestor = parent;
    bool has_peer = of[i].peer != 3, has_child = false, is_error = spans[i].status_code == STATUS_ERROR, names_callee;
    int kind = spans[i].kind;

    while (ancestor != n && of[ancestor].service == 3)
        ancestor = model_parent(spans, of, n, ancestor);
    for (unsigned k = 0; k < n; k++)
        has_child |= !of[k].is_copy && model_parent(spans, of, n, k) == i;
    names_callee = has_peer && (kind == SPAN_PRODUCER || (!has_child && (kind == SPAN_CLIENT || kind == SPAN_UNSPECIFIED)));
    if (names_callee && of[i].service != 3)
        model_link(model, service(of[i].service), peers[of[i].peer], is_error);
    else if (names_callee && ancestor != n && kind == SPAN_CLIENT)
        model_link(model, service(of[ancestor].service), peers[of[i].peer], is_error);
    if (of[i].service == 3)
        return;
    if (kind == SPAN_SERVER && parent != n && spans[parent].kind == SPAN_CLIENT && spans[parent].status_code == STATUS_ERROR &&
        memcmp(spans[parent].span_id, spans[i].span_id, 8) != 0)
        is_error = true;
    if (names_callee || kind == SPAN_CLIENT || kind == SPAN_PRODUCER)
        is_error = false;
    if (has_peer && (kind == SPAN_CONSUMER || (kind == SPAN_SERVER && ancestor == n)))
        model_link(model, peers[of[i].peer], service(of[i].service), is_error);
    else if (ancestor != n)
        model_link(model, service(of[ancestor].service), service(of[i].service), is_error);
}

/* Parents come before their children, so that there is no ring; an id is one span's, or a client's and a server's. */
static void random_one(struct random *random, struct span *spans, struct modelled *of, unsigned round, unsigned i)
{
    static const struct attr attrs[] = { { STR_INIT("peer.service"), { .type = VALUE_STRING, .str = STR_INIT("db") } },
                                         { STR_INIT("peer.service"), { .type = VALUE_STRING, .str = STR_INIT("kafka") } },
                                         { STR_INIT("peer.service"), { .type = VALUE_STRING, .str = STR_INIT("cart") } } };
    unsigned from = i ? (unsigned)random_below(random, i) : 0;
    uint64_t pick = random_below(random, 8);

    if (i > 0 && random_below(random, 6) == 0) { /* a copy */
        spans[i] = spans[from];
        of[i] = of[from];
        of[i].is_copy = true;
        return;
    }
    of[i] = (struct modelled){ (unsigned)random_below(random, 4), (unsigned)random_below(random, 4), false };
    spans[i] = span_of(1000 * round + random_below(random, 3), 1 + i, 0, of[i].service, random_below(random, 3) == 0);
    spans[i].kind = (int32_t)random_below(random, 6);
    spans[i].attrs = of[i].peer == 3 ? NULL : &attrs[of[i].peer];
    spans[i].n_attrs = of[i].peer != 3;
    if (pick == 7)
        put_be64(spans[i].parent_id, 999999);
    else if (pick == 6)
        memcpy(spans[i].parent_id, spans[i].span_id, 8);
    else if (pick && i)
        memcpy(spans[i].parent_id, spans[from].span_id, 8);
    if (i > 0 && !of[i - 1].is_copy && spans[i - 1].kind == SPAN_CLIENT && random_below(random, 2)) {
        spans[i].kind = SPAN_SERVER; /* shares its id */
        memcpy(spans[i].trace_id, spans[i - 1].trace_id, 16);
        memcpy(spans[i].span_id, spans[i - 1].span_id, 8);
        memcpy(spans[i].parent_id, spans[i - 1].parent_id, 8);
    }
}

/* Random fragments: several traces at once, all kinds, ids that repeat, copies, remote names, parents that are absent, own, or
 * unknown, spans without a service; over several commits, minutes and partitions. The model asks every pair. */
static void counts_are_those_of_a_naive_model(void **state)
{
    struct rig *rig = *state;
    struct model want = { { 0 } }, got;
    struct random random;
    uint32_t first = minute_now();
    struct span spans[MODEL_SPANS];
    struct modelled of[MODEL_SPANS];

    random_init(&random, 42);
    for (unsigned round = 0; round < 100; round++) {
        unsigned n = 1 + (unsigned)random_below(&random, MODEL_SPANS);
        rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
        for (unsigned i = 0; i < n; i++)
            random_one(&random, spans, of, round, i);
        for (unsigned i = 0; i < n; i++)
            if (!of[i].is_copy)
                model_span(&want, spans, of, n, i);
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
    assert_true(want.edges.n > 100);
    read_store(rig, first, minute_now(), &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    rig_retain(rig); /* sealed ones answer the same */
    rig_reopen(rig);
    read_store(rig, first, minute_now(), &got);
    model_expect(&want, &got);
    VEC_FINI(&got.edges);
    VEC_FINI(&want.edges);
}

/* --- when ------------------------------------------------------------------------------------------------ */

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
        T(two_sides_of_a_call_are_linked_once), T(a_shared_id_is_a_client_and_its_server),
        T(a_remote_name_stands_for_who_sends_no_spans), T(a_broker_stands_between_its_two_sides),
        T(who_has_no_service_is_nobody), T(an_error_is_of_the_call_that_failed), T(copies_and_pieces_are_one_span),
        T(only_a_text_is_a_remote_name), T(as_many_ancestors_as_are_climbed), T(as_many_spans_of_an_id_as_are_told_apart),
        T(counts_are_those_of_a_naive_model), T(a_late_fragment_has_edges_of_its_own_only), T(a_commit_made_again_counts_once),
        T(both_ends_of_a_window_belong_to_it), cmocka_unit_test(malformed_values_are_refused),
        T(a_malformed_minute_fails_the_answer_and_no_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
