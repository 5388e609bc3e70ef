/* private.h - what the files of net share: the loop's insides. libuv's header stops here. */
#pragma once
#include <uv.h>
#include "net/loop.h"

/* One read never takes more: large enough that a 1 MiB body costs 16 reads, small enough for L2. */
#define LOOP_READ_BYTES (64u * 1024)

struct loop {
    uv_loop_t uv;
    char *read_buffer; /* LOOP_READ_BYTES, one for all streams: on_data ends before the next read */
    uv_async_t wake;   /* loop_stop from other threads */
    uv_prepare_t prepare; /* before the loop sleeps: deferred tasks, then the CPU time */
    uv_check_t check;     /* after the sockets' callbacks: deferred tasks */
    struct list tasks;    /* loop_task.link */
    struct {
        bool stop;       /* atomic */
        uint64_t cpu_ns; /* atomic, one writer */
    } shared;
};

/* "127.0.0.1:40213" or "[::1]:40213". */
#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + 9)
void address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_BYTES]);

struct stream;
/* A stream without a socket yet; closing it frees it (on_closed only when it is owned). */
struct stream *stream_new(struct loop *loop);
/* Takes the descriptor, also when it fails. */
int stream_adopt(struct stream *stream, int fd, const struct sockaddr *peer);
uv_tcp_t *stream_tcp(struct stream *stream);
void stream_set_peer(struct stream *stream, const struct sockaddr *peer);
