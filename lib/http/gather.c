/* gather.c - one budget for the memory of all request bodies of the process, http.bodies_bytes_max.
 *
 * A body is charged with the memory it has, from its first byte until its answer is made, whoever
 * holds it meanwhile; what a peer declares costs nothing. The sum is one atomic number, because the
 * machine has one memory: it changes when a body's memory grows (by doubling, so seldom), and no
 * lock is taken. Bodies of other loops and doors are only seen through that number. Whoever waits
 * therefore looks again every POLL_MS; what its own loop gives back, it hears at once.
 *
 *     |<------------------------ bytes_max ------------------------->|
 *     | bodies, each up to half of what    | what HTTP/2's  | small  |  + one body
 *     | the others leave of these 3/4      | windows let in | bodies |  beside it
 *                                         3/4             15/16
 *
 * May a body grow to R bytes, when the others have O?
 *
 *     small (R <= max / 1024)    R <= (max - O) / 2
 *     else                       R <= (max * 3/4 - O) / 2
 *
 * The half is what keeps few from taking all: of n greedy bodies each gets 1/(n+1), and as much is
 * free for the next one, whoever sends it. (Shared packet buffers are divided by the same rule.)
 * One share for each peer would need a table of peers, and fail behind a proxy.
 *
 * Bodies could wait for each other for ever, each with a part of the memory that another needs. So
 * the first who has to wait may go on *beside* the budget: its memory is not counted, and of those
 * there is one in the process. That also lets a body in that is larger than the budget.
 *
 * Nobody keeps others waiting: a wait ends after WAIT_NS with 503, also of one who finds others
 * quicker each time there is room; and while somebody waits, a body that is read must bring
 * PACE_BYTES and 1/PACE_PART of itself in every PACE_NS (the more memory, the quicker), and the one
 * beside must be whole within body_timeout.
 *
 * On HTTP/2 the windows let bytes in after a body has to wait, or while its handler holds it. One
 * that grows so although it may not is *overgrown*. When the sum is above 15/16 then, the largest
 * of these is refused at once; nobody else is, since all others together have room. */
#include <stdatomic.h>
#include "http/conn.h"

/* Parts of the budget. */
#define SMALL_PART   1024         /* a small body */
#define WINDOWS_PART 4            /* not for those who may be told to wait */
#define RESERVE_PART 16           /* for small ones only */
#define POLL_MS      20
#define WAIT_NS      5000000000ull /* under the 10 s that SDKs wait for an answer */
#define PACE_NS      3000000000ull /* shorter than WAIT_NS: what it gives back still helps a waiter */
#define PACE_BYTES   3072u
#define PACE_PART    256u /* 64 MiB must come with 85 KiB/s */

/* Of the process. */
static struct {
    _Atomic uint64_t bytes;                /* of all bodies, without the one beside */
    _Atomic uint64_t n_waiting;            /* requests */
    _Atomic(struct http_request *) beside; /* followed by its own loop only; NULL: none */
} all;

uint64_t gather_bytes_of_all(void)
{
    return atomic_load_explicit(&all.bytes, memory_order_relaxed);
}

static bool somebody_waits(void)
{
    return atomic_load_explicit(&all.n_waiting, memory_order_relaxed) > 0;
}

static void charge(struct http_request *request, uint64_t more)
{
    request->server->gather.bytes += more;
    if (!request->is_beside)
        atomic_fetch_add_explicit(&all.bytes, more, memory_order_relaxed);
}

static void discharge(struct http_request *request)
{
    request->server->gather.bytes -= request->gathered_bytes;
    if (!request->is_beside) {
        atomic_fetch_sub_explicit(&all.bytes, request->gathered_bytes, memory_order_relaxed);
    } else {
        request->is_beside = false;
        request->server->gather.beside = NULL;
        atomic_store(&all.beside, NULL);
    }
    request->gathered_bytes = 0;
}

/* --- who may grow --- */
static bool is_small(const struct gather *gather, uint64_t room)
{
    return room <= gather->bytes_max / SMALL_PART;
}

static uint64_t all_but(const struct gather *gather, unsigned part)
{
    return gather->bytes_max - gather->bytes_max / part;
}

static bool fits(const struct gather *gather, uint64_t others, uint64_t room)
{
    uint64_t max = is_small(gather, room) ? gather->bytes_max : all_but(gather, WINDOWS_PART);
    return others <= max && room <= (max - others) / 2;
}

