/* Which traffic nobody wants in full: the built-in lists, a user's own, and what is said about lists that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/random.h"
#include "sample/memo.h"
#include "unit/sample/rows.h"

/* NULL: the built-in ones. */
static enum mg_err try_classes(struct classes **out, const char *text, struct mg_why *why)
{
    struct yaml_docs *docs;
    enum mg_err err;

    if (!text)
        return classes_new(out, NULL, why);
    assert_int_equal(yaml_parse(&docs, str_of(text), "test", NULL), MG_OK);
    err = classes_new(out, yaml_doc(docs, 0), why);
    yaml_docs_free(&docs); /* nothing may point into it */
    return err;
}

static struct classes *new_classes(const char *text)
{
    struct classes *classes = NULL;
    struct mg_why why = { "" };

    if (try_classes(&classes, text, &why) != MG_OK)
        fail_msg("%s", why.text);
    return classes;
}

static const char *name_of(const struct classes *classes, size_t i)
{
    static char text[200];

    if (i == CLASS_NONE)
        return "-";
    snprintf(text, sizeof text, "%.*s", STR_ARG(class_name(classes, i)));
    return text;
}

/* Twice: found out, and remembered. */
static size_t class_of_row(const struct classes *classes, const struct row *row)
{
    static const struct condition_set nothing;
    struct memo *memo = memo_new(&nothing, classes);
    size_t found = memo_class(memo, row);

    assert_int_equal(memo_class(memo, row), found);
    memo_free(&memo);
    return found;
}

struct texts { const char *key, *value; };

static const char *class_of(const struct classes *classes, const char *name, const struct texts *texts, size_t n)
{
    struct attr attrs[4];
    struct rows rows;
    const char *says;

    assert_true(n <= MG_COUNT(attrs));
    for (size_t i = 0; i < n; i++)
        attrs[i] = (struct attr){ str_of(texts[i].key), { .type = VALUE_STRING, .str = str_of(texts[i].value) } };
    rows_init(&rows);
    const struct row *row = rows_add(&rows, &(struct span){ .trace_id = { 1 }, .span_id = { 1 }, .name = str_of(name), .attrs = attrs, .n_attrs = (uint32_t)n }, NULL);
    says = name_of(classes, class_of_row(classes, row));
    rows_fini(&rows);
    return says;
}

/* --- the built-in lists --------------------------------------------------------------------------- */

static void built_in_classes_are_health_and_metrics(void **state)
{
    struct classes *classes = new_classes(NULL);

    (void)state;
    assert_int_equal(classes_n(classes), 2);
    assert_string_equal(name_of(classes, 0), "health");
    assert_true(class_probability(classes, 0) == 0.1);
    assert_string_equal(name_of(classes, 1), "metrics");
    assert_true(class_probability(classes, 1) == 0.01);
    classes_free(&classes);
    assert_null(classes);
    classes_free(&classes);
}

