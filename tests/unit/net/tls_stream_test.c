/* TLS with both ends ours: who is trusted, what is agreed on, and big writes. Foreign peers are in
 * tls_peer_test.c; what every stream must do, TLS or not, in stream_test.c. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include "certs.h"
#include "pair.h"

#define BIG    (8u * 1024 * 1024)
#define SMALLS (256u * 1024) /* in pieces of 1 KiB */

static struct certs certs;

/* In place of the system's: every host below .test is this one. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real); /* ISO C has no cast between the two kinds of pointer */
    return real(strstr(host, ".test") ? "127.0.0.1" : host, service, hints, found);
}

static int set_up(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_standard(&certs);
    certs_make(&certs, &(struct cert){.name = "middle", .issuer = "ca", .is_authority = true});
    certs_make(&certs,
               &(struct cert){.name = "below", .issuer = "middle", .names = "IP:127.0.0.1"});
    certs_make(&certs, &(struct cert){.name = "wild",
                                      .issuer = "ca",
                                      .names = "DNS:*.wild.test,DNS:a*.part.test"});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

/* --- one connection of a table --- */

struct ends {
    struct {
        const char *cert; /* stem; NULL: server */
        const char *ca;   /* stem of the clients' authority; NULL: none */
        const char *alpn;
        int min_version;
    } server;
    struct {
        const char *cert; /* stem; NULL: none */
        const char *ca;   /* stem; NULL: ca; "": the system's */
        const char *alpn;
        const char *host;
        bool is_unverified;
    } client;
};

static struct str file(const char *stem, const char *suffix)
{
    char name[64];
    if (!stem || !stem[0])
        return STR("");
    snprintf(name, sizeof name, "%s.%s", stem, suffix);
    return certs_path(&certs, name);
}

static void open_ends(struct pair *pair, const struct ends *ends)
{
    const char *cert = ends->server.cert ? ends->server.cert : "server";
    const struct tls_options server = {.cert_file = file(cert, "pem"),
                                       .key_file = file(cert, "key"),
                                       .ca_file = file(ends->server.ca, "pem"),
                                       .alpn = ends->server.alpn,
                                       .min_version = ends->server.min_version,
                                       .is_server = true};
    const struct tls_options client = {.cert_file = file(ends->client.cert, "pem"),
                                       .key_file = file(ends->client.cert, "key"),
                                       .ca_file =
                                           file(ends->client.ca ? ends->client.ca : "ca", "pem"),
                                       .alpn = ends->client.alpn,
                                       .is_unverified = ends->client.is_unverified};
    struct tls_source *source;
    struct tls_context *context;
    struct mg_why why;
    if (tls_source_new(&source, &server, &why) || tls_context_new(&context, &client, &why))
        fail_msg("%s", why.text);
    pair_open_with(pair, &(struct pair_options){.source = source,
                                                .context = context,
                                                .host = ends->client.host,
                                                .may_fail = true});
    tls_source_free(&source); /* the streams have their own references */
    tls_context_unref(&context);
}

static bool server_has_5(struct pair *pair)
{
    return pair->server.got.len >= 5;
}
static bool server_closed(struct pair *pair)
{
    return pair->server.n_closed > 0;
}
static bool both_closed(struct pair *pair)
{
    return pair->server.n_closed > 0 && pair->client.n_closed > 0;
}

static void assert_talks(struct pair *pair)
{
    stream_write(pair->client.stream, "hello", 5);
    pair_run(pair, server_has_5);
    assert_memory_equal(pair->server.got.ptr, "hello", 5);
}

/* --- who the client trusts --- */

static void test_server_certificates(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { struct ends ends; const char *sentence; } cases[] = {
        { { .client = { .host = "127.0.0.1" } }, NULL },
        { { .client = { .host = "localhost" } }, NULL },
        { { .server = { .cert = "self" }, .client = { .ca = "self" } }, NULL },
        { { .server = { .cert = "below" } }, NULL },
        { { .server = { .cert = "below" }, .client = { .ca = "middle" } }, NULL }, /* without the root */
        { { .server = { .cert = "elsewhere" }, .client = { .host = "elsewhere.test" } }, NULL },
        { { .server = { .cert = "elsewhere" }, .client = { .host = "elsewhere.test." } }, NULL },
        { { .server = { .cert = "wild" }, .client = { .host = "a.wild.test" } }, NULL },
        { { .client = { .is_unverified = true } }, NULL },
        { { .server = { .cert = "expired" }, .client = { .is_unverified = true } }, NULL },
        { { .server = { .cert = "elsewhere" }, .client = { .is_unverified = true, .ca = "other-ca" } }, NULL },

        { { .client = { .ca = "other-ca" } }, "authority that is not trusted" },
        { { .client = { .ca = "" } }, "authority that is not trusted" },
        { { .server = { .cert = "expired" } }, "certificate has expired" },
        { { .server = { .cert = "future" } }, "certificate is not valid yet" },
        { { .server = { .cert = "elsewhere" } }, "not issued for host 127.0.0.1" },
        { { .server = { .cert = "elsewhere" }, .client = { .host = "localhost" } }, "not issued for host localhost" },
        { { .server = { .cert = "elsewhere" }, .client = { .host = "a.elsewhere.test" } }, "not issued for host a.elsewhere.test" },
        { { .server = { .cert = "wild" }, .client = { .host = "wild.test" } }, "not issued for host wild.test" },
        { { .server = { .cert = "wild" }, .client = { .host = "a.b.wild.test" } }, "not issued for host a.b.wild.test" },
        { { .server = { .cert = "wild" }, .client = { .host = "ab.part.test" } }, "not issued for host ab.part.test" },
        { { .server = { .cert = "common" }, .client = { .host = "localhost" } }, "not issued for host localhost" },
        { { .server = { .cert = "self" } }, "self-signed and not trusted" },
        { { .server = { .cert = "self" }, .client = { .host = "localhost" } }, "self-signed and not trusted" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct pair pair;
        open_ends(&pair, &cases[i].ends);
        if (pair.has_failed != (cases[i].sentence != NULL))
            fail_msg("row %zu: %s", i, pair.has_failed ? pair.why.text : "connected");
        if (pair.has_failed) {
            assert_int_equal(pair.connect_err, MG_E_IO);
            if (!strstr(pair.why.text, cases[i].sentence))
                fail_msg("row %zu: %s", i, pair.why.text);
            assert_non_null(strstr(pair.why.text, "cannot connect to "));
            pair_run(&pair, server_closed);
            assert_int_equal(pair.server.err, MG_E_IO);
            assert_int_equal(pair.server.failure, TLS_FAILURE_REFUSED);
        } else {
            assert_int_equal(stream_has_certificate(pair.client.stream),
                             !cases[i].ends.client.is_unverified);
            assert_talks(&pair);
            assert_false(stream_has_certificate(pair.server.stream)); /* none was asked for */
        }
        pair_close(&pair);
    }
}

/* --- whom the server lets in --- */

static const struct {
    const char *cert;
    bool is_fine;
} client_certificates[] = {
    {"client", true},          {NULL, false},   {"client-other", false},
    {"client-expired", false}, {"self", false},
};

/* TLS 1.3: the client is through before the server has judged it. */
static void test_client_certificates(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(client_certificates); i++) {
        const struct ends ends = {.server = {.ca = "ca", .min_version = TLS_1_3},
                                  .client = {.cert = client_certificates[i].cert}};
        struct pair pair;
        open_ends(&pair, &ends);
        assert_false(pair.has_failed);
        if (client_certificates[i].is_fine) {
            assert_talks(&pair);
            assert_true(stream_has_certificate(pair.server.stream));
        } else {
            stream_write(pair.client.stream, "hello", 5);
            pair_run(&pair, both_closed);
            assert_int_equal(pair.server.err, MG_E_IO);
            assert_int_equal(pair.client.err, MG_E_IO);
            assert_int_equal(pair.server.got.len, 0); /* nothing of a stranger's came through */
        }
        pair_close(&pair);
    }
}

static void test_names_of_a_stream(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        bool want;
    } cases[] = {
        {"web.test", true},
        {"*.test", true},
        {"spiffe://mesh/ns/shop/*", true},
        {"spiffe://mesh/ns/shop/sa/web", true},
        {"client", false}, /* its common name */
        {"mesh", false},
        {"spiffe://mesh/ns/bank/*", false},
        {"127.0.0.1", false}, /* where it comes from is no name */
    };
    struct pair pair;
    open_ends(&pair, &(struct ends){.server = {.ca = "ca"}, .client = {.cert = "client"}});
    struct str entry = STR("web.test");
    const struct conf_list list = {&entry, 1};
    assert_talks(&pair);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        entry = str_of(cases[i].entry);
        assert_int_equal(stream_has_name(pair.server.stream, &list), cases[i].want);
    }
    assert_false(stream_has_name(pair.server.stream, &(struct conf_list){0}));
    entry = STR("localhost");
    assert_true(stream_has_name(pair.client.stream, &list));
    pair_close(&pair);
}

