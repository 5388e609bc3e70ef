/* metrics.c - http's own numbers. */
#include <assert.h>
#include "http/conn.h"

enum {
#define METRIC_ID(id) M_##id
#define METRIC        METRIC_ENUM
#include "http/metrics.def"
#undef METRIC
    M_COUNT
};

static void set_gauges(void *owner)
{
    metric_set_gauge(owner, M_http_bodies_bytes, 0, 0, (double)gather_bytes_of_all());
}

struct metric_set *http_metrics_register(struct metric_registry *registry, const char *doors)
{
    const struct metric_row rows[] = {
#define METRIC METRIC_TABLE
#include "http/metrics.def"
#undef METRIC
    };
    struct metric_set *set = metric_register(registry, rows, M_COUNT);
    metric_on_scrape(registry, set_gauges, set);
    return set;
}

/* A door has a server on each loop: the gauge is of all of them. */
void http_count_conn(struct http_server *server, int by)
{
    if (server->options.metrics)
        metric_move_gauge(server->options.metrics, M_http_connections, server->options.metric_door,
                          0, by);
}

static void count(struct http_server *server, unsigned row, unsigned j, uint64_t by)
{
    if (server->options.metrics && by)
        metric_add(server->options.metrics, row, server->options.metric_door, j, by);
}

void http_count_request(struct http_server *server, unsigned status_class)
{
    count(server, M_http_requests, status_class, 1);
}

/* The position of the reason in the closed list. */
static unsigned reason_index(struct str list, const char *reason)
{
    struct str head;
    (void)str_cut(&list, '=', &head); /* the label's name */
    for (unsigned i = 0; str_cut(&list, '|', &head); i++) {
        if (str_eq(head, str_of(reason)))
            return i;
    }
    assert(!"a reason that is not in metrics.def");
    return 0;
}

void http_count_refused(struct http_server *server, const char *reason)
{
    count(server, M_http_refused, reason_index(STR(HTTP_REASONS), reason), 1);
}

void http_count_handshake(struct http_server *server, enum tls_failure failure)
{
    static const char *const reasons[] = {
        [TLS_FAILURE_NO_CERTIFICATE] = "no_certificate",
        [TLS_FAILURE_CERTIFICATE] = "certificate",
        [TLS_FAILURE_VERSION] = "version",
        [TLS_FAILURE_PLAIN] = "plain",
        [TLS_FAILURE_REFUSED] = "refused",
        [TLS_FAILURE_UNFINISHED] = "unfinished",
        [TLS_FAILURE_OTHER] = "other",
    };
    if (failure != TLS_FAILURE_NONE)
        count(server, M_tls_handshake_failures,
              reason_index(STR(HTTP_TLS_REASONS), reasons[failure]), 1);
}

void http_count_accept_pause(struct http_server *server)
{
    count(server, M_http_accept_pauses, 0, 1);
}

void http_count_body_wait(struct http_server *server)
{
    count(server, M_http_body_waits, 0, 1);
}

void http_count_bytes(struct http_server *server, size_t in, size_t out)
{
    count(server, M_http_received_bytes, 0, in);
    count(server, M_http_sent_bytes, 0, out);
}