static const struct { const char *key, *value, *class; } attributes[] = {
    /* --- a path */
    { "url.path", "/health", "health" }, { "url.path", "/healthz", "health" }, { "url.path", "/healthz/ready", "health" },
    { "url.path", "/livez", "health" }, { "url.path", "/readyz", "health" }, { "url.path", "/-/ready", "health" },
    { "url.path", "/actuator/health/liveness", "health" }, { "url.path", "/metrics", "metrics" }, { "url.path", "/metrics/cadvisor", "metrics" },
    { "url.path", "/actuator/prometheus", "metrics" }, { "url.path", "/federate", "metrics" },
    { "http.route", "/healthz", "health" }, { "http.route", "/metrics", "metrics" },
    { "http.target", "/healthz", "health" }, { "http.target", "/healthz?verbose=1", "health" }, { "http.target", "/metrics?name[]=up", "metrics" },
    { "http.target", "/health#top", "health" }, { "url.full", "https://a.example:8443/healthz?x=1#y", "health" },
    { "http.url", "http://10.0.0.1:9090/metrics", "metrics" }, { "http.url", "http://[::1]:80/livez", "health" },
    { "url.full", "http://user@a.example/ping", "health" },
    /* --- not quite */
    { "url.path", "/healthy", "-" }, { "url.path", "/metricsx", "-" }, { "url.path", "/Health", "-" }, { "url.path", "/v1/health", "-" },
    { "url.path", "health", "-" }, { "url.path", "", "-" }, { "url.path", "/", "-" }, { "url.path", "/healthz?x", "-" },
    { "url.path", "/ping/", "-" }, { "url.path", "/livezz", "-" }, { "http.target", "/orders?next=/healthz", "-" }, { "http.target", "?/healthz", "-" },
    { "http.route", "/health*", "-" }, { "url.full", "https://healthz/", "-" }, { "url.full", "/healthz", "-" }, { "url.full", "http://", "-" },
    { "url.full", "http://a.example", "-" }, { "url.full", "http://a.example?x=/healthz", "-" }, { "url.full", "http://a.example#/healthz", "-" },
    { "http.url", "http://a.example/a/healthz", "-" }, { "http.path", "/healthz", "-" }, { "URL.PATH", "/healthz", "-" }, { "url.query", "/metrics", "-" },
    /* --- who asks */
    { "user_agent.original", "kube-probe/1.29", "health" }, { "http.user_agent", "kube-probe/", "health" },
    { "user_agent.original", "ELB-HealthChecker/2.0", "health" }, { "user_agent.original", "GoogleHC/1.0", "health" },
    { "http.user_agent", "Consul Health Check", "health" }, { "http.user_agent", "Prometheus/2.51.0", "metrics" },
    { "user_agent.original", "vm_promscrape", "metrics" },
    { "user_agent.original", "kube-probe", "-" }, { "user_agent.original", "Mozilla/5.0 kube-probe/1.29", "-" }, { "http.user_agent", "", "-" },
    { "http.user_agent", "prometheus/2.51.0", "-" }, { "user_agent.name", "kube-probe/1.29", "-" }, { "http.user_agent", "/healthz", "-" },
    { "url.path", "kube-probe/1.29", "-" }, { "peer.service", "health", "-" },
};

static void built_in_classes_know_attributes(void **state)
{
    struct classes *classes = new_classes(NULL);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(attributes); i++) {
        const char *says = class_of(classes, "handle", &(struct texts){ attributes[i].key, attributes[i].value }, 1);
        if (strcmp(says, attributes[i].class) != 0)
            fail_msg("%s=%s: %s, not %s", attributes[i].key, attributes[i].value, says, attributes[i].class);
    }
    classes_free(&classes);
}

/* The name alone: of a span without attributes, and as head sampling asks. */
static const struct { const char *name, *class; } operations[] = {
    { "GET /healthz", "health" }, { "HEAD /health/db", "health" }, { "GET /metrics", "metrics" }, { "GET /healthz?full=1", "health" },
    { "grpc.health.v1.Health/Check", "health" }, { "/grpc.health.v1.Health/Watch", "health" }, { "health", "health" }, { "metrics", "metrics" },
    { "get /healthz", "-" }, { "Get /healthz", "-" }, { "GET  /healthz", "-" }, { "GET healthz", "-" }, { "GET/healthz", "-" }, { " /healthz", "-" },
    { "/healthz", "-" }, { "GET", "-" }, { "GET ", "-" }, { "GET /", "-" }, { "", "-" }, { "GET /healthy", "-" }, { "GET /metricsx", "-" },
    { "GET /orders?to=/healthz", "-" }, { "HTTP GET /healthz", "-" }, { "HEALTH", "-" }, { "healthz", "-" }, { "kube-probe/1.29", "-" },
    { "my.grpc.health.v1.Health/Check", "-" }, { "grpc.health.v1.Health", "-" },
};

static void built_in_classes_know_operations(void **state)
{
    struct classes *classes = new_classes(NULL);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(operations); i++) {
        const char *name = operations[i].name;
        if (strcmp(name_of(classes, class_of_operation(classes, str_of(name))), operations[i].class) != 0)
            fail_msg("operation '%s' is not %s", name, operations[i].class);
        if (strcmp(class_of(classes, name, NULL, 0), operations[i].class) != 0)
            fail_msg("span '%s' is not %s", name, operations[i].class);
    }
    classes_free(&classes);
}

