/* transport.h - what a connection needs of the thing below it: a stream in the server, memory in
 * tests and fuzzers. Protocol code does no I/O; these calls are all that leaves it. `owner` is the
 * implementer's. */
#pragma once
#include "base/buf.h"
#include "conf/conf.h"

struct transport {
    void (*write)(void *owner, const void *bytes, size_t len);
    void (*write_buf)(void *owner, struct buf *buf); /* takes the memory */
    size_t (*queued)(const void *owner);             /* bytes not yet taken by the kernel */
    void (*pause)(void *owner);
    void (*resume)(void *owner);
    void (*read_most)(void *owner, size_t bytes); /* at a time, from the next read on; NULL: it has
                                                   * a size of its own */
    void (*shutdown)(void *owner); /* half close after what is queued */
    void (*close)(void *owner);    /* conn_on_closed follows, later */
    /* What TLS knows, from the first bytes on (net/tls.h); NULL: it is none. */
    struct str (*alpn)(const void *owner); /* empty: none was agreed on */
    bool (*has_certificate)(const void *owner);
    bool (*has_name)(const void *owner, const struct conf_list *allowed);
};
