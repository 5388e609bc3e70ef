/* h2_client.h - a client session of nghttp2 that talks to a wire: what it saw is kept by stream.
 * What it sends is delivered whole or one byte per call. */
#pragma once
#include <nghttp2/nghttp2.h>
#include "wire.h"

#define STREAMS_MAX 512
#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct seen { /* of one stream */
    char status[8], grpc_status[8], grpc_message[256], retry_info[128], details[256], type[64],
        accept[64], allow[32], length[24], encoding[16], etag[64], vary[64];
    unsigned n_continue;
    struct buf body;
    bool is_closed, has_trailers;
    uint32_t error;
};

struct client {
    struct wire *wire;
    nghttp2_session *session;
    struct seen streams[STREAMS_MAX];
    size_t read; /* of wire->out */
    bool is_slow;
    unsigned n_goaway;
    int32_t last_stream[4];
    uint32_t goaway_error;
    struct str send;    /* body of the next request, not yet sent */
    bool is_open_ended; /* the body does not end */
    bool is_deaf;       /* does not read what the server writes */
};

struct ask {
    const char *method, *path, *type, *encoding, *timeout, *extra_name, *extra_value;
    struct str body;
    bool has_body, is_open_ended;
};

struct seen *seen_of(struct client *client, int32_t id);
void client_init(struct client *client, struct wire *wire, uint32_t window);
void client_fini(struct client *client);
void run(struct client *client); /* exchanges until both sides are quiet */
int32_t submit(struct client *client, const struct ask *ask);
struct seen *call(struct client *client, const struct ask *ask);
/* More of the body of a stream that is open-ended; is_last: and its end. */
void client_more(struct client *client, int32_t id, struct str bytes, bool is_last);
/* The server stops waiting for the rests of bodies that were answered before their end. */
void client_outlast(struct client *client);
/* The gRPC messages of an answer, each with '|' behind it; "broken" when they are not framed. */
const char *messages_of(const struct seen *seen);

#define CLIENT(name) CLIENT_WITH(name, 65535, (void)0)

/* The same with a window of its own for what the server sends, and a statement that changes `wire`
 * before the server starts. */
#define CLIENT_WITH(name, window, change)                                                          \
    (void)state;                                                                                   \
    struct wire wire;                                                                              \
    wire_init(&wire);                                                                              \
    change;                                                                                        \
    wire_start(&wire);                                                                             \
    struct client *name = MEM_NEW(struct client);                                                  \
    client_init(name, &wire, window)

#define DONE(name)                                                                                 \
    client_fini(name);                                                                             \
    mem_free(name);                                                                                \
    wire_fini(&wire)

static const struct ask get_root __attribute__((unused)) = {.method = "GET", .path = "/"};

#define GRPC        .method = "POST", .type = "application/grpc", .has_body = true
#define FRAME(text) STR_INIT("\0\0\0\0" text)
