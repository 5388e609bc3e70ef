/* `ledger`, `why` and `sampling show` against a server: what they ask for, print, and end with. */
#include "unit/command/test.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include "unit/command/output.h"

/* --- a server that gives one answer to each connection ------------------------------------------------ */

static struct {
    int fd;
    char url[64], request[2048], answer[2048];
} server;

static void *serve_one(void *unused)
{
    int fd = accept(server.fd, NULL, NULL);
    size_t n = 0;
    ssize_t got;

    (void)unused;
    if (fd < 0)
        return NULL;
    while (n < sizeof server.request - 1 && !strstr(server.request, "\r\n\r\n") &&
           (got = read(fd, server.request + n, sizeof server.request - 1 - n)) > 0)
        server.request[n += (size_t)got] = '\0';
    (void)!write(fd, server.answer, strlen(server.answer)); /* a client that has gone fails its own checks */
    close(fd);
    return NULL;
}

static int server_open(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    (void)state;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(server.fd, 4) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    return 0;
}

static int server_close(void **state)
{
    (void)state;
    return close(server.fd);
}

static int no_run(int argc, char **argv)
{
    (void)argc, (void)argv;
    return COMMAND_USAGE;
}

static int call(const char *const *args, struct output *out)
{
    const struct command_hooks hooks = {no_run};
    char *argv[10] = {(char *)"meshglass-collector"};
    int argc = 1, status;

    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    argv[argc++] = (char *)"--server";
    argv[argc++] = server.url;
    capture(out);
    status = command_main(argc, argv, &hooks);
    release(out);
    return status;
}

/* --- rows ------------------------------------------------------------------------------------------- */

#define OK(body)                                                                                                          \
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" body
#define BALANCED "{\"accepted\":1,\"stored\":1,\"sampled_out\":0,\"duplicate\":0,\"pending\":0,\"refused\":0,\"late\":0}"
#define OFF      "{\"accepted\":2,\"stored\":1,\"sampled_out\":0,\"duplicate\":0,\"pending\":0,\"refused\":0,\"late\":0}"
#define UNKNOWN  "{\"trace_id\":\"000000000000000000000000000000ab\",\"decision\":\"unknown\"}"
#define TABLE    "{\"data\":[{\"service\":\"cart\",\"operation\":\"\",\"probability\":0.5}]}"

static const struct {
    const char *argv[5], *answer;
    int status;
    const char *asked, *out, *err; /* must be contained; NULL: nothing may be there */
} rows[] = {
    {{"ledger"}, OK(BALANCED), 0, "GET /api/meshglass/v1/ledger HTTP/1.1\r\n", "the ledger balances\n", NULL},
    {{"ledger"}, OK(OFF), 1, "/ledger ", "does NOT balance\n", NULL},
    {{"ledger", "--json"}, OK(OFF), 1, "/ledger ", OFF "\n", NULL},
    {{"ledger"}, OK("{}"), 1, "/ledger ", NULL, "meshglass-collector: ledger: the answer is no ledger"},
    {{"why", "ab"}, OK(UNKNOWN), 0, "GET /api/meshglass/v1/why/000000000000000000000000000000ab HTTP/1.1\r\n", "decision     unknown\n", NULL},
    {{"why", "0102030405060708090A0B0C0D0E0F10"}, OK(UNKNOWN), 0, "/why/0102030405060708090a0b0c0d0e0f10 ", "decision     unknown\n", NULL},
    {{"why", "--json", "ab"}, OK(UNKNOWN), 0, "/why/", UNKNOWN "\n", NULL},
    {{"why", "ab", "--json"}, OK("{\"x\":1}"), 1, "/why/", NULL, "meshglass-collector: why: the answer explains nothing"},
    {{"why", "ab"}, OK("no json"), 1, "/why/", NULL, "meshglass-collector: why: "},
    {{"why", "ab"}, "HTTP/1.1 503 x\r\nConnection: close\r\n\r\ntoo many queries are waiting\n", 1, "/why/", NULL, "too many queries are waiting\n"},
    {{"sampling", "show"}, OK(TABLE), 0, "GET /api/sampling/effective HTTP/1.1\r\n", "cart     *                  0.5", NULL},
    {{"sampling", "show", "--json"}, OK(TABLE), 0, "/effective ", TABLE "\n", NULL},
    {{"sampling", "show"}, OK("{}"), 1, "/effective ", NULL, "meshglass-collector: sampling show: the answer is no table of sampling"},
    {{"sampling", "show"}, "HTTP/1.1 404 x\r\nConnection: close\r\n\r\n", 1, "/effective ", NULL, "404"},
};

static void check_text(size_t row, const char *what, const char *got, const char *want)
{
    if (want ? !strstr(got, want) : got[0] != '\0')
        fail_msg("row %zu: %s is \"%s\", not \"%s\"", row, what, got, want ? want : "");
}

static void test_rows(void **state)
{
    static struct output out;
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        memset(server.request, 0, sizeof server.request);
        snprintf(server.answer, sizeof server.answer, "%s", rows[i].answer);
        assert_int_equal(pthread_create(&thread, NULL, serve_one, NULL), 0);
        int status = call(rows[i].argv, &out);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (status != rows[i].status)
            fail_msg("row %zu: exit status %d; stderr: %s", i, status, out.text[1]);
        check_text(i, "the request", server.request, rows[i].asked);
        check_text(i, "stdout", out.text[0], rows[i].out);
        check_text(i, "stderr", out.text[1], rows[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_rows, server_open, server_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