/* What the next read may make of its memory. */
static uint64_t next_room(const struct http_request *request)
{
    const struct buf *body = &request->body;
    if (request->is_duplex && body->len == 0)
        return 0; /* a message that comes whole is not gathered */
    uint64_t more = MG_MIN((uint64_t)READ_BYTES, (uint64_t)(body->limit - body->len));
    uint64_t rest = request->declared - MG_MIN(request->declared, request->received);
    return pool_room(body, (size_t)MG_MIN(more, rest), http_request_length_hint(request));
}

static bool may_grow(const struct http_request *request, uint64_t room, uint64_t promised)
{
    uint64_t own = request->is_beside ? 0 : request->gathered_bytes;
    return request->is_beside || room <= request->gathered_bytes ||
           fits(&request->server->gather, gather_bytes_of_all() - own + promised, room);
}

bool gather_may_read(const struct http_request *request)
{
    return may_grow(request, next_room(request), 0);
}

bool gather_is_favoured(const struct conn *conn)
{
    const struct http_request *beside = conn->server->gather.beside;
    return beside && beside->conn == conn;
}

/* --- waiting --- */
static void enter(struct http_request *request)
{
    struct list *waiting = &request->server->gather.waiting, *next = waiting;
    while (next->prev != waiting &&
           MG_CONTAINER(next->prev, struct http_request, wait_link)->wait_ns > request->wait_ns)
        next = next->prev;
    list_add_last(next, &request->wait_link); /* before it */
    request_pause(request);
    atomic_fetch_add_explicit(&all.n_waiting, 1, memory_order_relaxed);
}

static void leave(struct http_request *request)
{
    if (!list_linked(&request->wait_link))
        return;
    list_remove(&request->wait_link);
    request_resume(request);
    atomic_fetch_sub_explicit(&all.n_waiting, 1, memory_order_relaxed);
}

static void go_on(struct http_request *request)
{
    leave(request);
    request_send_continue(request);
    request_protocol(request)->unheld(request);
}

static bool step_aside(struct http_request *request)
{
    struct http_request *nobody = NULL;
    struct gather *gather = &request->server->gather;
    if (!atomic_compare_exchange_strong(&all.beside, &nobody, request))
        return false;
    atomic_fetch_sub_explicit(&all.bytes, request->gathered_bytes, memory_order_relaxed);
    list_remove(&request->overgrown_link);
    request->is_beside = true;
    gather->beside = request;
    gather->beside_ns = server_now(request->server);
    return true;
}

/* Those who fit, the first come first; what one was told it may have is not promised twice. */
static void wake_fitting(struct gather *gather)
{
    uint64_t promised = 0;
    for (struct list *link = gather->waiting.next, *next; link != &gather->waiting; link = next) {
        struct http_request *request = MG_CONTAINER(link, struct http_request, wait_link);
        uint64_t room = next_room(request);
        next = link->next;
        if (!may_grow(request, room, promised))
            continue;
        promised += room > request->gathered_bytes ? room - request->gathered_bytes : 0;
        go_on(request);
    }
}

static void serve(struct gather *gather)
{
    struct http_request *first;
    if (gather->is_serving || list_empty(&gather->waiting))
        return;
    gather->is_serving = true; /* who is told to go on may find that others were quicker */
    do {
        wake_fitting(gather);
        first = LIST_FIRST(&gather->waiting, struct http_request, wait_link);
        if (first && !step_aside(first))
            first = NULL;
        if (first)
            go_on(first);
    } while (first); /* it left its memory to the others */
    gather->is_serving = false;
}

/* --- refusals --- */
static void refuse(struct http_request *request, const char *reason, const char *message)
{
    leave(request); /* the loops below end, whatever comes of the refusal */
    list_remove(&request->overgrown_link);
    request_refuse(request, MG_E_BUSY, reason, message);
}

static struct http_request *largest_overgrown(const struct gather *gather)
{
    struct http_request *largest =
        LIST_FIRST(&gather->overgrown, struct http_request, overgrown_link);
    LIST_EACH(&gather->overgrown, link)
    {
        struct http_request *request = MG_CONTAINER(link, struct http_request, overgrown_link);
        if (request->gathered_bytes > largest->gathered_bytes)
            largest = request;
    }
    return largest;
}

void gather_press(struct http_request *request)
{
    struct gather *gather = &request->server->gather;
    uint64_t bytes;
    while (list_linked(&request->overgrown_link) &&
           (bytes = gather_bytes_of_all()) > all_but(gather, RESERVE_PART)) {
        struct http_request *largest = largest_overgrown(gather);
        if (bytes <= gather->bytes_max && is_small(gather, largest->gathered_bytes))
            return; /* waits, as on HTTP/1 */
        refuse(largest, "memory", "no memory for more of this body at the moment; try again");
    }
}

