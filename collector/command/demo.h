/* demo.h - the parts of `demo` that a test calls. Private to the module. */
#pragma once
#include "base/buf.h"

/* Base URL of the OTLP door ("otlp_http", "otlp_grpc") in the JSON of /api/meshglass/v1/status. An
 * address that means every interface is replaced by `host`, which has no brackets. E_ABSENT: the door is off. */
enum mg_err demo_door(struct str status, const char *door, struct str host, struct buf *out,
                          struct mg_why *why) MG_MUST_USE;

/* When the next visit may be told. A visit has more spans than are due, which delays the one after
 * it; the debt of a stall is bounded to a quarter of a second, so that no burst follows. */
struct pace {
    uint64_t per_second, last_ns;
    int64_t owed; /* spans × 10⁹; negative after a visit */
};
void pace_init(struct pace *pace, uint64_t per_second, uint64_t now_ns);
bool pace_is_due(struct pace *pace, uint64_t now_ns); /* at least one whole span is owed */
void pace_spend(struct pace *pace, uint64_t spans);
