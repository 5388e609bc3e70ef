/* bulk_test.c - batches as bodies of bulk requests: documents, indices, ids that stay the same, service documents
 * once, and cutting. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "elasticsearch/private.h"
#include "unit/elasticsearch/lines.h"
#include "unit/peer/otlp_capture.h"

#define DAY UINT64_C(86400000000000)
#define START (UINT64_C(1516781775) * 1000000000) /* 2018-01-24T08:16:15Z */

static void convert(struct bulk *bulk, struct str body, struct bulk_batch *batch, struct documents *documents)
{
    struct mg_why why;
    *documents = (struct documents){0};
    if (bulk_convert(bulk, body, batch, &why) != MG_OK)
        fail_msg("%s", why.text);
    for (size_t i = 0; i < batch->parts.list.n; i++) {
        size_t before = documents->list.n;
        documents_read(documents, buf_str(&batch->parts.list.at[i].body));
        assert_int_equal(documents->list.n - before, batch->parts.list.at[i].ends.n);
    }
}

static void assert_text(const struct json *object, const char *key, const char *want)
{
    const struct json *value = json_get(object, key);
    if (!value || !str_eq(json_str(value), str_of(want)))
        fail_msg("%s is not %s", key, want);
}

static const struct json *tag(const struct json *tags, const char *key)
{
    for (size_t i = 0; i < json_count(tags); i++)
        if (str_eq(json_str(json_get(json_at(tags, i), "key")), str_of(key)))
            return json_at(tags, i);
    fail_msg("no tag %s", key);
    return NULL;
}

static void test_documents_of_a_foreign_batch(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct bulk_batch batch;
    struct documents documents;
    (void)state;
    convert(bulk, otlp_capture(), &batch, &documents);
    assert_int_equal(batch.left_out, 0);
    assert_int_equal(documents.list.n, 4);
    const struct document *client = &documents.list.at[0], *server = &documents.list.at[2];
    assert_true(str_eq(client->index, STR("jaeger-span-2018-01-25")));
    assert_true(str_eq(documents.list.at[1].index, STR("jaeger-service-2018-01-25")));
    assert_true(str_eq(server->index, STR("jaeger-span-2018-01-24")));
    assert_true(str_eq(documents.list.at[3].index, STR("jaeger-service-2018-01-24")));

    assert_text(client->source, "traceID", "5982fe77008310cc80f1da5e10147517");
    assert_text(client->source, "spanID", "0102030405060702");
    assert_text(client->source, "operationName", "db");
    assert_int_equal(json_int(json_get(client->source, "startTime")), 1516868175726000);
    assert_int_equal(json_int(json_get(client->source, "startTimeMillis")), 1516868175726);
    assert_int_equal(json_int(json_get(client->source, "duration")), 1500);
    const struct json *reference = json_at(json_get(client->source, "references"), 0);
    assert_text(reference, "refType", "CHILD_OF");
    assert_text(reference, "spanID", "0102030405060701");
    assert_text(tag(json_get(client->source, "tags"), "peer.service"), "value", "Backend");
    assert_text(json_get(client->source, "process"), "serviceName", "Portal");
    assert_text(tag(json_get(json_get(client->source, "process"), "tags"), "host.name"), "value", "h1");
    assert_text(tag(json_get(server->source, "tags"), "http.response.status_code"), "type", "int64");
    assert_int_equal(json_count(json_get(server->source, "logs")), 1);

    assert_text(documents.list.at[1].source, "serviceName", "Portal");
    assert_text(documents.list.at[1].source, "operationName", "db");
    assert_text(documents.list.at[3].source, "operationName", "GET /m/n");
    documents_fini(&documents);
    bulk_batch_fini(&batch);
}

static const struct rig_span plain = {.service = "s", .name = "n", .trace = 1, .span = 2, .start_ns = START, .end_ns = START + 1000};

/* The id of the one span document. */
static void id_of(struct bulk *bulk, const struct rig_span *span, char out[33])
{
    struct bulk_batch batch;
    struct documents documents;
    struct buf body;
    buf_init(&body, 1 << 20);
    rig_put_span(&body, span);
    convert(bulk, buf_str(&body), &batch, &documents);
    snprintf(out, 33, "%.*s", STR_ARG(documents.list.at[0].id));
    documents_fini(&documents);
    bulk_batch_fini(&batch);
    buf_fini(&body);
}