static void numbers_are_no_paths(void **state)
{
    struct classes *classes = new_classes("[{name: a, probability: 0, paths: ['42', 'true']}]");
    const struct attr attrs[] = { { STR("url.path"), { .type = VALUE_INT, .i = 42 } }, { STR("http.route"), { .type = VALUE_BOOL, .b = true } },
                                  { STR("http.target"), { .type = VALUE_BYTES, .str = STR("42") } } };
    struct rows rows;

    (void)state;
    rows_init(&rows);
    const struct row *row = rows_add(&rows, &(struct span){ .trace_id = { 1 }, .span_id = { 1 }, .name = STR("a"), .attrs = attrs, .n_attrs = 3 }, NULL);
    assert_int_equal(class_of_row(classes, row), CLASS_NONE);
    rows_fini(&rows);
    classes_free(&classes);
}

static void one_path_is_taken_of_several(void **state)
{
    static const struct { struct texts texts[2]; const char *class; } rows[] = {
        { { { "url.path", "/orders" }, { "http.target", "/healthz" } }, "-" }, /* the newer convention counts, in either order */
        { { { "http.target", "/healthz" }, { "url.path", "/orders" } }, "-" },
        { { { "http.target", "/orders" }, { "http.url", "http://a/healthz" } }, "-" },
        { { { "url.path", "/healthz" }, { "url.full", "http://a/orders" } }, "health" },
        { { { "url.path", "" }, { "http.target", "/metrics" } }, "metrics" },
        { { { "url.path", "/x/health" }, { "http.route", "/healthz" } }, "health" }, /* a route is looked at besides */
        { { { "url.path", "/orders" }, { "user_agent.original", "kube-probe/1" } }, "health" },
        { { { "url.path", "/metrics" }, { "user_agent.original", "kube-probe/1" } }, "health" }, /* the first class wins */
    };
    struct classes *classes = new_classes(NULL);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_string_equal(class_of(classes, "handle", rows[i].texts, 2), rows[i].class);
    classes_free(&classes);
}

/* As a loop interns them: values that repeat become symbols, whose class is remembered, while unlike ones stand in their rows. */
static void a_remembered_class_is_the_same(void **state)
{
    static const struct condition_set nothing;
    struct classes *classes = new_classes(NULL);
    struct memo *memo = memo_new(&nothing, classes);
    struct rows rows;

    (void)state;
    rows_init(&rows);
    for (unsigned i = 0; i < 20 * MG_COUNT(attributes); i++) {
        size_t at = i * 7 % MG_COUNT(attributes);
        const struct attr attrs[] = { { STR("n"), { .type = VALUE_INT, .i = i } },
                                      { str_of(attributes[at].key), { .type = VALUE_STRING, .str = str_of(attributes[at].value) } } };
        const struct row *row = rows_add(&rows, &(struct span){ .trace_id = { 1 }, .span_id = { 1 }, .name = STR("handle"), .attrs = attrs,
                                                                .n_attrs = 2 }, NULL);
        if (strcmp(name_of(classes, memo_class(memo, row)), attributes[at].class) != 0)
            fail_msg("%s=%s is not %s", attributes[at].key, attributes[at].value, attributes[at].class);
    }
    rows_fini(&rows);
    memo_free(&memo);
    classes_free(&classes);
}

/* --- a user's ------------------------------------------------------------------------------------- */

static void the_first_class_wins(void **state)
{
    struct classes *classes = new_classes("- {name: b, probability: 1, paths: [/a/b]}\n"
                                          "- {name: a, probability: 0.5, paths: [/a/*], operations: ['job *', x]}\n"
                                          "- {name: all, probability: 0, paths: ['*'], operations: ['*']}\n");

    (void)state;
    assert_int_equal(classes_n(classes), 3);
    assert_string_equal(class_of(classes, "x", &(struct texts){ "url.path", "/a/b" }, 1), "b");
    assert_string_equal(class_of(classes, "x", &(struct texts){ "url.path", "/a/bc" }, 1), "a");
    assert_string_equal(class_of(classes, "y", &(struct texts){ "url.path", "/a/" }, 1), "a");
    assert_string_equal(class_of(classes, "y", &(struct texts){ "url.path", "/a" }, 1), "all");
    assert_string_equal(name_of(classes, class_of_operation(classes, STR("job 7"))), "a");
    assert_string_equal(name_of(classes, class_of_operation(classes, STR("job"))), "all");
    assert_string_equal(name_of(classes, class_of_operation(classes, STR("PUT /a/b"))), "b");
    assert_string_equal(name_of(classes, class_of_operation(classes, STR(""))), "-");
    assert_true(class_probability(classes, 2) == 0);
    classes_free(&classes);
}

