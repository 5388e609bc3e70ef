/* door.h - routes of the folder behind a server over memory. For one file a program. */
#pragma once
#include "fake_head.h"
#include "api/sampling/sampling.h"
/* The FIN of the peer there, and the end of a slice in model/wire.h, have one name. */
#define wire_end wire_fin
#include "../../http/wire.h"
#undef wire_end

static inline void door_open(struct wire *wire, const struct http_route *(*routes)(size_t *n))
{
    memset(&fake, 0, sizeof fake);
    wire_init(wire);
    wire->options.routes = owned(routes, &wire->options.n_routes);
    wire_start(wire);
}
