/* cast.c - see cast.h. Each language brings its SDK and its libraries, so that resources and scopes
 * differ between services as they do in a real cluster. */
#include "command/cast.h"
#include <stdio.h>
#include "base/mem.h"
#include "model/otlp_write.h"

enum language { DOTNET, GO, CPP, NODEJS, PYTHON, RUBY, RUST, LANGUAGES };
struct library {
    const char *name, *version;
};

static const struct {
    const char *name, *sdk_version, *runtime, *runtime_version;
    struct library scopes[SCOPES]; /* without a name: the service's own tracer */
} languages[LANGUAGES] = {
    [DOTNET] = {"dotnet",
                "1.13.1",
                ".NET",
                "9.0.10",
                {[SCOPE_RPC] = {"Microsoft.AspNetCore", "9.0.10"},
                 [SCOPE_REDIS] = {"OpenTelemetry.Instrumentation.StackExchangeRedis",
                                  "1.13.0-beta.1"}}},
    [GO] = {"go",
            "1.38.0",
            "go",
            "go1.25.3",
            {[SCOPE_HTTP] = {"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
                             "0.63.0"},
             [SCOPE_RPC] =
                 {"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
                  "0.63.0"},
             [SCOPE_SQL] = {"github.com/XSAM/otelsql", "0.40.0"},
             [SCOPE_REDIS] = {"github.com/redis/go-redis/extra/redisotel", "9.14.0"},
             [SCOPE_KAFKA] = {"github.com/twmb/franz-go/plugin/kotel", "1.6.0"}}},
    [CPP] = {"cpp", "1.23.0", "", "", {{0}}},
    [NODEJS] = {"nodejs",
                "2.2.0",
                "nodejs",
                "22.20.0",
                {[SCOPE_HTTP] = {"@opentelemetry/instrumentation-http", "0.207.0"},
                 [SCOPE_RPC] = {"@opentelemetry/instrumentation-grpc", "0.207.0"}}},
    [PYTHON] = {"python",
                "1.38.0",
                "cpython",
                "3.12.12",
                {[SCOPE_RPC] = {"opentelemetry.instrumentation.grpc", "0.59b0"}}},
    [RUBY] = {"ruby",
              "1.10.0",
              "ruby",
              "3.4.7",
              {[SCOPE_HTTP] = {"OpenTelemetry::Instrumentation::Net::HTTP", "0.26.0"},
               [SCOPE_KAFKA] = {"OpenTelemetry::Instrumentation::Rdkafka", "0.9.0"}}},
    [RUST] = {"rust",
              "0.31.0",
              "rustc",
              "1.90.0",
              {[SCOPE_HTTP] = {"opentelemetry-instrumentation-actix-web", "0.22.0"}}},
};

static const struct {
    const char *name, *version;
    enum language language;
    unsigned instances;
} services[SERVICES] = {
    [SERVICE_FRONTEND] = {"frontend", "3.8.1", NODEJS, 3},
    [SERVICE_CART] = {"cart", "2.4.0", DOTNET, 2},
    [SERVICE_CHECKOUT] = {"checkout", "5.1.2", GO, 2},
    [SERVICE_PAYMENT] = {"payment", "1.17.0", NODEJS, 1},
    [SERVICE_SHIPPING] = {"shipping", "0.9.4", RUST, 1},
    [SERVICE_CATALOG] = {"product-catalog", "4.0.3", GO, 3},
    [SERVICE_CURRENCY] = {"currency", "1.3.0", CPP, 2},
    [SERVICE_RECOMMENDATION] = {"recommendation", "2.0.0-rc.2", PYTHON, 1},
    [SERVICE_EMAIL] = {"email", "1.6.5", RUBY, 1},
};

struct str service_name(enum service service)
{
    return str_of(services[service].name);
}

static void put_text(struct buf *out, const char *key, const char *value)
{
    const struct attr attr = {str_of(key), {.type = VALUE_STRING, .str = str_of(value)}};

    if (value[0])
        otlp_put_attr(out, 1, &attr);
}

static void put_tags(struct buf *out, const char *key, const char *tag)
{
    struct buf array;
    size_t value;

    buf_init(&array, 1024);
    value = wire_open(&array, 1);
    wire_put_bytes(&array, 1, str_of(tag));
    wire_close(&array, value);
    const struct attr attr = {str_of(key), {.type = VALUE_ARRAY, .raw = buf_str(&array)}};
    otlp_put_attr(out, 1, &attr);
    buf_fini(&array);
}

static void random_hex(struct random *random, char *out, size_t chars)
{
    for (size_t i = 0; i < chars; i++)
        out[i] = "0123456789abcdef"[random_below(random, 16)];
    out[chars] = '\0';
}

static void random_uuid(struct random *random, char out[37])
{
    random_hex(random, out, 36);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[14] = '4';
    out[19] = "89ab"[random_below(random, 4)];
}