static void a_list_takes_the_place_of_the_built_in_one(void **state)
{
    struct classes *empty = new_classes("[]"), *own = new_classes("[{name: own, probability: 1e-3, user_agents: [bot]}]");

    (void)state;
    assert_int_equal(classes_n(empty), 0);
    assert_string_equal(class_of(empty, "GET /healthz", &(struct texts){ "url.path", "/healthz" }, 1), "-");
    assert_int_equal(class_of_operation(empty, STR("health")), CLASS_NONE);
    assert_string_equal(class_of(own, "GET /healthz", &(struct texts){ "url.path", "/healthz" }, 1), "-");
    assert_string_equal(class_of(own, "a", &(struct texts){ "http.user_agent", "bot" }, 1), "own");
    assert_string_equal(class_of(own, "bot", &(struct texts){ "http.user_agent", "bots" }, 1), "-");
    classes_free(&empty);
    classes_free(&own);
}

/* --- many patterns -------------------------------------------------------------------------------- */

static struct str random_word(struct random *random, char word[8])
{
    size_t n = random_below(random, 7);

    for (size_t i = 0; i < n; i++)
        word[i] = "ab/"[random_below(random, 3)];
    return str_n(word, n);
}

enum { SOME = 5, PATTERNS = 12 };
struct some_classes { struct { char text[8]; size_t len; bool is_beginning; } at[SOME][PATTERNS]; };

static struct classes *random_classes(struct random *random, struct some_classes *some)
{
    struct buf text;

    buf_init(&text, 1 << 16);
    for (size_t i = 0; i < SOME; i++) {
        buf_printf(&text, "- {name: c%zu, probability: 1, operations: [", i);
        for (size_t k = 0; k < PATTERNS; k++) {
            some->at[i][k].len = random_word(random, some->at[i][k].text).len;
            some->at[i][k].is_beginning = some->at[i][k].len == 0 ? random_below(random, 10) == 0 : random_below(random, 2);
            if (some->at[i][k].len == 0 && !some->at[i][k].is_beginning)
                some->at[i][k].text[some->at[i][k].len++] = 'c'; /* there is no empty pattern */
            buf_printf(&text, "%s'%.*s%s'", k ? ", " : "", (int)some->at[i][k].len, some->at[i][k].text, some->at[i][k].is_beginning ? "*" : "");
        }
        buf_put_text(&text, "]}\n");
    }
    buf_put_char(&text, 0);
    struct classes *classes = new_classes(text.ptr);
    buf_fini(&text);
    return classes;
}

static size_t find_one_by_one(const struct some_classes *some, struct str text)
{
    for (size_t i = 0; i < SOME && text.len; i++)
        for (size_t k = 0; k < PATTERNS; k++) {
            struct str pattern = str_n(some->at[i][k].text, some->at[i][k].len);
            if (some->at[i][k].is_beginning ? str_starts(text, pattern) : str_eq(text, pattern))
                return i;
        }
    return CLASS_NONE;
}

/* Patterns that begin with one another, come twice, and are whole in one class and a beginning in another. */
static void the_first_of_many_patterns_is_found(void **state)
{
    struct random random;
    char word[8];

    (void)state;
    random_init(&random, 11);
    for (unsigned round = 0; round < 300; round++) {
        struct some_classes some;
        struct classes *classes = random_classes(&random, &some);
        for (unsigned i = 0; i < 300; i++) {
            struct str text = random_word(&random, word);
            size_t want = find_one_by_one(&some, text), got = class_of_operation(classes, text);
            if (got != want)
                fail_msg("round %u: '%.*s' is %s", round, STR_ARG(text), name_of(classes, got));
        }
        classes_free(&classes);
    }
}

