#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/stream.h"

struct door {
    struct loop *loop;
    struct listener *listener;
    unsigned n_accepted, n_connected, want;
};

static void check(struct door *door)
{
    if (door->n_accepted >= door->want && door->n_connected >= door->want)
        loop_stop(door->loop);
}

static void on_accept(void *owner, struct stream *stream)
{
    struct door *door = owner;
    door->n_accepted++;
    stream_close(stream); /* never owned: closing frees it */
    check(door);
}

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct door *door = owner;
    if (err)
        fail_msg("%s", why->text);
    door->n_connected++;
    stream_close(stream);
    check(door);
}

static uint16_t port_of(const struct listener *listener)
{
    struct str address = listener_address(listener), head;
    while (str_cut(&address, ':', &head))
        ;
    uint64_t port = 0;
    assert_int_equal(str_u64(head, &port), MG_OK);
    assert_true(port > 0 && port < 65536);
    return (uint16_t)port;
}

static enum mg_err open_at(struct door *door, const char *address, bool reuse, bool must_be_free,
                           struct mg_why *why)
{
    struct listener_options options = {
        .address = str_of(address), .reuse_port = reuse, .must_be_free = must_be_free};
    return listener_open(&door->listener, door->loop, &options, on_accept, door, why);
}

static void test_addresses(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *address; enum mg_err want; const char *listens, *dial; } cases[] = {
        { "127.0.0.1:0", MG_OK, "127.0.0.1:", "127.0.0.1" },
        { "localhost:0", MG_OK, "127.0.0.1:", "localhost" },
        { "0.0.0.0:0", MG_OK, "0.0.0.0:", "127.0.0.1" },
        { "", MG_E_FORMAT, NULL, NULL },
        { "127.0.0.1", MG_E_FORMAT, NULL, NULL },
        { ":0", MG_E_FORMAT, NULL, NULL },
        { "127.0.0.1:", MG_E_FORMAT, NULL, NULL },
        { "127.0.0.1:65536", MG_E_FORMAT, NULL, NULL },
        { "127.0.0.1:-1", MG_E_FORMAT, NULL, NULL },
        { "127.0.0.1:http", MG_E_FORMAT, NULL, NULL },
        { "192.0.2.1:0", MG_E_IO, NULL, NULL }, /* not an address of this machine */
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct door door = {.loop = loop_new(), .want = 1};
        struct mg_why why = {""};
        assert_int_equal(open_at(&door, cases[i].address, false, false, &why), cases[i].want);
        if (cases[i].want == MG_OK) {
            assert_true(str_starts(listener_address(door.listener), str_of(cases[i].listens)));
            stream_connect(door.loop, &(struct stream_target){ .host = str_of(cases[i].dial), .port = port_of(door.listener), .timeout_ms = 5000 }, on_connected, &door);
            loop_run(door.loop);
            listener_close(&door.listener);
        } else {
            assert_non_null(strstr(why.text, cases[i].address));
        }
        assert_null(door.listener);
        loop_free(&door.loop);
    }
}

static void test_ipv6(void **state)
{
    (void)state;
    if (access("/proc/net/if_inet6", R_OK) != 0) {
        print_message("no IPv6 on this machine\n");
        skip();
    }
    static const char *const dial[] = {"::1", "[::1]", "127.0.0.1"};
    for (size_t i = 0; i < MG_COUNT(dial); i++) {
        struct door door = {.loop = loop_new(), .want = 1};
        struct mg_why why = {""};
        if (open_at(&door, i < 2 ? "[::1]:0" : "[::]:0", false, false, &why)) {
            print_message("%s\n", why.text);
            loop_free(&door.loop);
            skip();
        }
        stream_connect(door.loop, &(struct stream_target){ .host = str_of(dial[i]), .port = port_of(door.listener), .timeout_ms = 5000 }, on_connected, &door);
        loop_run(door.loop);
        listener_close(&door.listener);
        loop_free(&door.loop);
    }
}

static void test_taken_address(void **state)
{
    (void)state;
    struct door first = {.loop = loop_new()}, second = {.loop = first.loop};
    struct mg_why why = {""};
    char address[64];

    assert_int_equal(open_at(&first, "127.0.0.1:0", false, false, &why), MG_OK);
    snprintf(address, sizeof address, "%.*s", STR_ARG(listener_address(first.listener)));
    for (int reuse = 0; reuse < 2; reuse++) {
        assert_int_equal(open_at(&second, address, reuse, false, &why), MG_E_IO);
        assert_non_null(strstr(why.text, "address already in use"));
        assert_non_null(strstr(why.text, address));
    }
    listener_close(&first.listener);

    assert_int_equal(open_at(&first, "127.0.0.1:0", true, true, &why), MG_OK);
    snprintf(address, sizeof address, "%.*s", STR_ARG(listener_address(first.listener)));
    assert_int_equal(open_at(&second, address, true, true, &why), MG_E_IO); /* somebody is there */
    assert_non_null(strstr(why.text, "address already in use"));
    assert_int_equal(open_at(&second, address, true, false, &why), MG_OK); /* one of ours */
    listener_close(&first.listener);
    listener_close(&second.listener);
    listener_close(&second.listener);
    loop_free(&first.loop);
}

