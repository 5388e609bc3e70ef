/* bare.h - a bare connection to a server: it sends what it is told to, keeps what comes, and closes
 * when the server has ended. Memory is the caller's; a loop's thread only. */
#pragma once
#include "base/buf.h"
#include "net/stream.h"

struct bare {
    void (*on_change)(void *owner); /* after each of the events below; set before bare_dial */
    void *owner;
    struct stream *stream; /* NULL: not connected yet, or closed */
    struct buf got;
    bool has_ended; /* the server's orderly end, not a reset */
    bool is_closed;
};

/* To a server's address; context NULL: without TLS. Fails the test when it cannot connect. */
void bare_dial(struct bare *bare, struct loop *loop, struct str address,
               struct tls_context *context);
void bare_send(struct bare *bare, const char *text);
void bare_fini(struct bare *bare); /* when it is closed */

uint16_t port_of(struct str address); /* "127.0.0.1:80" */