static void test_nothing_is_known_of_a_plain_stream(void **state)
{
    (void)state;
    struct pair pair;
    struct str entry = STR("web.test");
    pair_open(&pair);
    assert_false(stream_is_tls(pair.server.stream));
    assert_false(stream_has_certificate(pair.server.stream));
    assert_false(stream_has_name(pair.server.stream, &(struct conf_list){&entry, 1}));
    assert_int_equal(stream_alpn(pair.server.stream).len, 0);
    pair_close(&pair);
}

static void test_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *server, *client, *want;
    } cases[] = {
        {"h2,http/1.1", "h2,http/1.1", "h2"},
        {"h2,http/1.1", "http/1.1,h2", "h2"}, /* the server's preference */
        {"http/1.1,h2", "h2,http/1.1", "http/1.1"},
        {"h2,http/1.1", "http/1.1", "http/1.1"},
        {"h2,http/1.1", "spdy/3", ""}, /* no overlap: goes on without */
        {"h2", "h2c", ""},
        {"h2,http/1.1", NULL, ""},
        {NULL, "h2", ""},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct pair pair;
        open_ends(&pair, &(struct ends){.server = {.alpn = cases[i].server},
                                        .client = {.alpn = cases[i].client}});
        assert_talks(&pair);
        assert_true(str_eq(stream_alpn(pair.server.stream), str_of(cases[i].want)));
        assert_true(str_eq(stream_alpn(pair.client.stream), str_of(cases[i].want)));
        pair_close(&pair);
    }
}

