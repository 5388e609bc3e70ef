#include "bare.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void on_data(void *owner, struct str bytes)
{
    struct bare *bare = owner;
    buf_put_str(&bare->got, bytes);
    bare->on_change(bare->owner);
}

static void on_end(void *owner)
{
    struct bare *bare = owner;
    bare->has_ended = true;
    stream_close(bare->stream);
}

static void on_drained(void *owner)
{
    (void)owner;
}

static void on_closed(void *owner, enum mg_err err)
{
    struct bare *bare = owner;
    (void)err;
    bare->is_closed = true;
    bare->stream = NULL;
    bare->on_change(bare->owner);
}

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    static const struct stream_events events = {on_data, on_end, on_drained, on_closed};
    struct bare *bare = owner;
    if (err)
        fail_msg("%s", why->text);
    bare->stream = stream;
    stream_own(stream, &events, bare);
    bare->on_change(bare->owner);
}

uint16_t port_of(struct str address)
{
    struct str host, port_text;
    uint64_t port;
    assert_true(str_split_at(address, ':', &host, &port_text));
    assert_int_equal(str_u64(port_text, &port), MG_OK);
    return (uint16_t)port;
}

void bare_dial(struct bare *bare, struct loop *loop, struct str address,
               struct tls_context *context)
{
    buf_init(&bare->got, 1 << 28);
    stream_connect(loop,
                   &(struct stream_target){.host = STR("127.0.0.1"),
                                           .port = port_of(address),
                                           .timeout_ms = 20000,
                                           .tls = context},
                   on_connected, bare);
}

void bare_send(struct bare *bare, const char *text)
{
    stream_write(bare->stream, text, strlen(text));
}

void bare_fini(struct bare *bare)
{
    buf_fini(&bare->got);
}
