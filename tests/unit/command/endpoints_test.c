/* Which endpoints are doors of the collector itself, which only look like it, and that no text with a password is repeated. */
#define _GNU_SOURCE /* gethostname, freeifaddrs */
#include "command/endpoints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum exporter { OTLP, ZIPKIN, ELASTICSEARCH };
struct rows {
    const char *grpc, *http, *zipkin; /* listen.*; NULL: off */
    enum exporter exporter;
    const char *endpoint;
};

static enum mg_err check(const struct rows *rows, struct mg_why *why)
{
    struct settings settings = { 0 };
    struct str *const endpoints[] = { [OTLP] = &settings.exporters.otlp.peer.endpoint, [ZIPKIN] = &settings.exporters.zipkin.peer.endpoint,
                                      [ELASTICSEARCH] = &settings.exporters.elasticsearch.peer.endpoint };

    settings.listen[DOOR_OTLP_GRPC] = str_of(rows->grpc);
    settings.listen[DOOR_OTLP_HTTP] = str_of(rows->http);
    settings.listen[DOOR_ZIPKIN] = str_of(rows->zipkin);
    *endpoints[rows->exporter] = str_of(rows->endpoint);
    return endpoints_check(&settings, why);
}

static void is_circle(const struct rows *rows, const char *want)
{
    struct mg_why why = { "" };

    if (check(rows, &why) != MG_E_FORMAT || !strstr(why.text, want))
        fail_msg("%s: '%s', not '%s'", rows->endpoint, why.text, want);
    assert_non_null(strstr(why.text, "go round for ever"));
}

