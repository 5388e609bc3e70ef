/* Bodies in every encoding, over gRPC and over HTTP. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "h2_client.h"
#include "base/bytes.h"
#include "http/inflate.h"

#define LIMIT 100
#define TEXT  "so many words and so many words and so many"

static void on_body(void *owner, struct http_request *request)
{
    (void)owner;
    struct mg_why why;
    struct str body;
    struct buf room;
    buf_init(&room, LIMIT);
    enum mg_err err = http_request_inflate(request, LIMIT, &room, &body, &why);
    if (err)
        http_respond_error(request, err, str_of(why.text), 0);
    else if (http_request_is_grpc(request))
        http_respond_grpc(request, body);
    else
        http_respond(request, 200, "text/plain", body);
    buf_fini(&room);
}

static const struct http_route routes[] = {
    {.path = "/t.S/Body", .on_request = on_body, .is_grpc = true},
    {.method = "POST", .path = "/body", .on_request = on_body},
};

static struct str packed(struct buf *room, enum zip_kind kind, struct str text, bool is_framed)
{
    MG_AUTO(zip_free) struct zip *zip = zip_new();
    char prefix[5] = {kind != ZIP_IDENTITY};
    buf_clear(room);
    if (is_framed)
        buf_put(room, prefix, sizeof prefix);
    if (kind == ZIP_IDENTITY)
        buf_put_str(room, text);
    else
        assert_int_equal(zip_deflate(zip, kind, text, room), MG_OK);
    if (is_framed)
        put_be32(room->ptr + 1, (uint32_t)(room->len - sizeof prefix));
    return buf_str(room);
}

static const struct {
    const char *name;
    enum zip_kind sent;
    size_t more;             /* bytes above the limit; 0: the text */
    const char *grpc, *http; /* statuses */
} rows[] = {
    {"identity", ZIP_IDENTITY, 0, "0", "200"}, {NULL, ZIP_IDENTITY, 0, "0", "200"},
    {"gzip", ZIP_GZIP, 0, "0", "200"},         {"deflate", ZIP_DEFLATE, 0, "0", "200"},
    {"zstd", ZIP_ZSTD, 0, "0", "200"},         {NULL, ZIP_IDENTITY, 1, "8", "413"},
    {"gzip", ZIP_GZIP, 1, "8", "413"},         {"deflate", ZIP_DEFLATE, 1, "8", "413"},
    {"zstd", ZIP_ZSTD, 1, "8", "413"},         {"gzip", ZIP_ZSTD, 0, "3", "400"},
    {"zstd", ZIP_GZIP, 0, "3", "400"},         {"GZIP", ZIP_GZIP, 0, "12", "415"},
    {"br", ZIP_GZIP, 0, "12", "415"},
};

static void check(struct client *client, struct buf *room, size_t i, bool is_grpc)
{
    static char large[LIMIT + 1];
    struct str text = rows[i].more ? str_n(large, sizeof large) : STR(TEXT);
    struct ask grpc = {GRPC, .path = "/t.S/Body", .encoding = rows[i].name};
    struct ask http = {.method = "POST",
                       .path = "/body",
                       .has_body = true,
                       .extra_name = rows[i].name ? "content-encoding" : NULL,
                       .extra_value = rows[i].name};
    struct ask *ask = is_grpc ? &grpc : &http;
    ask->body = packed(room, rows[i].sent, text, is_grpc);
    const struct seen *seen = call(client, ask);
    const char *want = is_grpc ? rows[i].grpc : rows[i].http;
    const char *got = is_grpc ? seen->grpc_status : seen->status;
    if (strcmp(got, want) != 0)
        fail_msg("%zu: %s %s", i, got, seen->grpc_message);
    if (strcmp(want, "0") == 0)
        assert_string_equal(messages_of(seen), TEXT "|");
    if (strcmp(want, "200") == 0)
        assert_true(str_eq(buf_str(&seen->body), STR(TEXT)));
}

static void test_every_encoding(void **state)
{
    (void)state;
    struct wire wire;
    struct buf room;
    wire_init(&wire);
    wire.options.routes = routes;
    wire.options.n_routes = MG_COUNT(routes);
    wire_start(&wire);
    struct client *client = MEM_NEW(struct client);
    client_init(client, &wire, 65535);
    buf_init(&room, 1 << 16);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        check(client, &room, i, true);
        check(client, &room, i, false);
    }
    buf_fini(&room);
    DONE(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
