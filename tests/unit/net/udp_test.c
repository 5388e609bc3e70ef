#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/udp.h"

struct rig {
    struct loop *loop;
    struct udp *udp;
    struct timer *deadline;
    struct buf got;       /* all datagrams, one after the other */
    size_t n, wanted;     /* stops the loop at `wanted` */
    size_t largest, last; /* bytes */
    size_t close_at;
    char peer[64];
};

static void on_datagram(void *owner, struct str datagram, struct str peer)
{
    struct rig *rig = owner;
    buf_put(&rig->got, datagram.ptr, datagram.len);
    rig->largest = MG_MAX(rig->largest, datagram.len);
    rig->last = datagram.len;
    snprintf(rig->peer, sizeof rig->peer, "%.*s", STR_ARG(peer));
    rig->n++;
    if (rig->n == rig->close_at)
        udp_close(&rig->udp);
    if (rig->n == rig->wanted)
        loop_stop(rig->loop);
}

static void on_deadline(void *owner)
{
    (void)owner;
    fail_msg("nothing came for 20 s");
}

static enum mg_err try_open(struct rig *rig, const struct udp_options *options, struct mg_why *why)
{
    *rig = (struct rig){.loop = loop_new()};
    buf_init(&rig->got, 1u << 28);
    rig->deadline = timer_new(rig->loop, on_deadline, rig);
    timer_start(rig->deadline, 20000);
    return udp_open(&rig->udp, rig->loop, options, on_datagram, rig, why);
}

static void open_rig(struct rig *rig, const char *address, unsigned receive_bytes)
{
    struct mg_why why;
    const struct udp_options options = {.address = str_of(address), .receive_bytes = receive_bytes};
    if (try_open(rig, &options, &why))
        fail_msg("%s", why.text);
}

static void close_rig(struct rig *rig)
{
    udp_close(&rig->udp);
    timer_free(&rig->deadline);
    buf_fini(&rig->got);
    loop_free(&rig->loop);
}

static void run_until(struct rig *rig, size_t n)
{
    rig->wanted = n;
    if (rig->n < n)
        loop_run(rig->loop);
}

static uint16_t port_of(const struct rig *rig)
{
    struct str address = udp_address(rig->udp);
    size_t colon = address.len;
    uint64_t port;
    while (address.ptr[colon - 1] != ':')
        colon--;
    assert_int_equal(str_u64(str_n(address.ptr + colon, address.len - colon), &port), MG_OK);
    return (uint16_t)port;
}

/* A connected socket of the test's own. */
static int sender_to(const struct rig *rig)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port_of(rig)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void test_datagrams_stay_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 1472, 9000, 65000, 65507, 3};
    struct rig rig;
    size_t total = 0;
    char *bytes = mem_zero(1, 65507);
    open_rig(&rig, "127.0.0.1:0", 0);
    int fd = sender_to(&rig);
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        memset(bytes, (int)('a' + i), sizes[i]);
        assert_int_equal(send(fd, bytes, sizes[i], 0), sizes[i]);
        run_until(&rig, i + 1);
        total += sizes[i];
        assert_int_equal(rig.got.len, total);
        if (sizes[i])
            assert_memory_equal(rig.got.ptr + total - sizes[i], bytes, sizes[i]);
    }
    assert_int_equal(rig.largest, 65507);
    assert_int_equal(udp_dropped(rig.udp), 0);
    close(fd);
    mem_free(bytes);
    close_rig(&rig);
}

static void assert_peer_is(const struct rig *rig, int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    char want[64];
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    snprintf(want, sizeof want, "127.0.0.1:%u", ntohs(name.sin_port));
    assert_string_equal(rig->peer, want);
}

static void test_peers(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, "127.0.0.1:0", 0);
    int a = sender_to(&rig), b = sender_to(&rig);
    const int order[] = {a, a, b, a, b, b};
    for (size_t i = 0; i < MG_COUNT(order); i++) {
        assert_int_equal(send(order[i], "x", 1, 0), 1);
        run_until(&rig, i + 1);
        assert_peer_is(&rig, order[i]);
    }
    close(a);
    close(b);
    close_rig(&rig);
}

/* More than one batch and more than one round of them; order is the sender's. */
static void test_a_burst(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct rig rig;
    open_rig(&rig, "127.0.0.1:0", 0);
    int fd = sender_to(&rig);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(send(fd, &i, sizeof i, 0), sizeof i);
    run_until(&rig, N);
    for (uint32_t i = 0; i < N; i++)
        assert_memory_equal(rig.got.ptr + i * sizeof i, &i, sizeof i);
    assert_int_equal(udp_dropped(rig.udp), 0);
    close(fd);
    close_rig(&rig);
}