static void end_waits(struct gather *gather, uint64_t now_ns)
{
    struct http_request *first;
    while ((first = LIST_FIRST(&gather->waiting, struct http_request, wait_link)) != NULL &&
           now_ns > first->wait_ns && now_ns - first->wait_ns >= WAIT_NS)
        refuse(first, "memory", "no memory for this body at the moment; try again");
}

static void end_long_stay(struct http_server *server, uint64_t now_ns)
{
    struct gather *gather = &server->gather;
    struct http_request *beside = gather->beside;
    if (!beside || beside->has_body || !somebody_waits())
        gather->beside_ns = now_ns;
    else if (now_ns > gather->beside_ns &&
             now_ns - gather->beside_ns >= server->conf.body_timeout_ns)
        refuse(beside, "stalled", "the body took too long while others waited; try again");
}

void gather_tick(struct http_server *server, uint64_t now_ns)
{
    end_waits(&server->gather, now_ns); /* first: who always finds others quicker ends as well */
    serve(&server->gather);
    end_long_stay(server, now_ns);
}

/* Streams that are held or wait keep the connection's window from the others: nghttp2 opens it
 * again only when half of it was given back. */
static bool is_window_shut(const struct conn *conn)
{
    return conn->unconsumed > conn->server->conf.connection_window / 2;
}

void gather_pace(struct http_request *request, uint64_t now_ns)
{
    bool is_measured = (request->gathered_bytes || request->is_beside) && !request->has_body &&
                       !request->is_held && !list_linked(&request->wait_link) &&
                       !is_window_shut(request->conn) && somebody_waits();
    if (is_measured && request->pace_ns) {
        uint64_t want = MG_MAX((uint64_t)PACE_BYTES, request->body.len / PACE_PART);
        if (now_ns < request->pace_ns || now_ns - request->pace_ns < PACE_NS)
            return;
        if (request->received - request->pace_received < want) {
            refuse(request, "stalled", "the body came too slowly while others waited; try again");
            return;
        }
    }
    request->pace_ns = is_measured ? now_ns : 0;
    request->pace_received = request->received;
}

/* --- life --- */
static void on_poll(void *owner)
{
    struct http_server *server = owner;
    gather_tick(server, server_now(server));
    if (!list_empty(&server->gather.waiting))
        timer_start(server->gather.poll, POLL_MS);
}

void gather_init(struct http_server *server)
{
    uint64_t max = server->conf.bodies_bytes_max;
    struct gather *gather = &server->gather;
    *gather = (struct gather){.bytes_max = max ? max : UINT64_MAX};
    list_init(&gather->overgrown);
    list_init(&gather->waiting);
    gather->poll = timer_new(server->loop, on_poll, server);
}

void gather_fini(struct http_server *server)
{
    timer_free(&server->gather.poll);
}

void gather_wait(struct http_request *request)
{
    struct http_server *server = request->server;
    struct gather *gather = &server->gather;
    if (list_linked(&request->wait_link))
        return;
    bool is_first = list_empty(&gather->waiting);
    bool is_new = !request->wait_ns || request->received != request->wait_received;
    if (is_new) { /* else others were quicker when it was told to go on: its wait goes on */
        request->wait_ns = server_now(server);
        request->wait_received = request->received;
    }
    enter(request);
    serve(gather);
    if (!list_linked(&request->wait_link))
        return;
    if (is_new)
        http_count_body_wait(server);
    if (is_first)
        timer_start(gather->poll, POLL_MS);
}

void gather_count(struct http_request *request)
{
    uint64_t room = request->body.room;
    if (room == request->gathered_bytes)
        return;
    bool is_overgrown = request->is_http2 && !may_grow(request, room, 0);
    charge(request, room - request->gathered_bytes);
    request->gathered_bytes = room;
    list_remove(&request->overgrown_link);
    if (is_overgrown)
        list_add_last(&request->server->gather.overgrown, &request->overgrown_link);
}

void gather_whole(struct http_request *request)
{
    list_remove(&request->overgrown_link);
    if (list_linked(&request->wait_link))
        go_on(request);
}

void gather_taken(struct http_request *request)
{
    list_remove(&request->overgrown_link);
    discharge(request);
    serve(&request->server->gather); /* it may be among them */
}

void gather_drop(struct http_request *request)
{
    bool had = request->gathered_bytes || request->is_beside;
    list_remove(&request->overgrown_link);
    leave(request);
    discharge(request);
    if (had)
        serve(&request->server->gather);
}