/* --- big writes both ways --- */

static bool both_have_all(struct pair *pair)
{
    return pair->server.got.len >= BIG && pair->client.got.len >= BIG;
}
static bool server_is_paused(struct pair *pair)
{
    return pair->server.got.len >= pair->server.pause_at;
}

static void test_round_trip_under_back_pressure(void **state)
{
    (void)state;
    struct pair pair;
    open_ends(&pair, &(struct ends){0});
    char *bytes = mem_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 13 + i / 509);
    stream_pause(pair.client.stream);
    for (size_t at = 0; at < BIG; at += BIG / 8) {
        stream_write(pair.server.stream, bytes + at, BIG / 8);
        stream_write(pair.client.stream, bytes + at, BIG / 8);
    }
    assert_true(stream_queued(pair.server.stream) > BIG / 4);
    for (pair.server.pause_at = 100000; pair.server.pause_at < BIG;
         pair.server.pause_at += BIG / 7) {
        stream_resume(pair.server.stream);
        pair_run(&pair, server_is_paused);
        assert_true(pair.server.got.len < pair.server.pause_at + 64 * 1024);
    }
    pair.server.pause_at = 0;
    assert_int_equal(pair.client.got.len, 0); /* paused all the time */
    stream_resume(pair.server.stream);
    stream_resume(pair.client.stream);
    pair_run(&pair, both_have_all);
    assert_memory_equal(pair.server.got.ptr, bytes, BIG);
    assert_memory_equal(pair.client.got.ptr, bytes, BIG);
    mem_free(bytes);
    pair_close(&pair);
}

static bool server_ended(struct pair *pair)
{
    return pair->server.n_ends > 0;
}

/* What came with the same read as the bytes at which the reader paused is given later, not lost. */
static void test_pause_keeps_what_has_come(void **state)
{
    (void)state;
    struct pair pair;
    open_ends(&pair, &(struct ends){0});
    assert_talks(&pair);
    stream_pause(pair.server.stream);
    static const char piece[1024];
    for (unsigned i = 0; i < SMALLS / sizeof piece; i++) /* one read: more than one on_data takes */
        stream_write(pair.client.stream, piece, sizeof piece);
    stream_shutdown(pair.client.stream);
    for (pair.server.pause_at = 6; pair.server.got.len < SMALLS + 5; pair.server.pause_at++) {
        size_t before = pair.server.got.len;
        stream_resume(pair.server.stream);
        assert_int_equal(pair.server.got.len, before); /* never from inside the call */
        pair_run(&pair, server_is_paused);
        pair.server.pause_at = pair.server.got.len;
    }
    assert_int_equal(pair.server.n_ends, 0); /* it has paused before the end */
    pair.server.pause_at = 0;
    stream_resume(pair.server.stream);
    pair_run(&pair, server_ended);
    assert_int_equal(pair.server.got.len, SMALLS + 5);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_certificates),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_names_of_a_stream),
        cmocka_unit_test(test_nothing_is_known_of_a_plain_stream),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_round_trip_under_back_pressure),
        cmocka_unit_test(test_pause_keeps_what_has_come),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