/* What did not fit into the socket's buffer is counted, with the next datagram that comes. */
static void test_drops_are_counted(void **state)
{
    (void)state;
    enum { SENT = 2000 };
    struct rig rig;
    char bytes[1000] = {0};
    open_rig(&rig, "127.0.0.1:0", 4096);
    int fd = sender_to(&rig);
    for (size_t round = 1; round <= 2; round++) {
        for (int i = 0; i < SENT; i++)
            assert_int_equal(send(fd, bytes, sizeof bytes, 0), sizeof bytes);
        run_until(&rig, rig.n + 1); /* takes the whole backlog in that round of the loop */
        assert_int_equal(send(fd, bytes, 1, 0), 1);
        while (rig.last != 1)
            run_until(&rig, rig.n + 1);
        assert_true(udp_dropped(rig.udp) > SENT / 2);
        assert_int_equal(udp_dropped(rig.udp) + rig.n, round * (SENT + 1));
    }
    close(fd);
    close_rig(&rig);
}

static void test_close_inside_the_callback(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, "127.0.0.1:0", 0);
    int fd = sender_to(&rig);
    for (int i = 0; i < 10; i++)
        assert_int_equal(send(fd, "x", 1, 0), 1);
    rig.close_at = 3;
    run_until(&rig, 3);
    assert_null(rig.udp);
    timer_stop(rig.deadline);
    close(fd);
    close_rig(&rig);
    assert_int_equal(rig.n, 3); /* no call after it */
}

static void test_ipv6(void **state)
{
    (void)state;
    struct rig rig;
    struct mg_why why;
    if (try_open(&rig, &(struct udp_options){.address = STR("[::]:0")}, &why)) {
        timer_free(&rig.deadline);
        loop_free(&rig.loop);
        skip(); /* a system without IPv6 */
    }
    int fd = sender_to(&rig); /* over IPv4: "[::]" takes it too */
    assert_int_equal(send(fd, "x", 1, 0), 1);
    run_until(&rig, 1);
    assert_true(str_starts(str_of(rig.peer), STR("[::ffff:127.0.0.1]:")));
    close(fd);
    close_rig(&rig);
}

static void test_wrong_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum mg_err want;
    } cases[] = {
        {"", MG_E_FORMAT},
        {"127.0.0.1", MG_E_FORMAT},
        {":6831", MG_E_FORMAT},
        {"127.0.0.1:x", MG_E_FORMAT},
        {"127.0.0.1:65536", MG_E_FORMAT},
        {"192.0.2.1:0", MG_E_IO},
        {"name.invalid:0", MG_E_IO},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        struct mg_why why = {""};
        enum mg_err err =
            try_open(&rig, &(struct udp_options){.address = str_of(cases[i].address)}, &why);
        assert_int_equal(err, cases[i].want);
        assert_non_null(strstr(why.text, err == MG_E_FORMAT ? "is not host:port" : "cannot "));
        assert_null(rig.udp);
        close_rig(&rig);
    }
}

static void test_taken_address(void **state)
{
    (void)state;
    static const struct {
        bool first_shares, reuse_port, must_be_free, is_fine;
    } cases[] = {
        {false, false, false, false}, {false, true, false, false}, {true, false, false, false},
        {true, true, true, false},    {true, true, false, true},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig first, second;
        struct mg_why why = {""};
        const struct udp_options own = {.address = STR("127.0.0.1:0"),
                                        .reuse_port = cases[i].first_shares,
                                        .must_be_free = true};
        assert_int_equal(try_open(&first, &own, &why), MG_OK);
        const struct udp_options same = {.address = udp_address(first.udp),
                                         .reuse_port = cases[i].reuse_port,
                                         .must_be_free = cases[i].must_be_free};
        enum mg_err err = try_open(&second, &same, &why);
        assert_int_equal(err, cases[i].is_fine ? MG_OK : MG_E_IO);
        assert_true(cases[i].is_fine || strstr(why.text, "address already in use"));
        close_rig(&second);
        close_rig(&first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_stay_whole),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_a_burst),
        cmocka_unit_test(test_drops_are_counted),
        cmocka_unit_test(test_close_inside_the_callback),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_wrong_addresses),
        cmocka_unit_test(test_taken_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