/* --- what is refused ------------------------------------------------------------------------------ */

#define A "sampling.classes 1 'a' (line 1): "

static const struct { const char *text, *says; } refused[] = {
    { "health", "sampling.classes (line 1) is no list of classes" },
    { "{name: a}", "sampling.classes (line 1) is no list of classes" },
    { "[a]", "sampling.classes 1 (line 1): is no map with name, probability and paths, user_agents or operations" },
    { "[[]]", "sampling.classes 1 (line 1): is no map with name, probability and paths, user_agents or operations" },
    { "- \n", "sampling.classes 1 (line 1): is no map with name, probability and paths, user_agents or operations" },
    { "- {name: a, probability: 1, path: [/a]}", A "unknown key 'path'; did you mean 'paths'?" },
    { "- {name: a, probability: 1, xxxxxxxx: 1}", A "unknown key 'xxxxxxxx' (name, probability, paths, user_agents, operations)" },
    { "- {probability: 1, paths: [/a]}", "sampling.classes 1 (line 1): name is missing" },
    { "- {name: , probability: 1, paths: [/a]}", "sampling.classes 1 (line 1): name is missing" },
    { "- {name: '', probability: 1, paths: [/a]}", "sampling.classes 1 (line 1): name is empty" },
    { "- {name: [a], probability: 1, paths: [/a]}", "sampling.classes 1 (line 1): name is a list, not a text" },
    { "- {name: a, paths: [/a]}", A "probability is missing" },
    { "- {name: a, probability: , paths: [/a]}", A "probability is missing" },
    { "- {name: a, probability: 1.1, paths: [/a]}", A "probability is 1.1, which is above 1" },
    { "- {name: a, probability: -0.1, paths: [/a]}", A "probability is -0.1, which is below 0" },
    { "- {name: a, probability: much, paths: [/a]}", A "probability is 'much', not a number" },
    { "- {name: a, probability: 10%, paths: [/a]}", A "probability is '10%', not a number" },
    { "- {name: a, probability: nan, paths: [/a]}", A "probability is 'nan', not a number" },
    { "- {name: a, probability: [1], paths: [/a]}", A "probability is a list, not a number" },
    { "- {name: a, probability: 1, paths: ['/a*b']}", A "paths 1 '/a*b': a * can only stand at the end" },
    { "- {name: a, probability: 1, paths: [/a, '*b']}", A "paths 2 '*b': a * can only stand at the end" },
    { "- {name: a, probability: 1, user_agents: ['a**']}", A "user_agents 1 'a**': a * can only stand at the end" },
    { "- {name: a, probability: 1, operations: ['a*b*']}", A "operations 1 'a*b*': a * can only stand at the end" },
    { "- {name: a, probability: 1, paths: [/a, '']}", A "paths 2 is empty" },
    { "- {name: a, probability: 1, paths: [/a, [/b]]}", A "paths 2 is not a text" },
    { "- {name: a, probability: 1, paths: /a}", A "paths is '/a', not a list" },
    { "- {name: a, probability: 1, paths: []}", A "paths is empty" },
    { "- {name: a, probability: 1}", A "has no paths, user_agents or operations, so nothing would belong to it" },
    { "- {name: a, probability: 1, paths: }", A "has no paths, user_agents or operations, so nothing would belong to it" },
    { "- {name: b, probability: 1, paths: [/a]}\n- {name: a, probability: 1, paths: [/a]}\n- {name: b, probability: 0, paths: [/b]}\n",
      "sampling.classes 3 'b' (line 3): has the name of class 1" },
    { "- {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, probability: 2}",
      "sampling.classes 1 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' (line 1): probability is 2, which is above 1" },
};

static void bad_lists_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused); i++) {
        struct classes *classes = NULL;
        struct mg_why why = { "" };
        assert_int_equal(try_classes(&classes, refused[i].text, &why), MG_E_FORMAT);
        assert_null(classes);
        assert_string_equal(why.text, refused[i].says);
        assert_int_equal(try_classes(&classes, refused[i].text, NULL), MG_E_FORMAT);
    }
}

