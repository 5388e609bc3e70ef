/* grpc.c - jaeger.api_v2.SamplingManager (jaeger-idl: api_v2/sampling.proto): its two messages and its method. Fields that are zero are not
 * written, as proto3 does. */
#include "api/sampling/sampling.h"
#include "api/sampling/strategy.h"
#include "http/health.h"
#include "http/inflate.h"
#include "model/wire.h"

#define SERVICE           "jaeger.api_v2.SamplingManager"
#define REQUEST_BYTES_MAX ((size_t)64 << 10) /* before and after inflating: what a service's name has over HTTP */

/* --- SamplingStrategyResponse ------------------------------------------------------------------------ */

static void put_double(struct buf *out, uint32_t number, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (value != 0)
        wire_put_fixed64(out, number, bits);
}

static void put_probabilistic(struct buf *out, double probability)
{
    size_t mark = wire_open(out, 2);

    put_double(out, 1, probability);
    wire_close(out, mark);
}

static void put_limit(struct buf *out, int32_t max_traces_per_second)
{
    size_t mark;

    wire_put_varint(out, 1, STRATEGY_RATE_LIMITING);
    mark = wire_open(out, 3);
    if (max_traces_per_second != 0)
        wire_put_varint(out, 1, (uint64_t)(int64_t)max_traces_per_second);
    wire_close(out, mark);
}

static void put_operations(struct buf *out, const struct strategy *strategy)
{
    size_t mark = wire_open(out, 4);

    put_double(out, 1, strategy->probability);
    put_double(out, 2, strategy->default_lower_bound);
    for (size_t i = 0; i < strategy->n_operations; i++) {
        if (!strategy_can_tell(&strategy->operations[i]))
            continue;
        size_t operation = wire_open(out, 3);
        if (strategy->operations[i].name.len)
            wire_put_bytes(out, 1, strategy->operations[i].name);
        put_probabilistic(out, strategy->operations[i].probability);
        wire_close(out, operation);
    }
    wire_close(out, mark);
}

void strategy_proto(struct buf *out, const struct strategy *strategy)
{
    if (strategy_is_limit(strategy))
        put_limit(out, strategy->max_traces_per_second);
    else
        put_probabilistic(out, strategy->probability);
    if (strategy->has_operations)
        put_operations(out, strategy);
}

/* --- SamplingStrategyParameters ---------------------------------------------------------------------- */

static const struct wire_shape_field parameters_fields[] = { { .name = "serviceName", .kind = WIRE_KIND_STRING } };
static const struct wire_shape parameters = { "SamplingStrategyParameters", parameters_fields, MG_COUNT(parameters_fields), false };

/* An absent name is the empty one, as in proto3; of several the last one counts. */
static enum mg_err read_service(struct str message, struct str *service, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct str name = STR("");
    struct wire_field field;

    if (wire_check(message, &parameters, 1) != WIRE_FINE)
        return mg_fail(why, MG_E_FORMAT, "malformed SamplingStrategyParameters");
    while (wire_next(&at, end, &field) == 1)
        if (field.number == 1)
            name = field.bytes;
    if (!utf8_valid(name.ptr, name.len))
        return mg_fail(why, MG_E_FORMAT, "malformed SamplingStrategyParameters: serviceName is not UTF-8");
    *service = name;
    return MG_OK;
}

/* --- the method -------------------------------------------------------------------------------------- */

static enum mg_err answer(struct head *head, struct http_request *request, struct buf *out, struct mg_why *why)
{
    struct arena arena = { 0 };
    struct strategy strategy;
    struct str message, service = STR("");
    struct buf room;

    buf_init(&room, REQUEST_BYTES_MAX);
    enum mg_err err = http_request_inflate(request, REQUEST_BYTES_MAX, &room, &message, why);
    if (err == MG_OK)
        err = read_service(message, &service, why);
    if (err == MG_OK) {
        head_strategy(head, service, &arena, &strategy);
        strategy_proto(out, &strategy);
        if (buf_err(out) != MG_OK)
            err = mg_fail(why, MG_E_INTERNAL, "the strategy is larger than 4 MiB");
    }
    arena_fini(&arena);
    buf_fini(&room);
    return err;
}

static void on_get_strategy(void *owner, struct http_request *request)
{
    struct mg_why why = { "" };
    struct buf out;

    buf_init(&out, STRATEGY_BYTES_MAX);
    enum mg_err err = answer(owner, request, &out, &why);
    if (err != MG_OK)
        http_respond_error(request, err, str_of(why.text), 0);
    else
        http_respond_grpc(request, buf_str(&out));
    buf_fini(&out);
}

#define STRATEGY_ROUTE \
    { .path = "/" SERVICE "/GetSamplingStrategy", .on_request = on_get_strategy, .body_max = REQUEST_BYTES_MAX, .is_grpc = true, .scope = HTTP_SCOPE_INGEST }

const struct http_route *sampling_grpc_routes(size_t *n)
{
    static const struct http_route routes[] = { STRATEGY_ROUTE };

    *n = MG_COUNT(routes);
    return routes;
}

const struct http_route *sampling_grpc_door_routes(size_t *n)
{
    static const char *const services[] = { SERVICE };
    static struct http_health health = { .services = services, .n = MG_COUNT(services) };
    static const struct http_route routes[] = { STRATEGY_ROUTE, HTTP_HEALTH_ROUTES(&health) };

    *n = MG_COUNT(routes);
    return routes;
}
