/* grpc_params.h - request messages of the gRPC query services (jaeger-idl: api_v2/query.proto,
 * api_v3/query_service.proto) to what is asked for, by the rules that the parameters
 * of HTTP follow (params.h). Pure functions; loop threads.
 *
 * E_FORMAT with Jaeger's sentence where it has one; also for a message that is malformed, a field
 * of another type, a time or a duration out of its range, and the structured filter of v3, since a
 * filter that is silently dropped finds too much. E_INTERNAL for a search depth below zero, as over
 * HTTP. Unknown fields are not looked at. A time before 1970 is 1970. Texts that are not UTF-8 are
 * sanitised, as the stored strings are that they are compared with. */
#pragma once
#include "api/jaeger/params.h"

#define GRPC_DEPTH_DEFAULT 20 /* traces, when search_depth is 0 */

struct grpc_asked {
    /* `trace_ids`: the one of GetTrace and ArchiveTrace. The filter's start_min_ns and start_max_ns
     * are also the window of GetDependencies. */
    struct jaeger_search search;
    struct str service, kind; /* of GetOperations; in the search's arena */
};
struct grpc_limits {
    uint64_t now_ns; /* wall clock, for the default window of api_v2: two days, as over HTTP */
    uint64_t traces_max;
};
/* On success the search is the caller's (jaeger_search_fini). */
typedef enum mg_err grpc_read_fn(struct str message, const struct grpc_limits *limits,
                                 struct grpc_asked *out, struct mg_why *why);
grpc_read_fn grpc_read_nothing; /* a message that has no fields */
/* 16 bytes, or 8 that are the lower half; start_time and end_time are hints, checked and not needed
 * here. Also ArchiveTrace's, where raw_traces is unknown and does no harm. */
grpc_read_fn grpc_read_v2_trace;
grpc_read_fn grpc_read_v2_search;
grpc_read_fn grpc_read_v2_operations, grpc_read_v3_operations; /* v3: a service is required */
/* The end may be before the start: nothing was decided in between. */
grpc_read_fn grpc_read_v2_dependencies;
grpc_read_fn grpc_read_v3_trace; /* an id as in the paths of HTTP */
grpc_read_fn grpc_read_v3_search;
grpc_read_fn grpc_read_v3_dependencies;
