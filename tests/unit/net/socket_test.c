/* Addresses as text, and sockets of both kinds bound to one. Listeners and datagrams test the rest.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "net/private.h"

static void test_address_text(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_BYTES];
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(65535)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    inet_pton(AF_INET, "255.255.255.255", &v4.sin_addr);
    address_text((struct sockaddr *)&v4, text);
    assert_string_equal(text, "255.255.255.255:65535");
    inet_pton(AF_INET6, "1111:2222:3333:4444:5555:6666:7777:8888", &v6.sin6_addr);
    address_text((struct sockaddr *)&v6, text);
    assert_string_equal(text, "[1111:2222:3333:4444:5555:6666:7777:8888]:1");
    address_text((struct sockaddr *)&local, text);
    assert_string_equal(text, "");
}

static void test_kinds(void **state)
{
    (void)state;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < MG_COUNT(types); i++) {
        struct socket_options options = {.address = STR("127.0.0.1:0"), .type = types[i]};
        char name[ADDRESS_TEXT_BYTES];
        struct mg_why why = {""};
        int fd = -1, second = -1, type;
        socklen_t len = sizeof type;
        assert_int_equal(socket_open(&fd, &options, &why), MG_OK);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len), 0);
        assert_int_equal(type, types[i]);
        socket_name(fd, name);
        assert_true(str_starts(str_of(name), STR("127.0.0.1:")));
        options.address = str_of(name);
        assert_int_equal(socket_open(&second, &options, &why), MG_E_IO);
        assert_non_null(strstr(why.text, "address already in use"));
        assert_int_equal(second, -1); /* written on success only */
        close(fd);
    }
}

static void test_wrong_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", ":", ":1", "a", "a:", "a:-1", "a:65536", "a:1x", "[]:1"};
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        const struct socket_options options = {.address = str_of(wrong[i]), .type = SOCK_STREAM};
        struct mg_why why = {""};
        int fd = -1;
        assert_int_equal(socket_open(&fd, &options, &why), MG_E_FORMAT);
        assert_non_null(strstr(why.text, "is not host:port"));
    }
}

static void test_name_of_no_socket(void **state)
{
    (void)state;
    char name[ADDRESS_TEXT_BYTES] = "x";
    socket_name(-1, name);
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_text),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_wrong_addresses),
        cmocka_unit_test(test_name_of_no_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