static enum mg_err try_many(size_t n_classes, size_t n_patterns, struct mg_why *why)
{
    struct classes *classes = NULL;
    struct buf text;
    enum mg_err err;

    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < n_classes; i++) {
        buf_printf(&text, "- {name: c%zu, probability: 1, operations: [o0", i);
        for (size_t k = 1; k < n_patterns; k++)
            buf_printf(&text, ", o%zu", k);
        buf_printf(&text, "]}\n");
    }
    buf_put_char(&text, 0);
    err = try_classes(&classes, text.ptr, why);
    if (err == MG_OK)
        assert_int_equal(classes_n(classes), n_classes);
    classes_free(&classes);
    buf_fini(&text);
    return err;
}

static void classes_and_patterns_are_limited(void **state)
{
    struct mg_why why = { "" };

    (void)state;
    assert_int_equal(try_many(49, 1, NULL), MG_OK);
    assert_int_equal(try_many(50, 1, NULL), MG_OK);
    assert_int_equal(try_many(51, 1, &why), MG_E_TOO_BIG);
    assert_string_equal(why.text, "sampling.classes has 51 classes; at most 50 are possible");
    assert_int_equal(try_many(1, 999, NULL), MG_OK);
    assert_int_equal(try_many(1, 1000, NULL), MG_OK);
    assert_int_equal(try_many(1, 1001, &why), MG_E_TOO_BIG);
    assert_string_equal(why.text, "sampling.classes 1 'c0' (line 1): operations has 1001 patterns; at most 1000 are possible");
}

/* --- printing ------------------------------------------------------------------------------------- */

static void print(const char *text, struct buf *out)
{
    struct classes *classes = new_classes(text);

    buf_init(out, 1 << 20);
    classes_print(classes, out);
    classes_free(&classes);
}

static void equal_lists_print_equally(void **state)
{
    static const struct { const char *one, *other; bool are_equal; } rows[] = {
        { "[{name: a, probability: 0.5, paths: [/a, /b]}]", "- probability: 5e-1\n  paths:\n    - '/a'\n    - \"/b\"\n  name: a\n", true },
        { "[]", "[ ]", true },
        { NULL, NULL, true },
        { "[]", NULL, false },
        { "[{name: a, probability: 0.5, paths: [/a]}]", "[{name: a, probability: 0.6, paths: [/a]}]", false },
        { "[{name: a, probability: 0.5, paths: [/a]}]", "[{name: a, probability: 0.5, operations: [/a]}]", false },
        { "[{name: a, probability: 0.5, paths: [/a]}]", "[{name: b, probability: 0.5, paths: [/a]}]", false },
        { "[{name: a, probability: 0.5, paths: [/a, /b]}]", "[{name: a, probability: 0.5, paths: ['/a,/b']}]", false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf one, other;
        print(rows[i].one, &one);
        print(rows[i].other, &other);
        assert_int_equal(str_eq(buf_str(&one), buf_str(&other)), rows[i].are_equal);
        buf_fini(&one);
        buf_fini(&other);
    }
}

static void a_list_prints_as_json_that_reads_back(void **state)
{
    static const char want[] = "[{\"name\":\"a \\\"b\",\"probability\":0.25,\"paths\":[\"/a\",\"/b*\"],\"user_agents\":[],\"operations\":[\"x\"]}]";
    struct buf out;

    (void)state;
    print("- {name: 'a \"b', probability: 0.25, operations: [x], paths: [/a, '/b*']}", &out);
    assert_true(str_eq(buf_str(&out), str_of(want)));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_classes_are_health_and_metrics),
        cmocka_unit_test(built_in_classes_know_attributes),
        cmocka_unit_test(built_in_classes_know_operations),
        cmocka_unit_test(numbers_are_no_paths),
        cmocka_unit_test(one_path_is_taken_of_several),
        cmocka_unit_test(a_remembered_class_is_the_same),
        cmocka_unit_test(the_first_class_wins),
        cmocka_unit_test(a_list_takes_the_place_of_the_built_in_one),
        cmocka_unit_test(the_first_of_many_patterns_is_found),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(classes_and_patterns_are_limited),
        cmocka_unit_test(equal_lists_print_equally),
        cmocka_unit_test(a_list_prints_as_json_that_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
