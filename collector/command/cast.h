/* cast.h - who plays in the shop: services, their instances with the resource each reports, and the
 * instrumentation libraries (scopes) their spans come from. Built once from a seed; read-only
 * afterwards. Private to the module. */
#pragma once
#include "base/random.h"
#include "base/str.h"

enum service {
    SERVICE_FRONTEND,
    SERVICE_CART,
    SERVICE_CHECKOUT,
    SERVICE_PAYMENT,
    SERVICE_SHIPPING,
    SERVICE_CATALOG,
    SERVICE_CURRENCY,
    SERVICE_RECOMMENDATION,
    SERVICE_EMAIL,
    SERVICES
};
enum scope { SCOPE_HTTP, SCOPE_RPC, SCOPE_SQL, SCOPE_REDIS, SCOPE_KAFKA, SCOPE_APP, SCOPES };
enum { INSTANCES_MAX = 32 };

struct instance {
    enum service service;
    struct str resource; /* ResourceSpans without its scope_spans */
    struct str address;  /* of its pod: "10.42.1.17" */
    struct str name;     /* of its pod */
};
struct cast {
    struct instance instances[INSTANCES_MAX];
    unsigned n_instances;
    unsigned first[SERVICES], count[SERVICES]; /* instances of a service */
    struct str scopes[SERVICES][SCOPES];       /* ScopeSpans without its spans */
};
struct cast *cast_new(struct random *random);
void cast_free(struct cast **cast);
struct str service_name(enum service service); /* "product-catalog": also its DNS name */
#define CONVENTIONS_URL "https://opentelemetry.io/schemas/1.44.0"
