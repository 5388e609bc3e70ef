/* reflection.h - grpc.reflection v1 and v1alpha, which have the same shape ("gRPC Server Reflection Protocol"): a client
 * learns services and messages of the query_grpc door from the door itself, as grpcurl does. Owner:
 * struct jaeger_api. Private to api/jaeger; jaeger_grpc_routes has its rows.
 *
 * A file comes with everything it imports. What is not there is an error_response inside a call
 * that goes on; a message that is malformed ends the call (3). No file has extensions.
 *
 * A small question has an answer of kilobytes, which waits unbounded when the client does not read:
 * a call that was given REFLECTION_BYTES_MAX is ended (8), and the client makes another one. Calls
 * belong to one loop. */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "http/http.h"

#define REFLECTION_BYTES_MAX   ((size_t)1024 * 1024)
#define REFLECTION_REQUEST_MAX 4096

struct reflected_file {
    struct str name, package, bytes; /* bytes: the FileDescriptorProto */
};
struct reflection {
    VEC(struct reflected_file) files;
    struct map calls; /* the request's pointer -> bytes it was given; the loop's */
};
void reflection_init(struct reflection *reflection);
void reflection_fini(struct reflection *reflection); /* no call is open any more */

/* The ServerReflectionResponse to one ServerReflectionRequest. E_FORMAT: malformed. */
enum mg_err reflection_answer(const struct reflection *reflection, struct str request,
                              struct buf *out, struct mg_why *why) MG_MUST_USE;

http_message_fn reflection_on_message; /* owner: the struct jaeger_api */
http_handler_fn reflection_on_end;
#define REFLECTION_ROUTE(version)                                                                  \
    {                                                                                              \
        .path = "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo",              \
        .on_message = reflection_on_message, .on_request = reflection_on_end,                      \
        .body_max = REFLECTION_REQUEST_MAX, .is_grpc = true                                        \
    }
