/* transport.h - what a connection needs of the thing below it: a stream in the server, memory in
 * tests and fuzzers. Protocol code does no I/O; these calls are all that leaves it. `owner` is the
 * implementer's. */
#pragma once
#include "base/buf.h"

struct transport {
    void (*write)(void *owner, const void *bytes, size_t len);
    void (*write_buf)(void *owner, struct buf *buf); /* takes the memory */
    size_t (*queued)(const void *owner);             /* bytes not yet taken by the kernel */
    void (*pause)(void *owner);
    void (*resume)(void *owner);
    void (*shutdown)(void *owner); /* half close after what is queued */
    void (*close)(void *owner);    /* conn_on_closed follows, later */
};
