/* template_test.c - which sort of index template a server knows, and what is put. Answers to GET / as
 * Elasticsearch 6.8, 7.17, 8.13 and OpenSearch 2.13 give them, shortened. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "codec/json.h"
#include "elasticsearch/private.h"

#define VERSION(number) "{\"name\":\"n1\",\"cluster_name\":\"c\",\"version\":{\"number\":\"" number "\",\"build_flavor\":\"default\","        \
                        "\"lucene_version\":\"9.10.0\"},\"tagline\":\"You Know, for Search\"}"
#define OPENSEARCH(number) "{\"name\":\"n1\",\"version\":{\"distribution\":\"opensearch\",\"number\":\"" number "\"},\"tagline\":\"x\"}"

static void test_sorts(void **state)
{
    static const struct { const char *body; enum mg_err err; enum template_sort want; } cases[] = {
        { VERSION("8.13.4"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("9.0.0-beta1"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("10.1.0"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("7.17.21"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("7.8.0"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("7.7.1"), MG_OK, TEMPLATE_LEGACY },
        { VERSION("7.0.0"), MG_OK, TEMPLATE_LEGACY },
        { VERSION("8.0"), MG_OK, TEMPLATE_COMPOSABLE },
        { OPENSEARCH("2.13.0"), MG_OK, TEMPLATE_COMPOSABLE },
        { OPENSEARCH("1.0.0"), MG_OK, TEMPLATE_COMPOSABLE },
        { OPENSEARCH("7.10.2"), MG_OK, TEMPLATE_COMPOSABLE },
        { VERSION("6.8.23"), MG_E_UNSUPPORTED, 0 },
        { VERSION("1.7.6"), MG_E_UNSUPPORTED, 0 },
        { VERSION("8"), MG_E_FORMAT, 0 },
        { VERSION(""), MG_E_FORMAT, 0 },
        { VERSION("eight.1"), MG_E_FORMAT, 0 },
        { VERSION("8.x"), MG_E_FORMAT, 0 },
        { VERSION("-8.1.0"), MG_E_FORMAT, 0 },
        { "{\"version\":{}}", MG_E_FORMAT, 0 },
        { "{\"version\":{\"number\":8.1}}", MG_E_FORMAT, 0 },
        { "{\"version\":\"8.1.0\"}", MG_E_FORMAT, 0 },
        { "{\"tagline\":\"You Know, for Search\"}", MG_E_FORMAT, 0 },
        { "{}", MG_E_FORMAT, 0 },
        { "[]", MG_E_FORMAT, 0 },
        { "", MG_E_FORMAT, 0 },
        { "<html>It works!</html>", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        enum template_sort sort = TEMPLATE_SORTS;
        struct mg_why why = {""};
        enum mg_err err = template_sort_read(str_of(cases[i].body), &sort, &why);
        if (err != cases[i].err || sort != (err == MG_OK ? cases[i].want : TEMPLATE_SORTS))
            fail_msg("row %zu: %s %s", i, mg_err_name(err), why.text);
        assert_int_equal(why.text[0] != '\0', err != MG_OK);
    }
}

/* A dotted path through objects. */
static const struct json *at(const struct json *value, const char *path)
{
    struct str rest = str_of(path), part;
    while (value && str_cut(&rest, '.', &part)) {
        char key[64];
        assert_true(part.len < sizeof key);
        memcpy(key, part.ptr, part.len);
        key[part.len] = '\0';
        value = json_get(value, key);
    }
    return value;
}

static void assert_at(const struct json *value, const char *path, const char *want)
{
    const struct json *found = at(value, path);
    if (!found || !str_eq(json_str(found), str_of(want)))
        fail_msg("%s is not %s", path, want);
}

static struct json *written(unsigned i, enum template_sort sort, const char *prefix, const char *want_path)
{
    struct buf path, body;
    struct json *root;
    struct mg_why why;
    buf_init(&path, 1000);
    buf_init(&body, 1 << 16);
    buf_put_text(&path, "/es");
    template_write(i, sort, str_of(prefix), &path, &body);
    assert_true(str_eq(buf_str(&path), str_of(want_path)));
    if (json_parse(&root, buf_str(&body), &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_true(body.len < 1 << 14); /* the bound its user has */
    buf_fini(&path);
    buf_fini(&body);
    return root;
}

static void assert_span_mappings(const struct json *mappings)
{
    static const struct { const char *path, *want; } rows[] = {
        { "traceID.type", "keyword" }, { "spanID.type", "keyword" }, { "operationName.type", "keyword" },
        { "startTime.type", "long" }, { "startTimeMillis.type", "date" }, { "startTimeMillis.format", "epoch_millis" },
        { "duration.type", "long" }, { "flags.type", "integer" },
        { "references.type", "nested" }, { "references.properties.refType.type", "keyword" },
        { "references.properties.traceID.type", "keyword" }, { "references.properties.spanID.type", "keyword" },
        { "tags.type", "nested" }, { "tags.properties.key.type", "keyword" }, { "tags.properties.value.type", "keyword" },
        { "tags.properties.type.type", "keyword" },
        { "logs.type", "nested" }, { "logs.properties.timestamp.type", "long" }, { "logs.properties.fields.type", "nested" },
        { "logs.properties.fields.properties.key.type", "keyword" },
        { "process.properties.serviceName.type", "keyword" }, { "process.properties.tags.type", "nested" },
        { "process.properties.tags.properties.value.type", "keyword" },
        { "tag.type", "object" }, { "process.properties.tag.type", "object" },
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_at(json_get(mappings, "properties"), rows[i].path, rows[i].want);
    assert_int_equal(json_int(at(mappings, "properties.tags.properties.value.ignore_above")), 256);
    const struct json *dynamic = json_get(mappings, "dynamic_templates");
    assert_int_equal(json_count(dynamic), 2);
    assert_at(json_at(dynamic, 0), "span_tags_map.path_match", "tag.*");
    assert_at(json_at(dynamic, 0), "span_tags_map.mapping.type", "keyword");
    assert_at(json_at(dynamic, 1), "process_tags_map.path_match", "process.tag.*");
}

static void test_templates(void **state)
{
    (void)state;
    struct json *root = written(0, TEMPLATE_COMPOSABLE, "", "/es/_index_template/jaeger-span");
    assert_true(str_eq(json_str(json_at(json_get(root, "index_patterns"), 0)), STR("jaeger-span-*")));
    assert_int_equal(json_kind(json_get(root, "priority")), JSON_INT);
    assert_null(json_get(root, "mappings"));
    assert_span_mappings(at(root, "template.mappings"));
    json_free(&root);

    root = written(0, TEMPLATE_LEGACY, "x-", "/es/_template/x-jaeger-span");
    assert_true(str_eq(json_str(json_at(json_get(root, "index_patterns"), 0)), STR("x-jaeger-span-*")));
    assert_int_equal(json_kind(json_get(root, "order")), JSON_INT);
    assert_null(json_get(root, "template"));
    assert_span_mappings(json_get(root, "mappings"));
    json_free(&root);

    root = written(1, TEMPLATE_COMPOSABLE, "x-", "/es/_index_template/x-jaeger-service");
    assert_true(str_eq(json_str(json_at(json_get(root, "index_patterns"), 0)), STR("x-jaeger-service-*")));
    assert_at(root, "template.mappings.properties.serviceName.type", "keyword");
    assert_at(root, "template.mappings.properties.operationName.type", "keyword");
    json_free(&root);

    root = written(1, TEMPLATE_LEGACY, "", "/es/_template/jaeger-service");
    assert_at(root, "mappings.properties.operationName.type", "keyword");
    json_free(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
