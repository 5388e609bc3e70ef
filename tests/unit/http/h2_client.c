#include "h2_client.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/bytes.h"

struct seen *seen_of(struct client *client, int32_t id)
{
    assert_true(id >= 0 && id < STREAMS_MAX);
    return &client->streams[id];
}

static void copy(char *out, size_t room, const uint8_t *value, size_t len)
{
    snprintf(out, room, "%.*s", (int)len, value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t len, uint8_t flags,
                     void *user_data)
{
    (void)session, (void)flags;
    struct seen *seen = seen_of(user_data, frame->hd.stream_id);
    struct str key = str_n(name, name_len);
    struct {
        struct str name;
        char *out;
        size_t room;
    } fields[] = {
        {STR(":status"), seen->status, sizeof seen->status},
        {STR("grpc-status"), seen->grpc_status, sizeof seen->grpc_status},
        {STR("grpc-message"), seen->grpc_message, sizeof seen->grpc_message},
        {STR("google.rpc.retryinfo-bin"), seen->retry_info, sizeof seen->retry_info},
        {STR("grpc-status-details-bin"), seen->details, sizeof seen->details},
        {STR("content-type"), seen->type, sizeof seen->type},
        {STR("grpc-accept-encoding"), seen->accept, sizeof seen->accept},
        {STR("allow"), seen->allow, sizeof seen->allow},
        {STR("content-length"), seen->length, sizeof seen->length},
        {STR("content-encoding"), seen->encoding, sizeof seen->encoding},
        {STR("etag"), seen->etag, sizeof seen->etag},
        {STR("vary"), seen->vary, sizeof seen->vary},
    };
    for (size_t i = 0; i < MG_COUNT(fields); i++) {
        if (str_eq(key, fields[i].name))
            copy(fields[i].out, fields[i].room, value, len);
    }
    if (str_eq(key, STR(":status")) && strcmp(seen->status, "100") == 0)
        seen->n_continue++;
    if (str_eq(key, STR("grpc-status")) && frame->headers.cat == NGHTTP2_HCAT_HEADERS)
        seen->has_trailers = true;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user_data)
{
    (void)session, (void)flags;
    buf_put(&seen_of(user_data, id)->body, data, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user_data)
{
    (void)session;
    seen_of(user_data, id)->is_closed = true;
    seen_of(user_data, id)->error = error;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    struct client *client = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->last_stream[client->n_goaway++ % 4] = frame->goaway.last_stream_id;
        client->goaway_error = frame->goaway.error_code;
    }
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)session, (void)id, (void)source;
    struct client *client = user_data;
    size_t n = MG_MIN(room, client->send.len);
    if (n == 0 && client->is_open_ended)
        return NGHTTP2_ERR_DEFERRED;
    if (n)
        memcpy(out, client->send.ptr, n);
    client->send = str_n(client->send.ptr + n, client->send.len - n);
    if (client->send.len == 0 && !client->is_open_ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

void client_init(struct client *client, struct wire *wire, uint32_t window)
{
    *client = (struct client){.wire = wire};
    for (size_t i = 0; i < STREAMS_MAX; i++)
        buf_init(&client->streams[i].body, 1 << 26);
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_client_new(&client->session, callbacks, client), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    assert_int_equal(nghttp2_submit_settings(client->session, 0, &entry, 1), 0);
}

void client_fini(struct client *client)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        buf_fini(&client->streams[i].body);
    nghttp2_session_del(client->session);
}

void run(struct client *client)
{
    for (bool moved = true; moved;) {
        moved = false;
        const uint8_t *bytes;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(client->session, &bytes)) > 0) {
            (client->is_slow ? wire_send_slowly : wire_send)(client->wire, bytes, (size_t)n);
            moved = true;
        }
        wire_send(client->wire, "", 0);
        size_t len = client->wire->out.len - client->read;
        if (len && !client->is_deaf) {
            n = nghttp2_session_mem_recv(
                client->session, (const uint8_t *)client->wire->out.ptr + client->read, len);
            assert_int_equal(n, len);
            client->read += len;
            moved = true;
        }
    }
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0};
}

int32_t submit(struct client *client, const struct ask *ask)
{
    nghttp2_nv fields[12];
    size_t n = 0;
    fields[n++] = nv(":method", ask->method);
    fields[n++] = nv(":scheme", "http");
    fields[n++] = nv(":path", ask->path);
    fields[n++] = nv(":authority", "a");
    if (ask->type)
        fields[n++] = nv("content-type", ask->type);
    if (ask->encoding)
        fields[n++] = nv("grpc-encoding", ask->encoding);
    if (ask->timeout)
        fields[n++] = nv("grpc-timeout", ask->timeout);
    if (ask->extra_name)
        fields[n++] = nv(ask->extra_name, ask->extra_value);
    nghttp2_data_provider provider = {.read_callback = on_read};
    client->send = ask->body;
    client->is_open_ended = ask->is_open_ended;
    int32_t id = nghttp2_submit_request(client->session, NULL, fields, n,
                                        ask->has_body ? &provider : NULL, NULL);
    assert_true(id > 0);
    return id;
}

struct seen *call(struct client *client, const struct ask *ask)
{
    int32_t id = submit(client, ask);
    run(client);
    return seen_of(client, id);
}

void client_more(struct client *client, int32_t id, struct str bytes, bool is_last)
{
    client->send = bytes;
    client->is_open_ended = !is_last;
    assert_int_equal(nghttp2_session_resume_data(client->session, id), 0);
    run(client);
}

void client_outlast(struct client *client)
{
    wire_advance(client->wire, LINGER_NS / 1000000);
    run(client);
}

const char *messages_of(const struct seen *seen)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (size_t at = 0; at < seen->body.len;) {
        const char *prefix = seen->body.ptr + at;
        if (seen->body.len - at < 5 || prefix[0] != 0 ||
            seen->body.len - at - 5 < get_be32(prefix + 1))
            return "broken";
        size_t len = get_be32(prefix + 1);
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s|", (int)len, prefix + 5);
        at += 5 + len;
    }
    return text;
}