static void is_none(const struct rows *rows)
{
    struct mg_why why = { "" };

    if (check(rows, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static void a_door_of_its_own_is_refused(void **state)
{
    static const struct { struct rows rows; const char *want; } cases[] = {
        { { "127.0.0.1:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" },
          "exporters.otlp.endpoint: http://127.0.0.1:4317 is this collector's own door listen.otlp_grpc: its spans would go round for ever" },
        { { NULL, "127.0.0.1:4318", NULL, OTLP, "http://127.0.0.1:4318/v1/traces" }, "own door listen.otlp_http" },
        { { NULL, NULL, "127.0.0.1:9411", ZIPKIN, "http://localhost:9411/api/v2/spans" }, "exporters.zipkin.endpoint: http://localhost:9411" },
        { { NULL, NULL, "127.0.0.1:9411", ZIPKIN, "https://127.0.0.1:9411" }, "own door listen.zipkin" },
        { { "127.0.0.1:4317", NULL, NULL, OTLP, "http://LocalHost:4317" }, "listen.otlp_grpc" },
        { { "127.0.0.1:4317", NULL, NULL, OTLP, "http://0.0.0.0:4317" }, "listen.otlp_grpc" },
        { { "127.0.0.1:4317", NULL, NULL, OTLP, "http://[::ffff:127.0.0.1]:4317" }, "listen.otlp_grpc" },
        { { "[::1]:4317", NULL, NULL, OTLP, "http://[0:0:0:0:0:0:0:1]:4317" }, "listen.otlp_grpc" },
        { { "[::1]:4317", NULL, NULL, OTLP, "http://localhost:4317" }, "listen.otlp_grpc" },
        { { "[::1]:4317", NULL, NULL, OTLP, "http://[::]:4317" }, "listen.otlp_grpc" },
        { { "localhost:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" }, "listen.otlp_grpc" },
        { { "localhost:4317", NULL, NULL, OTLP, "http://localhost:4317" }, "listen.otlp_grpc" },
        { { "127.0.0.2:4317", NULL, NULL, OTLP, "http://127.0.0.2:4317" }, "listen.otlp_grpc" },
        { { "10.1.2.3:4317", NULL, NULL, OTLP, "http://10.1.2.3:4317" }, "listen.otlp_grpc" },
        { { "gate.example:4317", NULL, NULL, OTLP, "http://Gate.example:4317" }, "listen.otlp_grpc" },
        { { "0.0.0.0:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" }, "listen.otlp_grpc" },
        { { "0.0.0.0:4317", NULL, NULL, OTLP, "http://127.9.9.9:4317" }, "listen.otlp_grpc" },
        { { "0.0.0.0:4317", NULL, NULL, OTLP, "http://localhost:4317" }, "listen.otlp_grpc" },
        { { "[::]:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" }, "listen.otlp_grpc" },
        { { "[::]:4317", NULL, NULL, OTLP, "http://[::1]:4317" }, "listen.otlp_grpc" },
        { { "127.0.0.1:80", NULL, NULL, OTLP, "http://127.0.0.1" }, "listen.otlp_grpc" }, /* the usual port of the scheme */
        { { "127.0.0.1:443", NULL, NULL, OTLP, "https://127.0.0.1/v1/traces" }, "listen.otlp_grpc" },
        { { "[::1]:80", NULL, NULL, OTLP, "http://[::1]" }, "listen.otlp_grpc" },
        { { "127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:9411", OTLP, "http://127.0.0.1:4318" }, "listen.otlp_http" },
        { { "127.0.0.1:4317", NULL, NULL, OTLP, "http://ann:hush@127.0.0.1:4317" }, "exporters.otlp.endpoint: http://***@127.0.0.1:4317 is" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        is_circle(&cases[i].rows, cases[i].want);
}

static void another_place_is_none(void **state)
{
    static const struct rows cases[] = {
        { "127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:9411", OTLP, NULL }, /* off */
        { NULL, NULL, NULL, OTLP, "http://127.0.0.1:4317" },                  /* the door is */
        { "127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:9411", OTLP, "http://127.0.0.1:4316" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://127.0.0.1" },
        { "127.0.0.1:80", NULL, NULL, OTLP, "https://127.0.0.1" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://127.0.0.2:4317" },
        { "127.0.0.2:4317", NULL, NULL, OTLP, "http://localhost:4317" },
        { "127.0.0.2:4317", NULL, NULL, OTLP, "http://0.0.0.0:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://[::1]:4317" },
        { "[::1]:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" },
        { "0.0.0.0:4317", NULL, NULL, OTLP, "http://[::1]:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://10.255.255.255:4317" },
        { "0.0.0.0:4317", NULL, NULL, OTLP, "http://10.255.255.255:4317" },
        { "[::]:4317", NULL, NULL, OTLP, "http://[2001:db8::1]:4317" },
        { "10.1.2.3:4317", NULL, NULL, OTLP, "http://10.1.2.4:4317" },
        { "10.1.2.3:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://tempo.example:4317" },
        { "0.0.0.0:4317", NULL, NULL, OTLP, "http://tempo.example:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://localhost.example:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://tempo.example:1/127.0.0.1:4317" },
        { "127.0.0.1:4317", NULL, NULL, OTLP, "http://127.0.0.1:4317@tempo.example:1" },
        { "127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:9411", ELASTICSEARCH, "http://127.0.0.1:4318" },
        { "127.0.0.1:0", NULL, NULL, OTLP, "http://127.0.0.1" },
        { "127.0.0.1", NULL, NULL, OTLP, "http://127.0.0.1" }, /* which no door can have */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        is_none(&cases[i]);
}

static void the_name_of_the_machine_means_doors_beyond_loopback(void **state)
{
    char name[256], endpoint[300];

    (void)state;
    assert_int_equal(gethostname(name, sizeof name), 0);
    snprintf(endpoint, sizeof endpoint, "http://%s:4317", name);
    is_circle(&(struct rows){ .grpc = "0.0.0.0:4317", .endpoint = endpoint }, "listen.otlp_grpc");
    is_circle(&(struct rows){ .grpc = "[::]:4317", .endpoint = endpoint }, "listen.otlp_grpc");
    is_circle(&(struct rows){ .grpc = "192.0.2.1:4317", .endpoint = endpoint }, "listen.otlp_grpc");
    is_none(&(struct rows){ .grpc = "0.0.0.0:4318", .endpoint = endpoint });
    if (strcmp(name, "localhost") == 0)
        return;
    is_none(&(struct rows){ .grpc = "127.0.0.1:4317", .endpoint = endpoint });
    is_none(&(struct rows){ .grpc = "[::1]:4317", .endpoint = endpoint });
}

static void addresses_of_the_machine_mean_doors_at_any_address(void **state)
{
    struct ifaddrs *all = NULL;
    char address[INET_ADDRSTRLEN], endpoint[64], door[64];

    (void)state;
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
            continue;
        assert_non_null(inet_ntop(AF_INET, &((const struct sockaddr_in *)one->ifa_addr)->sin_addr, address, sizeof address));
        snprintf(endpoint, sizeof endpoint, "http://%s:4317", address);
        snprintf(door, sizeof door, "%s:4317", address);
        is_circle(&(struct rows){ .grpc = "0.0.0.0:4317", .endpoint = endpoint }, "listen.otlp_grpc");
        is_circle(&(struct rows){ .grpc = "[::]:4317", .endpoint = endpoint }, "listen.otlp_grpc");
        is_circle(&(struct rows){ .grpc = door, .endpoint = endpoint }, "listen.otlp_grpc");
        is_none(&(struct rows){ .grpc = "192.0.2.1:4317", .endpoint = endpoint });
        is_none(&(struct rows){ .grpc = "[::1]:4317", .endpoint = endpoint });
    }
    freeifaddrs(all);
}

static void rows_that_name_servers_have_their_form(void **state)
{
    static const char *const wrong[] = { "ann:hush@host:4317", "hush@host", "http:/ann:hush@host", "//ann:hush@host", "ftp://ann:hush@host",
                                         "HTTP://ann:hush@host", "host:4317", " http://host", "http://", "http://127.0.0.1:0",
                                         "http://127.0.0.1:x", "http://[::1", "http://[127.0.0.1]4317", "http://127.0.0.1:4317:4317",
                                         "http://ann:hush@", "http://ann:1/hush@host", "https://ann:hush@host:0",
                                         "http://host?token=hush", "http://host/v1/traces?api_key=hush", "https://host:1/#hush",
                                         "http://host?", "http://ann:hush@host:1/?t=hush" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        for (enum exporter exporter = OTLP; exporter <= ELASTICSEARCH; exporter++) {
            static const char *const rows[] = { "exporters.otlp.endpoint: ", "exporters.zipkin.endpoint: ", "exporters.elasticsearch.endpoint: " };
            struct mg_why why = { "" };
            assert_int_equal(check(&(struct rows){ .exporter = exporter, .endpoint = wrong[i] }, &why), MG_E_FORMAT);
            if (strncmp(why.text, rows[exporter], strlen(rows[exporter])) != 0 || strstr(why.text, "hush") ||
                !strstr(why.text, "http[s]://[user:password@]host:port/path"))
                fail_msg("%s: %s", wrong[i], why.text);
        }
}

static void brokers_and_origins_have_no_password(void **state)
{
    static const struct { const char *in, *out, *origin, *want; } cases[] = {
        { .in = "host:9092", .out = "host:9092", .origin = "https://host" },
        { .in = "ann:hush@host:9092", .want = "kafka.brokers 2: must be host:port: user and password go into kafka.properties" },
        { .in = "hush@host:9092", .want = "kafka.brokers 2: must be host:port" },
        { .out = "sasl_ssl://ann:hush@host",
          .want = "exporters.kafka.brokers 2: must be host:port: user and password go into exporters.kafka.properties" },
        { .origin = "ann:hush@host", .want = "cors.origins 2: an origin has no user and no password: write scheme://host" },
        { .origin = "https://ann:hush@host", .want = "cors.origins 2: " },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct settings settings = { 0 };
        struct mg_why why = { "" };
        struct str in[] = { STR_INIT("a:1"), str_of(cases[i].in) }, out[] = { STR_INIT("b:1"), str_of(cases[i].out) };
        struct str origins[] = { STR_INIT("https://a"), str_of(cases[i].origin) };
        settings.kafka.brokers = (struct conf_list){ in, 2 };
        settings.exporters.kafka.brokers = (struct conf_list){ out, 2 };
        settings.cors.origins = (struct conf_list){ origins, 2 };
        assert_int_equal(endpoints_check(&settings, &why), cases[i].want ? MG_E_FORMAT : MG_OK);
        if (cases[i].want && (strncmp(why.text, cases[i].want, strlen(cases[i].want)) != 0 || strstr(why.text, "hush")))
            fail_msg("%s", why.text);
    }
}

static void a_topic_that_is_consumed_is_not_produced(void **state)
{
    static const struct { const char *in, *out; struct str topic; bool is_circle; } cases[] = {
        { "a:1", "a:1", STR_INIT("spans"), true },
        { "a:1", "a:1", STR_INIT("others"), false },
        { "a:1", "b:1", STR_INIT("spans"), false },
        { "a:1", "a:2", STR_INIT("spans"), false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct settings settings = { 0 };
        struct mg_why why = { "" };
        struct str in = str_of(cases[i].in), out = str_of(cases[i].out), topics[] = { STR_INIT("more"), STR_INIT("spans") };
        settings.kafka.brokers = (struct conf_list){ &in, 1 };
        settings.kafka.topics = (struct conf_list){ topics, 2 };
        settings.exporters.kafka.brokers = (struct conf_list){ &out, 1 };
        settings.exporters.kafka.topic = cases[i].topic;
        assert_int_equal(endpoints_check(&settings, &why), cases[i].is_circle ? MG_E_FORMAT : MG_OK);
        if (cases[i].is_circle)
            assert_non_null(strstr(why.text, "exporters.kafka.topic: 'spans' is one of kafka.topics on the same brokers"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_door_of_its_own_is_refused),
        cmocka_unit_test(another_place_is_none),
        cmocka_unit_test(the_name_of_the_machine_means_doors_beyond_loopback),
        cmocka_unit_test(addresses_of_the_machine_mean_doors_at_any_address),
        cmocka_unit_test(rows_that_name_servers_have_their_form),
        cmocka_unit_test(brokers_and_origins_have_no_password),
        cmocka_unit_test(a_topic_that_is_consumed_is_not_produced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