static void test_ids(void **state)
{
    struct rig_span others[8];
    char ids[MG_COUNT(others) + 1][33], again[33];
    struct bulk *bulk = bulk_new(STR(""), 5000000);
    (void)state;
    id_of(bulk, &plain, ids[0]);
    id_of(bulk, &plain, again);
    assert_string_equal(ids[0], again);
    bulk_free(&bulk);
    bulk = bulk_new(STR("x-"), 1); /* of another process, with other rows */
    id_of(bulk, &plain, again);
    assert_string_equal(ids[0], again);
    assert_string_equal(ids[0], "596fff7d0f3050ee3ffc7512bf17ecdb"); /* stored: it must not change with the version */
    for (size_t i = 0; i < MG_COUNT(others); i++)
        others[i] = plain;
    others[0].trace++, others[1].span++, others[2].parent++, others[3].name = "m", others[4].service = "t";
    others[5].end_ns += 1000, others[6].padding = 5;
    others[7].start_ns += 1; /* the document says microseconds */
    for (size_t i = 0; i < MG_COUNT(others); i++)
        id_of(bulk, &others[i], ids[i + 1]);
    for (size_t i = 0; i < MG_COUNT(ids); i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    bulk_free(&bulk);
}

static void test_days(void **state)
{
    static const struct { uint64_t start_ns; const char *index; } cases[] = {
        { 0, "x-jaeger-span-1970-01-01" },
        { START, "x-jaeger-span-2018-01-24" },
        { DAY - 1, "x-jaeger-span-1970-01-01" },
        { DAY, "x-jaeger-span-1970-01-02" },
        { UINT64_C(1709251199999999999), "x-jaeger-span-2024-02-29" },
        { UINT64_C(1709251200000000000), "x-jaeger-span-2024-03-01" },
        { UINT64_MAX, "x-jaeger-span-2554-07-21" },
    };
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR("x-"), 5000000);
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig_span span = plain;
        struct bulk_batch batch;
        struct documents documents;
        struct buf body;
        span.start_ns = span.end_ns = cases[i].start_ns;
        buf_init(&body, 1 << 20);
        rig_put_span(&body, &span);
        convert(bulk, buf_str(&body), &batch, &documents);
        if (!str_eq(documents.list.at[0].index, str_of(cases[i].index)))
            fail_msg("row %zu: %.*s", i, STR_ARG(documents.list.at[0].index));
        assert_true(str_starts(documents.list.at[1].index, STR("x-jaeger-service-")));
        documents_fini(&documents);
        bulk_batch_fini(&batch);
        buf_fini(&body);
    }
}

/* How many service documents the batch has. */
static size_t services(struct bulk *bulk, const struct rig_span *spans, size_t n, bool is_taken)
{
    struct bulk_batch batch;
    struct documents documents;
    struct buf body;
    size_t count = 0;
    buf_init(&body, 1 << 20);
    for (size_t i = 0; i < n; i++)
        rig_put_span(&body, &spans[i]);
    convert(bulk, buf_str(&body), &batch, &documents);
    for (size_t i = 0; i < documents.list.n; i++)
        count += str_starts(documents.list.at[i].index, STR("jaeger-service-"));
    assert_int_equal(count, batch.fresh.n);
    assert_int_equal(documents.list.n, n + count);
    if (is_taken)
        bulk_remember(bulk, &batch);
    documents_fini(&documents);
    bulk_batch_fini(&batch);
    buf_fini(&body);
    return count;
}

static void test_service_documents_once(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct rig_span spans[6] = {plain, plain, plain, plain, plain, plain};
    (void)state;
    spans[1].span = 9;                 /* the same service and operation */
    spans[2].name = "m";
    spans[3].service = "t";
    spans[4].start_ns += DAY;
    spans[5].service = "sn", spans[5].name = ""; /* not "s" and "n" joined */
    assert_int_equal(services(bulk, spans, 6, false), 5);
    assert_int_equal(services(bulk, spans, 6, true), 5); /* it was not taken before */
    assert_int_equal(services(bulk, spans, 6, true), 0);
    assert_int_equal(bulk_remembered(bulk), 5);
    spans[0].name = "new";
    assert_int_equal(services(bulk, spans, 6, true), 1);
}

