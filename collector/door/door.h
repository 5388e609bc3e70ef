/* door.h - the table of the collector's doors. The rows of `listen`, ready lines, lists of doors in other rows and the "door" labels of
 * metrics are made of it, in its order. */
#pragma once
#include "conf/conf.h"

/* X(id, name, default address, help). SPANS: HTTP that takes spans; ANSWERS: HTTP that only answers; UDP: takes spans, and comes last,
 * because the numbers of the others are positions in http's label. */
#define DOOR_ROWS(SPANS, ANSWERS, UDP) \
    SPANS(OTLP_GRPC, "otlp_grpc", "127.0.0.1:4317", "OTLP over gRPC, or off.") \
    SPANS(OTLP_HTTP, "otlp_http", "127.0.0.1:4318", "OTLP over HTTP, protobuf and JSON, or off.") \
    ANSWERS(QUERY_HTTP, "query_http", "127.0.0.1:16686", "Jaeger API, console and admin API, or off.") \
    ANSWERS(METRICS, "metrics", "127.0.0.1:8888", "Prometheus metrics of the collector, or off.") \
    ANSWERS(HEALTH, "health", "127.0.0.1:13133", \
            "Health check at /status, or off. It tells whether spans are taken, and nothing of them: that it stands open is not warned about.") \
    SPANS(ZIPKIN, "zipkin", "127.0.0.1:9411", "Zipkin v2: spans in, and its query API, or off.") \
    SPANS(JAEGER_GRPC, "jaeger_grpc", "127.0.0.1:14250", "Jaeger's CollectorService over gRPC, or off.") \
    SPANS(JAEGER_HTTP, "jaeger_thrift_http", "127.0.0.1:14268", "Jaeger's Thrift over HTTP, or off.") \
    ANSWERS(QUERY_GRPC, "query_grpc", "127.0.0.1:16685", "Jaeger's query services over gRPC, or off.") \
    ANSWERS(SAMPLING_HTTP, "sampling_http", "127.0.0.1:5778", "Jaeger's remote sampling over HTTP, or off.") \
    ANSWERS(SAMPLING_GRPC, "sampling_grpc", "127.0.0.1:5779", "Jaeger's remote sampling over gRPC, or off.") \
    UDP(JAEGER_COMPACT, "jaeger_compact", "127.0.0.1:6831", "UDP: Jaeger agent, compact Thrift, or off.") \
    UDP(JAEGER_BINARY, "jaeger_binary", "127.0.0.1:6832", "UDP: Jaeger agent, binary Thrift, or off.")
#define DOOR_LEFT_OUT(...)
#define DOOR_IN_LABEL(id, name, ...) name "|" /* "door=" DOOR_ROWS(DOOR_IN_LABEL, …) */
#define DOOR_HTTP_LABEL "door=" DOOR_ROWS(DOOR_IN_LABEL, DOOR_IN_LABEL, DOOR_LEFT_OUT)

#define DOOR_ID(id, ...) DOOR_##id,
enum door { DOOR_ROWS(DOOR_ID, DOOR_ID, DOOR_ID) DOORS };
extern const char *const door_names[DOORS];
static inline bool door_is_udp(enum door door) { return door >= DOOR_JAEGER_COMPACT; }

/* Is the door named by that list? An empty list names `all`. */
bool door_is_listed(enum door door, const struct conf_list *names, bool all);
/* That a list has nothing but doors in it: E_FORMAT names the row, and the entry. */
enum mg_err door_list_check(const char *row, const struct conf_list *names, bool with_udp, struct mg_why *why) MG_MUST_USE;
