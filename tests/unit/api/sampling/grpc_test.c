/* SamplingManager behind a client of nghttp2. Requests are bytes that Python's grpcio 1.85 sent. */
#include "fake_head.h"
#include "api/sampling/sampling.h"
#include "base/bytes.h"
#include "codec/zip.h"
/* The FIN of the peer there, and the end of a slice in model/wire.h, have one name. */
#define wire_end wire_fin
#include "../../http/h2_client.h"
#undef wire_end

#define METHOD "/jaeger.api_v2.SamplingManager/GetSamplingStrategy"
#define FRONTEND "0a0866726f6e74656e64"

struct rig {
    struct wire wire;
    struct client *client;
    struct buf body;
};

static void rig_open(struct rig *rig, const struct http_route *(*routes)(size_t *n))
{
    memset(&fake, 0, sizeof fake);
    *rig = (struct rig){ .client = MEM_NEW(struct client) };
    wire_init(&rig->wire);
    rig->wire.options.routes = owned(routes, &rig->wire.options.n_routes);
    wire_start(&rig->wire);
    client_init(rig->client, &rig->wire, 1 << 20);
    buf_init(&rig->body, 1 << 20);
}

static void rig_close(struct rig *rig)
{
    client_fini(rig->client);
    mem_free(rig->client);
    wire_fini(&rig->wire);
    buf_fini(&rig->body);
}

static struct seen *call_message(struct rig *rig, const char *path, const char *encoding, struct str message)
{
    char prefix[5] = { encoding != NULL };
    struct ask ask = { GRPC, .path = path, .encoding = encoding };

    put_be32(prefix + 1, (uint32_t)message.len);
    buf_clear(&rig->body);
    buf_put(&rig->body, prefix, sizeof prefix);
    buf_put_str(&rig->body, message);
    ask.body = buf_str(&rig->body);
    return call(rig->client, &ask);
}

static struct seen *call_hex(struct rig *rig, const char *path, const char *hex)
{
    uint8_t bytes[256];
    size_t n = strlen(hex) / 2;

    assert_true(n <= sizeof bytes && hex_decode(str_of(hex), bytes, n));
    return call_message(rig, path, NULL, str_n(bytes, n));
}

static void expect_message(const struct seen *seen, const char *hex)
{
    char got[2048] = "";

    assert_string_equal(seen->grpc_status, "0");
    assert_true(seen->body.len >= 5 && seen->body.len < sizeof got / 2);
    assert_int_equal(get_be32(seen->body.ptr + 1), seen->body.len - 5);
    hex_encode(seen->body.ptr + 5, seen->body.len - 5, got);
    assert_string_equal(got, hex);
}

static void answers_with_the_strategy(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, sampling_grpc_door_routes);
    for (size_t i = 0; i < MG_COUNT(strategies); i++) {
        fake.strategy = strategies[i].strategy;
        expect_message(call_hex(&rig, METHOD, FRONTEND), strategies[i].hex);
        assert_string_equal(fake.service, "frontend");
        assert_ptr_equal(fake.asked_of, HEAD);
    }
    rig_close(&rig);
}

/* --- requests ---------------------------------------------------------------------------------------- */

static const struct {
    const char *hex, *service; /* NULL: refused */
} requests[] = {
    { "", "" },
    { FRONTEND, "frontend" },
    { "0a05636166c3a9", "caf\xc3\xa9" },
    { "0a00", "" },
    { "0a01610a0162", "b" },           /* the last one counts */
    { "10011a0178" FRONTEND, "frontend" }, /* fields that are not known */

    { "0a", NULL },         /* cut behind the tag, */
    { "0a08667265", NULL }, /* within the name, */
    { "80", NULL },         /* within the tag */
    { "0a8080808080", NULL },
    { "0801", NULL },               /* another wire type */
    { "0d00000000", NULL },
    { "090000000000000000", NULL },
    { "0b0c", NULL },       /* a group */
    { "0001", NULL },       /* number 0 */
    { "0a01ff", NULL },     /* not UTF-8 */
    { "0a03eda080", NULL },
    { "0affffffffffffffffff01", NULL }, /* longer than memory */
};

