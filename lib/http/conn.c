/* conn.c - one connection, whatever it speaks.
 *
 * The first bytes decide: HTTP/2 starts with a fixed text of 24 bytes, and no HTTP/1 request does.
 * Bytes that match are only counted, not kept, because the text is known: the preface may come cut
 * anywhere. Over TLS the same, and what ALPN agreed on must not contradict: a peer that speaks
 * something else than it agreed on is told so, in the words of what it speaks.
 *
 * The end of a connection lingers: closing a socket with unread bytes makes the kernel send a
 * reset, which can overtake the last answer. So it is half closed, read until the peer closes or
 * LINGER_NS passed, and closed then. */
#include "http/conn.h"
#include <assert.h>
#include <stdio.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_BYTES (sizeof preface - 1)

struct conn *conn_new(struct http_server *server, const struct transport *io, void *io_owner,
                      struct str peer)
{
    struct conn *conn = MEM_NEW(struct conn);
    conn->server = server;
    conn->io = io;
    conn->io_owner = io_owner;
    conn_read_most(conn, HEAD_READ_BYTES);
    list_init(&conn->requests);
    list_init(&conn->detached);
    conn->wait_ns = conn->sent_ns = server_now(server);
    snprintf(conn->peer, sizeof conn->peer, "%.*s", STR_ARG(peer));
    list_add_last(&server->conns, &conn->link);
    server->n_conns++;
    http_count_conn(server, 1);
    return conn;
}

/* Whoever still works on a request hears that nobody waits for it. */
static void end_requests(struct conn *conn)
{
    while (!list_empty(&conn->requests))
        request_gone(LIST_FIRST(&conn->requests, struct http_request, link));
}

static void free_conn(struct conn *conn)
{
    while (!list_empty(&conn->detached)) {
        struct http_request *request = LIST_FIRST(&conn->detached, struct http_request, link);
        list_remove(&request->link);
        request->conn = NULL;
        list_add_last(&conn->server->orphans, &request->link);
    }
    h1_free(&conn->h1);
    h2_free(&conn->h2);
    list_remove(&conn->dirty_link);
    list_remove(&conn->link);
    mem_free(conn);
}

void conn_on_closed(struct conn *conn)
{
    struct http_server *server = conn->server;
    conn->phase = CONN_CLOSED;
    end_requests(conn);
    free_conn(conn);
    http_count_conn(server, -1);
    server_conn_gone(server);
}

void conn_close(struct conn *conn)
{
    if (conn->phase == CONN_CLOSED)
        return;
    conn->phase = CONN_CLOSED;
    conn->io->close(conn->io_owner);
    end_requests(conn);
}

void conn_finish(struct conn *conn)
{
    if (conn->phase == CONN_CLOSED || conn->phase == CONN_LINGER)
        return;
    conn->phase = CONN_LINGER;
    end_requests(conn);
    if (conn->has_ended && conn_queued(conn) == 0) {
        conn_close(conn);
        return;
    }
    conn->wait_ns = conn->sent_ns = server_now(conn->server);
    conn->io->shutdown(conn->io_owner);
    conn_set_reading(conn, true);
}

void conn_set_reading(struct conn *conn, bool wanted)
{
    if (wanted == !conn->is_paused)
        return;
    conn->is_paused = !wanted;
    if (wanted)
        conn->io->resume(conn->io_owner);
    else
        conn->io->pause(conn->io_owner);
}

void conn_read_most(struct conn *conn, size_t bytes)
{
    if (conn->io->read_most)
        conn->io->read_most(conn->io_owner, bytes);
}

void conn_write(struct conn *conn, const void *bytes, size_t len)
{
    conn->sent_ns = server_now(conn->server);
    http_count_bytes(conn->server, 0, len);
    conn->io->write(conn->io_owner, bytes, len);
}

void conn_write_buf(struct conn *conn, struct buf *buf)
{
    conn->sent_ns = server_now(conn->server);
    http_count_bytes(conn->server, 0, buf->len);
    conn->io->write_buf(conn->io_owner, buf);
}

void conn_touch(struct conn *conn)
{
    if (conn->phase == CONN_CLOSED || list_linked(&conn->dirty_link))
        return;
    list_add_last(&conn->server->dirty, &conn->dirty_link);
    loop_defer(conn->server->loop, &conn->server->flush);
}

/* --- bytes arrive --- */
static struct str agreed_protocol(const struct conn *conn)
{
    return conn->io->alpn ? conn->io->alpn(conn->io_owner) : STR("");
}

static void begin_h2(struct conn *conn)
{
    struct str agreed = agreed_protocol(conn);
    conn->phase = CONN_H2;
    conn_read_most(conn, READ_BYTES);
    if (!h2_start(conn))
        conn_close(conn);
    else if (agreed.len && !str_eq(agreed, STR("h2")))
        h2_refuse(conn, "TLS agreed on another protocol by ALPN, and this is HTTP/2");
}