static void test_what_is_remembered_is_bounded(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct rig_span spans[64];
    char names[64][16];
    (void)state;
    for (unsigned n = 0; n < BULK_REMEMBERED_MAX + 128; n += 64) {
        for (unsigned i = 0; i < 64; i++) {
            snprintf(names[i], sizeof names[i], "op %u", n + i);
            spans[i] = plain;
            spans[i].name = names[i];
        }
        assert_int_equal(services(bulk, spans, 64, true), 64);
        assert_true(bulk_remembered(bulk) <= BULK_REMEMBERED_MAX);
    }
    assert_int_equal(bulk_remembered(bulk), 128); /* begun anew */
    assert_int_equal(services(bulk, spans, 64, true), 0);
}

static void test_cutting(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct bulk_batch batch;
    struct documents documents;
    struct buf body;
    (void)state;
    buf_init(&body, 64 << 20);
    for (uint8_t i = 1; i <= 14; i++) {
        struct rig_span span = plain;
        span.span = i;
        span.padding = i == 7 ? 7000000 : 1000000;
        rig_put_span(&body, &span);
    }
    convert(bulk, buf_str(&body), &batch, &documents);
    assert_int_equal(documents.list.n, 15);
    assert_int_equal(batch.parts.list.n, 5); /* 4 2 | 1 | 4 3, and the service document in the first */
    for (size_t i = 0; i < batch.parts.list.n; i++)
        assert_true(batch.parts.list.at[i].body.len <= 5000000 || batch.parts.list.at[i].ends.n == 1);
    documents_fini(&documents);
    bulk_batch_fini(&batch);
    buf_fini(&body);
}

static void test_what_is_left_out(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct bulk_batch batch;
    struct documents documents;
    struct rig_span span = plain;
    struct buf body;
    (void)state;
    buf_init(&body, 128 << 20);
    rig_put_span(&body, &span);
    span.trace = 0;
    rig_put_span(&body, &span);
    span.trace = 1, span.span = 0;
    rig_put_span(&body, &span);
    span.span = 3, span.padding = 65 << 20; /* no document may be so large */
    rig_put_span(&body, &span);
    convert(bulk, buf_str(&body), &batch, &documents);
    assert_int_equal(batch.left_out, 3);
    assert_int_equal(documents.list.n, 2);
    documents_fini(&documents);
    bulk_batch_fini(&batch);

    buf_put_text(&body, "\x0a\x7f"); /* a batch that is malformed at its end leaves nothing */
    struct mg_why why;
    assert_int_equal(bulk_convert(bulk, buf_str(&body), &batch, &why), MG_E_FORMAT);
    assert_null(batch.parts.list.at);
    assert_int_equal(batch.fresh.n, 0);
    buf_fini(&body);
}

/* Texts that could break out of their line or are no UTF-8. */
static void test_foreign_texts(void **state)
{
    MG_AUTO(bulk_free) struct bulk *bulk = bulk_new(STR(""), 5000000);
    struct rig_span span = plain;
    struct bulk_batch batch;
    struct documents documents;
    struct buf body;
    (void)state;
    span.service = "a\n{\"index\":{}}\n\"";
    span.name = "b\xff\n";
    buf_init(&body, 1 << 20);
    rig_put_span(&body, &span);
    convert(bulk, buf_str(&body), &batch, &documents);
    assert_int_equal(documents.list.n, 2);
    assert_text(documents.list.at[1].source, "serviceName", "a\n{\"index\":{}}\n\"");
    assert_text(documents.list.at[1].source, "operationName", "b\xef\xbf\xbd\n");
    documents_fini(&documents);
    bulk_batch_fini(&batch);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_of_a_foreign_batch),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_service_documents_once),
        cmocka_unit_test(test_what_is_remembered_is_bounded),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_foreign_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
