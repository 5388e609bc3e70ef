/* grpc_rig.h - the gRPC door behind a client of nghttp2, over memory; queries are scene.h's.
 * Expected messages were written by Python's protobuf 7.36 from the descriptors that the door
 * serves. For one file a program. */
#pragma once
#include <stdio.h>
#include "scene.h"
/* The FIN of the peer there, and the end of a slice in model/wire.h, have one name. */
#define wire_end wire_fin
#include "../../http/h2_client.h"
#undef wire_end

#define V2         "/jaeger.api_v2.QueryService/"
#define V3         "/jaeger.api_v3.QueryService/"
#define ROUNDS_MAX 20000 /* of a millisecond */

struct rig {
    struct wire wire;
    struct client *client;
    struct jaeger_api *api;
    struct http_route routes[24];
    struct buf request;
};

static inline void rig_open(struct rig *rig)
{
    static const struct query_conf query_conf = {.memory_max = 1 << 20, .traces_max = 1000};
    size_t n;

    memset(&fake, 0, sizeof fake);
    fake.span = span_of(1, 0, SPAN_SERVER);
    *rig = (struct rig){.api = jaeger_api_new(NULL, &query_conf)};
    const struct http_route *routes = jaeger_grpc_routes(&n);
    assert_true(n <= MG_COUNT(rig->routes));
    for (size_t i = 0; i < n; i++) {
        rig->routes[i] = routes[i];
        if (!routes[i].owner)
            rig->routes[i].owner = rig->api;
    }
    wire_init(&rig->wire);
    rig->wire.options.routes = rig->routes;
    rig->wire.options.n_routes = n;
    wire_start(&rig->wire);
    rig->client = MEM_NEW(struct client);
    client_init(rig->client, &rig->wire, 65535);
    buf_init(&rig->request, 1 << 20);
}

static inline void rig_close(struct rig *rig)
{
    client_fini(rig->client);
    mem_free(rig->client);
    wire_fini(&rig->wire);
    jaeger_api_free(&rig->api);
    buf_fini(&rig->request);
}

static inline struct str framed(struct rig *rig, bool is_compressed, struct str message)
{
    char prefix[5] = {is_compressed};

    put_be32(prefix + 1, (uint32_t)message.len);
    buf_clear(&rig->request);
    buf_put(&rig->request, prefix, sizeof prefix);
    buf_put_str(&rig->request, message);
    return buf_str(&rig->request);
}

static inline void join(void)
{
    if (fake.has_thread)
        assert_int_equal(pthread_join(fake.thread, NULL), 0);
    fake.has_thread = false;
}

static inline struct seen *wait_for(struct rig *rig, int32_t id)
{
    struct seen *seen = seen_of(rig->client, id);

    run(rig->client);
    for (int i = 0; !seen->is_closed && i < ROUNDS_MAX; i++) {
        wire_round(&rig->wire);
        run(rig->client);
    }
    if (!seen->is_closed)
        fail_msg("the call has no end");
    join();
    return seen;
}

static inline struct seen *call_with(struct rig *rig, struct ask with, const char *path,
                                     struct str body)
{
    with.method = "POST";
    with.type = "application/grpc";
    with.has_body = true;
    with.path = path;
    with.body = body;
    return wait_for(rig, submit(rig->client, &with));
}

static inline struct seen *call_method(struct rig *rig, const char *path, struct str message)
{
    return call_with(rig, (struct ask){0}, path, framed(rig, false, message));
}

static inline struct str bytes_of(const char *hex)
{
    uint8_t *bytes = arena_alloc(&spans_arena, strlen(hex) / 2 + 1);

    assert_true(hex_decode(str_of(hex), bytes, strlen(hex) / 2));
    return str_n(bytes, strlen(hex) / 2);
}

/* The messages of an answer; *first is the first one. */
static inline size_t messages_in(const struct seen *seen, struct str *first)
{
    size_t n = 0, at = 0;

    while (at < seen->body.len) {
        assert_true(seen->body.len - at >= 5);
        uint32_t len = get_be32(seen->body.ptr + at + 1);
        assert_int_equal(seen->body.ptr[at], 0);
        assert_true(seen->body.len - at - 5 >= len);
        if (n++ == 0)
            *first = str_n(seen->body.ptr + at + 5, len);
        at += 5 + len;
    }
    return n;
}

static inline void expect_status(const struct seen *seen, int status, const char *message)
{
    char want[8];

    snprintf(want, sizeof want, "%d", status);
    if (strcmp(seen->status, "200") != 0 || strcmp(seen->grpc_status, want) != 0 ||
        (message && strcmp(seen->grpc_message, message) != 0))
        fail_msg("HTTP %s, status %s, %s; not %d, %s", seen->status, seen->grpc_status,
                 seen->grpc_message, status, message ? message : "anything");
}

/* --- messages
 * ----------------------------------------------------------------------------------------- */

enum {
    INVALID = 3,
    DEADLINE = 4,
    ABSENT = 5,
    EXHAUSTED = 8,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14
};

#define ID     "0102030405060708090a0b0c0d0e0f10"
#define V2_ID  "0a10" ID
#define V3_ID  "0a2030313032303330343035303630373038303930613062306330643065306631302001"
#define OTHER  "0a1001020304050607080900000000000000"
#define WINDOW "0a1022060880e2cfaa062a060890fecfaa06"
#define CHUNK                                                                                      \
    "0a470a10" ID "120800000000000000011a026f70320208013a0410c0843d42130a097370616e2e6b696e641a"   \
    "0673657276657252060a0473686f70"
#define DATA                                                                                       \
    "0a540a180a160a0c736572766963652e6e616d6512060a0473686f7012380a0012340a10" ID                  \
    "120800000000000000012a026f7030023900ca9a3b0000000041400caa3b00000000"
#define SUMMARY                                                                                    \
    "0a4a0a203031303230333034303530363037303830393061306230633064306530663130120473686f701a026f70" \
    "2100ca9a3b0000000029400caa3b0000000030014a080a0473686f701001"