static void begin_h1(struct conn *conn)
{
    conn->phase = CONN_H1;
    h1_start(conn);
    if (str_eq(agreed_protocol(conn), STR("h2")))
        h1_refuse(conn, "TLS agreed on h2 by ALPN, and this is not HTTP/2");
}

static void sniff(struct conn *conn, struct str bytes)
{
    size_t i = 0;
    while (conn->n_sniffed < PREFACE_BYTES && i < bytes.len &&
           bytes.ptr[i] == preface[conn->n_sniffed]) {
        conn->n_sniffed++;
        i++;
    }
    struct str matched = str_n(preface, conn->n_sniffed);
    struct str rest = str_n(bytes.ptr + i, bytes.len - i);
    if (conn->n_sniffed == PREFACE_BYTES) {
        begin_h2(conn);
        if (conn->phase == CONN_H2)
            h2_on_data(conn, matched);
        if (rest.len && conn->phase == CONN_H2)
            h2_on_data(conn, rest);
    } else if (rest.len) {
        begin_h1(conn);
        if (matched.len)
            h1_on_data(conn, matched);
        if (conn->phase == CONN_H1)
            h1_on_data(conn, rest);
    }
}

void conn_on_data(struct conn *conn, struct str bytes)
{
    static void (*const readers[CONN_PHASES])(struct conn *, struct str) = {
        [CONN_SNIFF] = sniff,
        [CONN_H1] = h1_on_data,
        [CONN_H2] = h2_on_data,
    };
    http_count_bytes(conn->server, bytes.len, 0);
    if (bytes.len && readers[conn->phase])
        readers[conn->phase](conn, bytes);
}

static bool needs_peer(const struct http_request *request)
{
    return !request->is_answered || (request->is_duplex && !request->is_out_ended);
}

/* The peer sends no more. Whether it still reads cannot be told from a closed socket until a write
 * fails, and a query would run for nobody until then. RFC 9112 9.6 lets a client half close and
 * read on; nginx, Envoy and Go's server take its FIN for the end all the same, so no client relies
 * on it, and here it is the same. An answer that was begun goes on: its next writes will tell. Not
 * so a call in both directions, whose handler may wait for the peer for ever. */
static void give_up_unanswered(struct conn *conn)
{
    const struct protocol *protocol = conn->phase == CONN_H2 ? &h2_protocol : &h1_protocol;
    struct http_request *found;
    do { /* on_gone may end any request of the list, so the search starts again after each */
        found = NULL;
        LIST_EACH(&conn->requests, link)
        {
            struct http_request *request = MG_CONTAINER(link, struct http_request, link);
            if (!found && needs_peer(request))
                found = request;
        }
        if (found) {
            protocol->abandon(found);
            request_gone(found);
        }
    } while (found);
}

void conn_on_end(struct conn *conn)
{
    conn->has_ended = true;
    if (conn->phase == CONN_H1 || conn->phase == CONN_H2)
        give_up_unanswered(conn);
    if (conn->phase == CONN_H1)
        h1_on_end(conn);
    else if (conn->phase == CONN_H2)
        h2_on_end(conn);
    else if (conn->phase == CONN_SNIFF || conn_queued(conn) == 0)
        conn_close(conn);
}

void conn_on_drained(struct conn *conn)
{
    conn->sent_ns = server_now(conn->server);
    if (conn->phase == CONN_LINGER && conn->has_ended)
        conn_close(conn);
    else
        conn_touch(conn);
}

void conn_flush(struct conn *conn)
{
    if (conn->phase == CONN_H1)
        h1_flush(conn);
    else if (conn->phase == CONN_H2)
        h2_flush(conn);
}

/* --- time --- */
/* Output that the peer does not take keeps memory; after body_timeout without progress it is given
 * up. */
static bool is_stalled(struct conn *conn, uint64_t now_ns)
{
    size_t queued = conn_queued(conn);
    if (queued == 0 || queued != conn->last_queued) {
        conn->last_queued = queued;
        conn->sent_ns = now_ns;
        return false;
    }
    return now_ns - conn->sent_ns >= conn->server->conf.body_timeout_ns;
}

void conn_tick(struct conn *conn, uint64_t now_ns)
{
    if (conn->phase != CONN_CLOSED && is_stalled(conn, now_ns)) {
        conn_close(conn);
        return;
    }
    uint64_t waited = now_ns > conn->wait_ns ? now_ns - conn->wait_ns : 0;
    if (conn->phase == CONN_H1)
        h1_tick(conn, now_ns);
    else if (conn->phase == CONN_H2)
        h2_tick(conn, now_ns);
    else if (conn->phase == CONN_SNIFF && waited >= conn->server->conf.header_timeout_ns)
        conn_close(conn);
    else if (conn->phase == CONN_LINGER && waited >= LINGER_NS && conn_queued(conn) == 0)
        conn_close(conn);
}

void conn_drain(struct conn *conn)
{
    conn->is_draining = true;
    if (conn->phase == CONN_SNIFF)
        conn_close(conn);
    else if (conn->phase == CONN_H1)
        h1_drain(conn);
    else if (conn->phase == CONN_H2)
        h2_drain(conn);
}