static void resume(void *owner)
{
    struct door *door = owner;
    assert_int_equal(door->n_accepted, 0);
    listener_resume(door->listener);
}

static void test_pause(void **state)
{
    (void)state;
    struct door door = {.loop = loop_new(), .want = 3};
    struct mg_why why = {""};
    assert_int_equal(open_at(&door, "127.0.0.1:0", false, false, &why), MG_OK);
    listener_pause(door.listener);
    for (int i = 0; i < 3; i++)
        stream_connect(door.loop, &(struct stream_target){ .host = STR("127.0.0.1"), .port = port_of(door.listener), .timeout_ms = 5000 }, on_connected, &door);
    struct timer *timer = timer_new(door.loop, resume, &door);
    timer_start(timer, 20);
    loop_run(door.loop);
    assert_int_equal(door.n_accepted, 3); /* they waited in the backlog */
    timer_free(&timer);
    listener_close(&door.listener);
    loop_free(&door.loop);
}

/* --- descriptors run out --- */
struct shortage {
    struct door door;
    struct rlimit before;
    struct timer *timer;
};

static void end_shortage(void *owner)
{
    struct shortage *shortage = owner;
    assert_int_equal(shortage->door.n_accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage->before), 0);
}

static void on_connected_last(void *owner, struct stream *stream, enum mg_err err,
                              const struct mg_why *why)
{
    struct shortage *shortage = owner;
    assert_int_equal(err, MG_OK);
    (void)why;
    shortage->door.n_connected++;
    stream_close(stream);
    check(&shortage->door);
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct shortage shortage = {.door = {.loop = loop_new(), .want = 1}};
    struct door *door = &shortage.door;
    struct mg_why why = {""};
    assert_int_equal(open_at(door, "127.0.0.1:0", false, false, &why), MG_OK);
    shortage.timer = timer_new(door->loop, end_shortage, &shortage);
    stream_connect(door->loop, &(struct stream_target){ .host = STR("127.0.0.1"), .port = port_of(door->listener), .timeout_ms = 5000 }, on_connected_last, &shortage);
    /* The client's socket exists; not one more may be opened. */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage.before), 0);
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    struct rlimit tight = {(rlim_t)next, shortage.before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    timer_start(shortage.timer, 250);
    loop_run(door->loop);
    assert_int_equal(door->n_accepted, 1); /* accepted after all, by the retry */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage.before), 0); /* the client's going may have been enough */
    timer_free(&shortage.timer);
    listener_close(&door->listener);
    loop_free(&door->loop);
}

/* --- what connections leave --- */
enum { CLIENTS = 24, ROOM = 8 };
struct crowd {
    struct door door;
    struct stream *held[CLIENTS];
    struct timer *timer;
    unsigned n_held;
    rlim_t reserve;
};

static void on_accept_kept(void *owner, struct stream *stream)
{
    struct crowd *crowd = owner;
    if (crowd->n_held == CLIENTS) /* those of before have gone */
        stream_close(stream);
    else
        crowd->held[crowd->n_held++] = stream;
    crowd->door.n_accepted++;
    if (crowd->door.n_accepted == 1) /* the others of this round come before it */
        timer_start(crowd->timer, 1);
    if (crowd->door.n_accepted == CLIENTS)
        loop_stop(crowd->door.loop);
}

/* Accepting has stopped, and files can still be opened; then all connections go. */
static void end_crowd(void *owner)
{
    struct crowd *crowd = owner;
    int files[CLIENTS], n = 0;
    assert_in_range(crowd->n_held, 1, CLIENTS - 1);
    while (n < CLIENTS && (files[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    assert_in_range(n, crowd->reserve - 1, crowd->reserve);
    while (n > 0)
        close(files[--n]);
    while (crowd->n_held > 0)
        stream_close(crowd->held[--crowd->n_held]);
    crowd->n_held = CLIENTS;
}

static void test_descriptors_left_to_others(void **state)
{
    (void)state;
    struct crowd crowd = {.door = {.loop = loop_new()}};
    struct rlimit before;
    struct mg_why why = {""};
    int clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit tight = {(rlim_t)(clients[CLIENTS - 1] + ROOM) * 8 / 7, before.rlim_max};
    crowd.reserve = tight.rlim_cur / 8;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct listener_options options = {.address = STR("127.0.0.1:0"), .backlog = CLIENTS};
    if (listener_open(&crowd.door.listener, crowd.door.loop, &options, on_accept_kept, &crowd, &why) != MG_OK)
        fail_msg("%s", why.text);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port_of(crowd.door.listener)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < CLIENTS; i++) /* into the backlog */
        assert_int_equal(connect(clients[i], (struct sockaddr *)&to, sizeof to), 0);
    crowd.timer = timer_new(crowd.door.loop, end_crowd, &crowd);
    loop_run(crowd.door.loop);
    assert_int_equal(crowd.door.n_accepted, CLIENTS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < CLIENTS; i++)
        close(clients[i]);
    timer_free(&crowd.timer);
    listener_close(&crowd.door.listener);
    loop_free(&crowd.door.loop);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_taken_address),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_descriptors_left_to_others),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
