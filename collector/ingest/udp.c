/* udp.c - the Jaeger agent's UDP doors: one datagram is one body, and one record in the log (jaeger-idl: agent.thrift).
 *
 * Nothing is ever answered and nobody slows down, so nothing waits here: a datagram that finds no credit is counted and gone. Its
 * bytes are copied once, because the log needs them longer than the socket lends them. What is under way has a limit of its own,
 * or a burst that the log is slow to write would grow without one. Memory of datagrams is kept for the next ones, up to
 * SPARE_BYTES_MAX, and let go when the loop is idle. */
#include "ingest/private.h"
#include <assert.h>
#include "net/udp.h"

enum { UNDER_WAY_MAX = 4096, UNDER_WAY_BYTES_MAX = 16 << 20, SPARE_BYTES_MAX = 1 << 20, ROOM_STEP = 2048 };

struct udp_door {
    struct ingest_loop *loop;
    enum ingest_door door;
    enum ingest_protocol protocol;
    struct udp *udp;
    uint64_t kernel_dropped; /* counted so far */
    struct str peer;         /* of the datagram that is handled now */
};

struct datagram {
    struct take take;
    struct udp_door *door;
    struct list link;        /* datagrams.spare */
    size_t room;             /* bytes */
    char bytes[];
};

/* --- memory ----------------------------------------------------------------------------------------- */

static struct datagram *datagram_new(struct datagrams *all, size_t len)
{
    struct datagram *datagram = LIST_FIRST(&all->spare, struct datagram, link);

    if (datagram) {
        list_remove(&datagram->link);
        all->spare_bytes -= datagram->room;
    }
    if (!datagram || datagram->room < len) {
        size_t room = (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
        mem_free(datagram);
        datagram = mem_alloc(sizeof *datagram + room);
        *datagram = (struct datagram){ .room = room };
    }
    all->n++;
    all->bytes += datagram->room;
    return datagram;
}

static void datagram_free(struct datagrams *all, struct datagram *datagram)
{
    all->n--;
    all->bytes -= datagram->room;
    if (all->spare_bytes + datagram->room > SPARE_BYTES_MAX) {
        mem_free(datagram);
        return;
    }
    all->spare_bytes += datagram->room;
    list_add_first(&all->spare, &datagram->link);
}

void udp_doors_decay(struct ingest_loop *loop)
{
    struct datagram *datagram;

    while ((datagram = LIST_FIRST(&loop->datagrams.spare, struct datagram, link))) {
        list_remove(&datagram->link);
        mem_free(datagram);
    }
    loop->datagrams.spare_bytes = 0;
}

/* --- a datagram ------------------------------------------------------------------------------------- */

/* The sender hears nothing, so whoever runs this must. */
static void on_done(struct take *take, enum mg_err err, const struct mg_why *why)
{
    struct datagram *datagram = MG_CONTAINER(take, struct datagram, take);

    if (err == MG_E_FORMAT)
        LOG_EVERY(60, WARN, "datagram malformed", F_STR("peer", datagram->door->peer), F_U64("bytes", take->bytes.len), F_WHY(why));
    else if (err != MG_OK)
        LOG_EVERY(60, WARN, "datagram dropped", F_U64("bytes", take->bytes.len), F_WHY(why));
    datagram_free(&take->loop->datagrams, datagram);
}

static void on_datagram(void *owner, struct str bytes, struct str peer)
{
    struct udp_door *door = owner;
    struct ingest_loop *loop = door->loop;
    struct datagram *datagram = datagram_new(&loop->datagrams, bytes.len);

    memcpy(datagram->bytes, bytes.ptr, bytes.len);
    datagram->door = door;
    datagram->take = (struct take){ .loop = loop, .door = door->door, .protocol = door->protocol, .encoding = ZIP_IDENTITY,
                                    .bytes = str_n(datagram->bytes, bytes.len), .peer = talkers_peer(peer), .done = on_done };
    door->peer = peer;
    if (loop->datagrams.n > UNDER_WAY_MAX || loop->datagrams.bytes > UNDER_WAY_BYTES_MAX)
        take_refuse(&datagram->take, BUSY_BACKLOG);
    else if (!take_begin(&datagram->take))
        take_refuse(&datagram->take, BUSY_CREDIT);
    door->peer = STR("");
}

/* --- doors ------------------------------------------------------------------------------------------ */

static struct udp_door **door_of(struct ingest_loop *loop, enum ingest_door door)
{
    assert(door == INGEST_DOOR_JAEGER_COMPACT || door == INGEST_DOOR_JAEGER_BINARY);
    return &loop->udp[door - INGEST_DOOR_JAEGER_COMPACT];
}

enum mg_err ingest_udp_open(struct ingest_loop *loop, enum ingest_door door, const struct udp_options *where, struct mg_why *why)
{
    struct udp_door **place = door_of(loop, door), *self = MEM_NEW(struct udp_door);
    enum mg_err err;

    assert(!*place && !loop->is_closing);
    self->loop = loop;
    self->door = door;
    self->protocol = door == INGEST_DOOR_JAEGER_COMPACT ? INGEST_JAEGER_UDP_COMPACT : INGEST_JAEGER_UDP_BINARY;
    self->peer = STR("");
    if ((err = udp_open(&self->udp, loop->loop, where, on_datagram, self, why)) != MG_OK) {
        mem_free(self);
        return err;
    }
    *place = self;
    return MG_OK;
}

struct str ingest_udp_address(const struct ingest_loop *loop, enum ingest_door door)
{
    return udp_address((*door_of((struct ingest_loop *)loop, door))->udp); /* reads only */
}

void udp_doors_count(struct ingest_loop *loop)
{
    for (unsigned i = 0; i < MG_COUNT(loop->udp); i++) {
        struct udp_door *door = loop->udp[i];
        uint64_t dropped;
        if (!door || !door->udp)
            continue;
        dropped = udp_dropped(door->udp);
        metric_add(loop->ingest->metrics, INGEST_kernel_dropped, i, 0, dropped - door->kernel_dropped);
        door->kernel_dropped = dropped;
    }
}

/* Datagrams under way still name their door, so that its memory goes with the loop's. */
void udp_doors_close(struct ingest_loop *loop)
{
    udp_doors_count(loop);
    for (size_t i = 0; i < MG_COUNT(loop->udp); i++)
        if (loop->udp[i])
            udp_close(&loop->udp[i]->udp);
}

void udp_doors_free(struct ingest_loop *loop)
{
    udp_doors_close(loop);
    udp_doors_decay(loop);
    for (size_t i = 0; i < MG_COUNT(loop->udp); i++)
        mem_free(loop->udp[i]);
}
