/* admit.c - one HTTP or gRPC request from its head to its answer, on its loop: what the doors share.
 *
 * Two places to wait: at the head (the body stays in the socket, so the peer feels it) and with the body complete, when its
 * bound does not fit yet (wait.h). */
#include "ingest/private.h"

static bool is_short(const struct ingest_loop *loop)
{
    const struct credit *credit = loop->ingest->options.credit;

    return credit_free(credit) < (int64_t)(credit->budget / 16);
}

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

static void export_free(struct export *export)
{
    buf_fini(&export->body);
    mem_free(export);
}

static void answer_failure(const struct export *export, enum mg_err err, struct str message)
{
    if (export->door->fail)
        export->door->fail(export, err, message);
    else
        http_respond_error(export->request, err, message, export->retry_after_s);
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

    if (http_request_is_gone(export->request)) {
        take_count(&export->take, OUTCOME_GONE);
        answer_failure(export, MG_E_BUSY, STR("the peer has gone"));
        export_free(export);
        return true;
    }
    if (export->has_body)
        return take_try(&export->take);
    if (is_short(export->take.loop))
        return false;
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
    struct str peer = http_request_peer(request);

    export->door = door;
    export->request = request;
    export->retry_after_s = talkers_retry_s(peer);
    export->take = (struct take){ .loop = loop, .door = door->door, .peer = talkers_peer(peer), .done = on_done };
    export->waiter = (struct waiter){ .give_up_ns = loop_now_ns(loop->loop) + loop->ingest->conf->wait_ns,
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

/* --- handlers --------------------------------------------------------------------------------------- */

void admit_on_head(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct export *export;

    if (door->kind(request, &protocol, &encoding, NULL) == MG_OK && !is_short(loop))
        return;
    if (!(export = export_begin(loop, request, door)))
        return;
    http_request_hold(request);
    waiting_add(loop, &export->waiter);
}

void admit_on_request(struct ingest_loop *loop, struct http_request *request, const struct body_door *door)
{
    struct export *export = export_begin(loop, request, door);
    size_t offset;

    if (!export)
        return;
    http_request_take_body(request, &export->body, &offset);
    export->has_body = true;
    export->take.bytes = str_n(export->body.ptr + offset, export->body.len - offset);
    if (door->takes_empty && export->take.bytes.len == 0)
        take_end(&export->take, MG_OK, NULL);
    else if (!take_begin(&export->take))
        waiting_add(loop, &export->waiter);
}
