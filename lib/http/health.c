/* health.c - the messages are written by hand, they have two fields:
 *
 *     HealthCheckRequest  { 1: service }
 *     HealthCheckResponse { 1: status }
 *     HealthListResponse  { 1: map<string, HealthCheckResponse> }
 */
#include "http/health.h"

#include "http/inflate.h"
#include "model/wire.h"

enum { SERVING = 1, NOT_SERVING = 2, GRPC_NOT_FOUND = 5 };

/* The last one counts. false: malformed. */
static bool read_service(struct str body, struct str *service)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field field;
    int got;

    *service = STR("");
    while ((got = wire_next(&at, end, &field)) == 1)
        if (field.number == 1 && field.type == WIRE_BYTES)
            *service = field.bytes;
    return got == 0;
}

static bool is_served(const struct http_health *health, struct str service)
{
    for (size_t i = 0; i < health->n; i++)
        if (str_eq(service, str_of(health->services[i])))
            return true;
    return service.len == 0;
}

static int status_of(const struct http_health *health, const struct http_request *request)
{
    void *owner = http_server_owner(http_request_server(request));

    return !health->is_serving || health->is_serving(owner) ? SERVING : NOT_SERVING;
}

static void check(const struct http_health *health, struct http_request *request, struct str body)
{
    struct str service;
    struct buf out;

    if (!read_service(body, &service)) {
        http_respond_error(request, MG_E_FORMAT, STR("malformed HealthCheckRequest"), 0);
        return;
    }
    if (!is_served(health, service)) {
        http_respond_grpc_error(request, GRPC_NOT_FOUND, STR("unknown service"));
        return;
    }
    buf_init(&out, 16);
    wire_put_varint(&out, 1, (uint64_t)status_of(health, request));
    http_respond_grpc(request, buf_str(&out));
    buf_fini(&out);
}

static void put_entry(struct buf *out, const char *service, int status)
{
    size_t entry = wire_open(out, 1);

    wire_put_bytes(out, 1, str_of(service));
    size_t response = wire_open(out, 2);
    wire_put_varint(out, 1, (uint64_t)status);
    wire_close(out, response);
    wire_close(out, entry);
}

static void list(const struct http_health *health, struct http_request *request, struct str body)
{
    int status = status_of(health, request);
    struct buf out;

    (void)body; /* HealthListRequest has no fields */
    buf_init(&out, SIZE_MAX / 2);
    put_entry(&out, "", status);
    for (size_t i = 0; i < health->n; i++)
        put_entry(&out, health->services[i], status);
    http_respond_grpc(request, buf_str(&out));
    buf_fini(&out);
}

static void with_body(const struct http_health *health, struct http_request *request,
                      void (*answer)(const struct http_health *, struct http_request *, struct str))
{
    struct mg_why why;
    struct str body;
    struct buf room;

    buf_init(&room, HTTP_HEALTH_BYTES_MAX);
    enum mg_err err = http_request_inflate(request, HTTP_HEALTH_BYTES_MAX, &room, &body, &why);
    if (err)
        http_respond_error(request, err, str_of(why.text), 0);
    else
        answer(health, request, body);
    buf_fini(&room);
}

void http_health_check(void *owner, struct http_request *request)
{
    with_body(owner, request, check);
}

void http_health_list(void *owner, struct http_request *request)
{
    with_body(owner, request, list);
}