static void checks_what_it_is_asked(void **state)
{
    unsigned n = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, sampling_grpc_door_routes);
    for (size_t i = 0; i < MG_COUNT(requests); i++) {
        const struct seen *seen = call_hex(&rig, METHOD, requests[i].hex);
        n += requests[i].service != NULL;
        if (strcmp(seen->grpc_status, requests[i].service ? "0" : "3") != 0 || fake.n_asked != n)
            fail_msg("%s: status %s, %u asked", requests[i].hex, seen->grpc_status, fake.n_asked);
        if (requests[i].service)
            assert_string_equal(fake.service, requests[i].service);
        else
            assert_true(str_starts(str_of(seen->grpc_message), STR("malformed SamplingStrategyParameters")));
    }
    rig_close(&rig);
}

static void takes_compressed_requests(void **state)
{
    MG_AUTO(zip_free) struct zip *zip = zip_new();
    struct buf gzip;
    struct rig rig;

    (void)state;
    buf_init(&gzip, 4096);
    assert_int_equal(zip_deflate(zip, ZIP_GZIP, STR("\x0a\x08" "frontend"), &gzip), MG_OK);
    rig_open(&rig, sampling_grpc_door_routes);
    fake.strategy = strategies[0].strategy;
    expect_message(call_message(&rig, METHOD, "gzip", buf_str(&gzip)), strategies[0].hex);
    assert_string_equal(fake.service, "frontend");
    assert_string_equal(call_message(&rig, METHOD, "gzip", STR("no gzip"))->grpc_status, "3");
    rig_close(&rig);
    buf_fini(&gzip);
}

/* 64 KiB, as sent and inflated. */
static void has_bounds(void **state)
{
    enum { ROOM = 64 << 10, HEAD_BYTES = 4 };
    static char bytes[ROOM + 1];
    struct strategy_operation large;
    struct rig rig;

    (void)state;
    rig_open(&rig, sampling_grpc_door_routes);
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "\x0a\xfc\xff\x03", HEAD_BYTES); /* 65532 bytes follow */
    assert_string_equal(call_message(&rig, METHOD, NULL, str_n(bytes, ROOM))->grpc_status, "0");
    assert_int_equal(fake.service_len, ROOM - HEAD_BYTES);
    assert_string_equal(call_message(&rig, METHOD, NULL, str_n(bytes, ROOM + 1))->grpc_status, "8");
    assert_int_equal(fake.n_asked, 1);
    make_large(&large);
    const struct seen *seen = call_hex(&rig, METHOD, FRONTEND);
    assert_string_equal(seen->grpc_status, "13");
    assert_string_equal(seen->grpc_message, "the strategy is larger than 4 MiB");
    free_large(&large);
    rig_close(&rig);
}

/* --- doors ------------------------------------------------------------------------------------------- */

static const struct {
    const struct http_route *(*routes)(size_t *n);
    const char *path, *message, *status;
} others[] = {
    { sampling_grpc_door_routes, "/grpc.health.v1.Health/Check", "", "0" },
    { sampling_grpc_door_routes, "/grpc.health.v1.Health/Check", "0a1d6a61656765722e6170695f76322e53616d706c696e674d616e61676572", "0" },
    { sampling_grpc_door_routes, "/grpc.health.v1.Health/Check", "0a0178", "5" },
    { sampling_grpc_door_routes, "/jaeger.api_v2.SamplingManager/Nothing", "", "12" },
    { sampling_grpc_door_routes, "/jaeger.api_v2.CollectorService/PostSpans", "", "12" },
    { sampling_grpc_routes, METHOD, "", "0" },
    { sampling_grpc_routes, "/grpc.health.v1.Health/Check", "", "12" }, /* the neighbour's */
};

static void serves_what_belongs_to_the_door(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(others); i++) {
        struct rig rig;
        rig_open(&rig, others[i].routes);
        const struct seen *seen = call_hex(&rig, others[i].path, others[i].message);
        if (strcmp(seen->grpc_status, others[i].status) != 0)
            fail_msg("row %zu: %s %s", i, seen->grpc_status, seen->grpc_message);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_with_the_strategy),
        cmocka_unit_test(checks_what_it_is_asked),
        cmocka_unit_test(takes_compressed_requests),
        cmocka_unit_test(has_bounds),
        cmocka_unit_test(serves_what_belongs_to_the_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