static struct str take(struct buf *buf)
{
    size_t len;
    char *ptr = buf_take(buf, &len);

    return str_n(ptr, len);
}

/* Deployment and ReplicaSet name a pod with hashes of 10 and 5 characters. */
static void pod_name(struct random *random, enum service service, char *out, size_t bytes)
{
    char set[11], pod[6];

    random_hex(random, set, 10);
    random_hex(random, pod, 5);
    snprintf(out, bytes, "%s-%s-%s", services[service].name, set, pod);
}

static void put_service(struct buf *out, struct random *random, enum service service)
{
    char uuid[37];

    random_uuid(random, uuid);
    put_text(out, "service.name", services[service].name);
    put_text(out, "service.namespace", "meshshop");
    put_text(out, "service.version", services[service].version);
    put_text(out, "service.instance.id", uuid);
    put_text(out, "deployment.environment.name", "production");
    put_text(out, "telemetry.sdk.name", "opentelemetry");
    put_text(out, "telemetry.sdk.language", languages[services[service].language].name);
    put_text(out, "telemetry.sdk.version", languages[services[service].language].sdk_version);
    put_text(out, "process.runtime.name", languages[services[service].language].runtime);
    put_text(out, "process.runtime.version", languages[services[service].language].runtime_version);
}

static void put_place(struct buf *out, struct random *random, enum service service, const char *pod)
{
    char node[32], image[96], id[65], uuid[37];

    snprintf(node, sizeof node, "node-%u", 1 + (unsigned)random_below(random, 3));
    snprintf(image, sizeof image, "registry.example.com/meshshop/%s", services[service].name);
    put_text(out, "host.name", node);
    put_text(out, "host.arch", "amd64");
    put_text(out, "os.type", "linux");
    put_text(out, "k8s.cluster.name", "shop-eu-1");
    put_text(out, "k8s.namespace.name", "meshshop");
    put_text(out, "k8s.node.name", node);
    put_text(out, "k8s.deployment.name", services[service].name);
    put_text(out, "k8s.pod.name", pod);
    random_uuid(random, uuid);
    put_text(out, "k8s.pod.uid", uuid);
    put_text(out, "k8s.container.name", services[service].name);
    random_hex(random, id, 64);
    put_text(out, "container.id", id);
    put_text(out, "container.image.name", image);
    put_tags(out, "container.image.tags", services[service].version);
}

static void instance_init(struct instance *instance, struct random *random, enum service service,
                          unsigned number)
{
    struct buf out;
    char pod[64], address[32];
    size_t resource;

    pod_name(random, service, pod, sizeof pod);
    snprintf(address, sizeof address, "10.42.%u.%u", 1 + number % 3, 10 + number);
    buf_init(&out, 64u << 10);
    resource = wire_open(&out, 1);
    put_service(&out, random, service);
    put_place(&out, random, service, pod);
    wire_close(&out, resource);
    wire_put_bytes(&out, 3, STR(CONVENTIONS_URL));
    instance->service = service;
    instance->resource = take(&out);
    instance->address = str_of(mem_text(address));
    instance->name = str_of(mem_text(pod));
}

static struct str scope_new(enum service service, enum scope scope)
{
    const struct library *library = &languages[services[service].language].scopes[scope];
    struct buf out;
    size_t message;

    buf_init(&out, 4096);
    message = wire_open(&out, 1);
    wire_put_bytes(&out, 1, library->name ? str_of(library->name) : service_name(service));
    wire_put_bytes(&out, 2, str_of(library->name ? library->version : services[service].version));
    wire_close(&out, message);
    wire_put_bytes(&out, 3, STR(CONVENTIONS_URL));
    return take(&out);
}

struct cast *cast_new(struct random *random)
{
    struct cast *cast = MEM_NEW(struct cast);

    for (enum service service = 0; service < SERVICES; service++) {
        cast->first[service] = cast->n_instances;
        cast->count[service] = services[service].instances;
        for (unsigned i = 0; i < services[service].instances; i++, cast->n_instances++)
            instance_init(&cast->instances[cast->n_instances], random, service, cast->n_instances);
        for (enum scope scope = 0; scope < SCOPES; scope++)
            cast->scopes[service][scope] = scope_new(service, scope);
    }
    return cast;
}

void cast_free(struct cast **pointer)
{
    struct cast *cast = *pointer;

    if (!cast)
        return;
    for (unsigned i = 0; i < cast->n_instances; i++) {
        mem_free((char *)cast->instances[i].resource.ptr);
        mem_free((char *)cast->instances[i].address.ptr);
        mem_free((char *)cast->instances[i].name.ptr);
    }
    for (enum service service = 0; service < SERVICES; service++)
        for (enum scope scope = 0; scope < SCOPES; scope++)
            mem_free((char *)cast->scopes[service][scope].ptr);
    mem_free(cast);
    *pointer = NULL;
}
