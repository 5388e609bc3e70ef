/* admit.c - one HTTP or gRPC request from its head to its answer, on its loop: what the doors share.
 *
 * Two places to wait: at the head (the body stays in the socket, so the peer feels it) and with the body complete, when its
 * bound does not fit yet (wait.h). Both share the request's time, ingest.wait; so does its wait for memory while it is read. */
#include "ingest/private.h"

#define SECOND_NS UINT64_C(1000000000)

/* --- what came -------------------------------------------------------------------------------------- */

struct str media_type(struct str header) /* HTTP's media types ignore case: str_eq_nocase */
{
    struct str type, parameters;

    if (!str_split_at(header, ';', &type, &parameters))
        return str_trim(header);
    for (struct str one; str_cut(&parameters, ';', &one);) {
        struct str name, value;
        if (!str_split_at(one, '=', &name, &value) || str_trim(name).len == 0 || str_trim(value).len == 0)
            return STR("");
    }
    return str_trim(type);
}

/* --- life and answer -------------------------------------------------------------------------------- */

static void count_seconds(struct let_in *let_in, uint64_t now_ns)
{
    if (now_ns < let_in->second_ns || now_ns - let_in->second_ns < SECOND_NS)
        return;
    let_in->begun[1] = now_ns - let_in->second_ns < 2 * SECOND_NS ? let_in->begun[0] : 0;
    let_in->begun[0] = 0;
    let_in->second_ns = now_ns;
}

/* Bodies that were let in want their credit later. Slow ones do not count, or they would keep others out; and an eighth is the most, so that
 * the ring can be seen to fill (sample/ladder.h) before anybody waits. The other loops' are taken to be as many as here. */
bool is_short(struct ingest_loop *loop)
{
    const struct credit *credit = loop->ingest->options.credit;
    struct let_in *let_in = &loop->let_in;

    count_seconds(let_in, loop_now_ns(loop->loop));
    uint64_t coming = MG_MIN(let_in->unanswered, let_in->begun[0] + let_in->begun[1]) * (uint64_t)let_in->body_rows * loop->ingest->n_loops;
    return credit_free(credit) < (int64_t)(credit->budget / 16 + MG_MIN(coming, credit->budget / 8));
}

static void let_out(void *owner, struct http_request *request) /* its body never came whole */
{
    struct ingest_loop *loop = owner;

    (void)request;
    loop->let_in.unanswered--;
}

static void let_in(struct ingest_loop *loop, struct http_request *request)
{
    count_seconds(&loop->let_in, loop_now_ns(loop->loop));
    loop->let_in.begun[0]++;
    loop->let_in.unanswered++;
    http_request_on_gone(request, let_out, loop);
}

static void export_free(struct export *export)
{
    export->take.loop->let_in.unanswered -= export->has_body;
    buf_fini(&export->body);
    mem_free(export);
}

static void answer_failure(const struct export *export, enum mg_err err, struct str message)
{
    if (export->door->fail)
        export->door->fail(export, err, message);
    else
        http_respond_error(export->request, err, message, 0);
}

static void on_done(struct take *take, enum mg_err err, const struct mg_why *why)
{
    struct export *export = MG_CONTAINER(take, struct export, take);

    if (err == MG_OK)
        export->door->answer(export);
    else
        answer_failure(export, err, str_of(why->text));
    export_free(export);
}

static bool serve(struct waiter *waiter)
{
    struct export *export = MG_CONTAINER(waiter, struct export, waiter);
    struct ingest_loop *loop = export->take.loop;

    if (http_request_is_gone(export->request)) {
        take_count(&export->take, OUTCOME_GONE);
        answer_failure(export, MG_E_BUSY, STR("the peer has gone"));
        export_free(export);
        return true;
    }
    if (export->has_body)
        return take_try(&export->take);
    if (loop->may_release == 0 || is_behind(loop) || is_short(loop))
        return false;
    loop->may_release--;
    let_in(loop, export->request);
    http_request_release(export->request);
    export_free(export);
    return true;
}

static void give_up(struct waiter *waiter, enum ingest_busy reason)
{
    take_refuse(&MG_CONTAINER(waiter, struct export, waiter)->take, reason);
}

static struct export *export_new(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    struct export *export = MEM_NEW(struct export);
    uint64_t wait_ns = loop->wait_ns, waited_ns = http_request_waited_ns(request);

    export->door = door;
    export->request = request;
    export->take = (struct take){ .loop = loop, .door = door->door, .peer = talkers_peer(http_request_peer(request)),
                                  .may_wait = true, .done = on_done };
    export->waiter = (struct waiter){ .give_up_ns = loop_now_ns(loop->loop) + wait_ns - MG_MIN(wait_ns, waited_ns),
                                      .peer = export->take.peer, .serve = serve, .give_up = give_up };
    return export;
}

/* NULL: answered. */
static struct export *export_begin(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    struct export *export = export_new(loop, request, door);
    struct mg_why why = { "" };
    enum mg_err err = door->kind(request, &export->take.protocol, &export->take.encoding, &why);

    if (err == MG_OK)
        return export;
    take_end(&export->take, err, &why);
    return NULL;
}

bool admit_is_serving(void *owner)
{
    return !take_is_refused(owner, &(enum ingest_busy){ 0 });
}

/* --- handlers --------------------------------------------------------------------------------------- */

void admit_on_head(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct export *export;

    if (door->kind(request, &protocol, &encoding, NULL) == MG_OK && !is_behind(loop) && !is_short(loop)) {
        let_in(loop, request);
        return;
    }
    if (!(export = export_begin(loop, request, door)))
        return;
    http_request_hold(request);
    waiting_add(loop, &export->waiter);
}

void admit_on_request(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    struct export *export = export_begin(loop, request, door);
    size_t offset;

    http_request_on_gone(request, NULL, NULL);
    if (!export) {
        loop->let_in.unanswered--;
        return;
    }
    http_request_take_body(request, &export->body, &offset);
    export->has_body = true;
    export->take.bytes = str_n(export->body.ptr + offset, export->body.len - offset);
    if (door->takes_empty && export->take.bytes.len == 0)
        take_end(&export->take, MG_OK, NULL);
    else if (!take_begin(&export->take))
        waiting_add(loop, &export->waiter);
}
