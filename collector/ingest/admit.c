/* admit.c - one export request from its head to its answer, on its loop.
 *
 * Two places to wait, one list: at the head (the body stays in the socket, so the peer feels it) and with the body
 * complete, when its bound does not fit yet. A timer looks at the list every 20 ms while anything waits: credit
 * comes back in bursts after commits, so waking each waiter by itself would buy nothing. */
#include "ingest/private.h"
#include "base/clock.h"

enum { POLL_MS = 20, IDLE_MS = 2000, RETRY_AFTER_S = 2, MEASURE_BYTES = 8 << 20 };
#define MS_NS UINT64_C(1000000)

static void count(struct export *export, enum ingest_outcome outcome)
{
    metric_add(export->loop->ingest->metrics, INGEST_requests, export->door, outcome, 1);
}

static enum ingest_outcome outcome_of(enum mg_err err)
{
    switch (err) {
    case MG_E_TOO_BIG:
        return OUTCOME_TOO_BIG;
    case MG_E_MEDIA:
        return OUTCOME_MEDIA;
    case MG_E_ENCODING:
        return OUTCOME_ENCODING;
    case MG_E_BUSY:
        return OUTCOME_BUSY;
    case MG_E_FORMAT:
        return OUTCOME_MALFORMED;
    default:
        return OUTCOME_FAILED;
    }
}

static struct export *export_new(struct ingest_loop *loop, struct http_request *request, enum ingest_door door)
{
    struct export *export = MEM_NEW(struct export);

    export->loop = loop;
    export->request = request;
    export->door = door;
    export->begun_ns = loop_now_ns(loop->loop);
    export->give_up_ns = export->begun_ns + loop->ingest->conf->wait_ns;
    return export;
}

static void export_free(struct export *export)
{
    if (export->waits) {
        list_remove(&export->link);
        export->loop->ingest->waiting--;
    }
    buf_fini(&export->body);
    buf_fini(&export->head);
    mem_free(export);
}

static void fail(struct export *export, enum mg_err err, const char *message)
{
    count(export, http_request_is_gone(export->request) ? OUTCOME_GONE : outcome_of(err));
    http_respond_error(export->request, err, str_of(message), mg_err_may_retry(err) ? RETRY_AFTER_S : 0);
    export_free(export);
}

static void wait_for_credit(struct export *export)
{
    struct ingest_loop *loop = export->loop;

    if (export->waits)
        return;
    export->waits = true;
    loop->ingest->waiting++;
    metric_add(loop->ingest->metrics, INGEST_waits, 0, 0, 1);
    if (list_empty(&loop->waiting))
        timer_start(loop->timer, POLL_MS);
    list_add_last(&loop->waiting, &export->link);
}

static bool is_short(const struct ingest_loop *loop)
{
    const struct credit *credit = loop->ingest->options.credit;

    return credit_free(credit) < (int64_t)(credit->budget / 16);
}

/* --- the body --------------------------------------------------------------------------------------- */

static struct str body_of(const struct export *export)
{
    return str_n(export->body.ptr + export->body_offset, export->body.len - export->body_offset);
}

static void on_ack(struct live_batch *batch) /* live or journal thread */
{
    struct export *export = MG_CONTAINER(batch, struct export, batch);

    mailbox_post(export->loop->acks, &export->message);
}

static void submit(struct export *export)
{
    struct live_batch *batch = &export->batch;

    buf_init(&export->head, SIZE_MAX / 2); /* a few bytes for each run of spans in the body */
    refused_head_write(&export->head, rows_refused(export->loop->maker));
    batch->reserved = export->reserved;
    batch->refused = export->refused.n;
    batch->ack = on_ack;
    batch->record = (struct journal_record){
        .kind = JOURNAL_BODY, .encoding = (uint8_t)export->encoding, .protocol = (uint8_t)export->protocol,
        .wall_ns = clock_wall_ns(), .head = buf_str(&export->head), .body = body_of(export) };
    export->loop->in_log++;
    live_submit(export->loop->ingest->options.live, batch);
}

/* The rows are there, so their true size is known: the guess is exchanged for it before anybody else asks. */
static void settle(struct export *export)
{
    size_t used = export->batch.rows->bytes + export->batch.rows->epoch_growth;

    credit_give(export->loop->ingest->options.credit, (int64_t)export->reserved - (int64_t)used);
    export->reserved = used;
}

/* With its credit in hand: rows, then the log. A request without any span is answered at once. */
static void process(struct export *export)
{
    struct ingest_loop *loop = export->loop;
    struct ingest *ingest = loop->ingest;
    struct rows_result result;
    struct mg_why why = { "" };
    enum mg_err err = rows_make(loop->maker, export->protocol, export->encoding, body_of(export),
                                ingest->conf->body_bytes_max, NULL, &result, &why);

    metric_add(ingest->metrics, INGEST_bytes_received, export->door, 0, body_of(export).len);
    if (err != MG_OK) {
        credit_give(ingest->options.credit, (int64_t)export->reserved);
        fail(export, err, why.text[0] ? why.text : mg_err_text(err));
        return;
    }
    metric_add(ingest->metrics, INGEST_bytes_inflated, export->door, 0, result.inflated);
    live_count_cpu(ingest->options.live, STAGE_INFLATE, result.cpu_inflate_ns);
    live_count_cpu(ingest->options.live, STAGE_TRANSCODE, result.cpu_transcode_ns);
    live_count_cpu(ingest->options.live, STAGE_ROWS, result.cpu_rows_ns);
    metric_add(ingest->metrics, INGEST_bad_strings, 0, 0, result.rows->bad_strings);
    export->batch.rows = result.rows;
    export->refused = result.refused;
    settle(export);
    if (result.rows->n == 0 && result.refused.n == 0) {
        credit_give(ingest->options.credit, (int64_t)export->reserved);
        rows_recycle(loop->maker, &export->batch.rows);
        otlp_answer(export, 0);
        count(export, OUTCOME_ACCEPTED);
        export_free(export);
        return;
    }
    submit(export);
}

/* Most bodies say how large they will be. One that does not, or claims much, is inflated once to learn it: into the
 * loop's own buffer, which has its limit, so that a small body never waits for the room of a large one. */
static enum mg_err find_bound(struct export *export, struct mg_why *why)
{
    size_t limit = export->loop->ingest->conf->body_bytes_max;

    export->bound = zip_bound(export->encoding, body_of(export), limit);
    if (export->bound > MEASURE_BYTES && export->encoding != ZIP_IDENTITY) {
        struct str inflated;
        MG_TRY(rows_inflate(export->loop->maker, export->encoding, body_of(export), limit, &inflated, why));
        export->bound = inflated.len;
    }
    export->bound = MG_MAX(export->bound, (size_t)1);
    return MG_OK;
}

/* Rows are smaller than OTLP as a rule; what is reserved is twice the body, and what a hostile one takes beyond it
 * (interner_bound) is charged as soon as it is known, so that the next request feels it. JSON is never shorter than the
 * protobuf it becomes. True: the export is answered or in the log. */
static bool try_body(struct export *export)
{
    struct ingest *ingest = export->loop->ingest;
    struct mg_why why = { "" };
    enum mg_err err;

    if (!export->bound && (err = find_bound(export, &why)) != MG_OK) {
        fail(export, err, why.text);
        return true;
    }
    export->reserved = 2 * export->bound;
    if (!credit_take(ingest->options.credit, &export->reserved)) {
        credit_want(ingest->options.credit, export->reserved);
        return false;
    }
    if (export->waits) {
        list_remove(&export->link);
        export->waits = false;
        ingest->waiting--;
    }
    process(export);
    return true;
}

/* NULL: spans are taken in. Else why not, for the sender. */
static const char *refusal(const struct ingest_loop *loop)
{
    const struct ingest_options *options = &loop->ingest->options;

    if (loop->is_closing)
        return "shutting down";
    if (journal_refusing(options->journal))
        return "the journal cannot be written; see the log";
    if (store_is_full(options->store))
        return "the disk is full (store.free_min)";
    return NULL;
}

void ingest_on_request(void *owner, struct http_request *request, enum ingest_door door)
{
    struct ingest_loop *loop = owner;
    struct export *export = export_new(loop, request, door);
    struct mg_why why = { "" };
    enum mg_err err = otlp_kind(request, &export->protocol, &export->encoding, &why);

    loop->busy_at_ns = export->begun_ns;
    if (err != MG_OK) {
        fail(export, err, why.text);
        return;
    }
    if (refusal(loop)) {
        fail(export, MG_E_BUSY, refusal(loop));
        return;
    }
    http_request_take_body(request, &export->body, &export->body_offset);
    export->has_body = true;
    if (!try_body(export))
        wait_for_credit(export);
}

/* --- the head --------------------------------------------------------------------------------------- */

void ingest_on_head(void *owner, struct http_request *request, enum ingest_door door)
{
    struct ingest_loop *loop = owner;
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct mg_why why = { "" };
    enum mg_err err = otlp_kind(request, &protocol, &encoding, &why);

    if (err != MG_OK) {
        fail(export_new(loop, request, door), err, why.text);
        return;
    }
    if (!is_short(loop))
        return;
    http_request_hold(request);
    wait_for_credit(export_new(loop, request, door));
}

/* --- waiting ---------------------------------------------------------------------------------------- */

/* Serves the oldest waiter; false when it must go on waiting. */
static bool serve(struct export *export)
{
    struct ingest_loop *loop = export->loop;

    if (http_request_is_gone(export->request)) {
        fail(export, MG_E_BUSY, "the peer has gone");
        return true;
    }
    if (export->has_body && try_body(export))
        return true;
    if (!export->has_body && !is_short(loop)) {
        http_request_release(export->request);
        export_free(export);
        return true;
    }
    if (loop_now_ns(loop->loop) < export->give_up_ns && !loop->is_closing)
        return false;
    fail(export, MG_E_BUSY, "no memory for more spans at the moment (live.ring_bytes); try again");
    return true;
}

static void rest(struct ingest_loop *loop)
{
    if (loop->in_log == 0 && loop_now_ns(loop->loop) - loop->busy_at_ns >= IDLE_MS * MS_NS)
        rows_decay(loop->maker);
}

static void on_timer(void *owner)
{
    struct ingest_loop *loop = owner;

    /* Small ones pass a large one that waits: it has its time limit, and live makes room for it meanwhile. */
    for (struct list *link = loop->waiting.next, *next; link != &loop->waiting; link = next) {
        next = link->next;
        (void)serve(MG_CONTAINER(link, struct export, link));
    }
    rest(loop);
    timer_start(loop->timer, list_empty(&loop->waiting) ? IDLE_MS : POLL_MS);
}

/* --- the answer ------------------------------------------------------------------------------------- */

static void count_spans(struct export *export, uint32_t accepted)
{
    struct metric_set *metrics = export->loop->ingest->metrics;

    metric_add(metrics, INGEST_spans_accepted, export->door, 0, accepted);
    for (unsigned i = 0; i < OTLP_REFUSALS; i++)
        if (export->refused.by_reason[i])
            metric_add(metrics, INGEST_spans_refused, export->door, i, export->refused.by_reason[i]);
}

static void close_if_idle(struct ingest_loop *loop)
{
    if (loop->is_closing && loop->in_log == 0 && loop->on_idle) {
        void (*on_idle)(void *) = MG_STEAL(loop->on_idle);
        on_idle(loop->idle_owner);
    }
}

static void on_acked(void *owner, struct message *message)
{
    struct ingest_loop *loop = owner;
    struct export *export = MG_CONTAINER(message, struct export, message);
    uint32_t accepted = export->batch.rows->n;

    loop->in_log--;
    loop->busy_at_ns = loop_now_ns(loop->loop);
    rows_recycle(loop->maker, &export->batch.rows);
    if (export->batch.err != MG_OK) {
        fail(export, MG_E_BUSY, "the journal could not be written; nothing was taken");
    } else {
        otlp_answer(export, accepted);
        count(export, export->refused.n ? OUTCOME_PARTIAL : OUTCOME_ACCEPTED);
        count_spans(export, accepted);
        metric_observe(loop->ingest->metrics, INGEST_ack_seconds, export->door, 0,
                       loop_now_ns(loop->loop) - export->begun_ns);
        export_free(export);
    }
    close_if_idle(loop);
}

/* --- life ------------------------------------------------------------------------------------------- */

static const struct metric_row ingest_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "ingest/metrics.def"
#undef METRIC
};

static void on_scrape(void *owner)
{
    struct ingest *ingest = owner;

    metric_set_gauge(ingest->metrics, INGEST_waiting, 0, 0, (double)ingest->waiting);
}

struct ingest *ingest_new(const struct ingest_options *options)
{
    struct ingest *ingest = MEM_NEW(struct ingest);

    ingest->options = *options;
    ingest->conf = options->conf;
    ingest->metrics = metric_register(options->metrics, ingest_metric_rows, MG_COUNT(ingest_metric_rows));
    metric_on_scrape(options->metrics, on_scrape, ingest);
    return ingest;
}

void ingest_reload(struct ingest *ingest, const struct ingest_conf *conf)
{
    ingest->conf = conf;
}

void ingest_free(struct ingest **ingest)
{
    mem_free(*ingest);
    *ingest = NULL;
}

struct metric_set *ingest_metrics(struct ingest *ingest)
{
    return ingest->metrics;
}

struct ingest_loop *ingest_loop_new(struct ingest *ingest, struct loop *loop)
{
    struct ingest_loop *self = MEM_NEW(struct ingest_loop);

    self->ingest = ingest;
    self->loop = loop;
    self->acks = mailbox_new(loop, on_acked, self);
    self->timer = timer_new(loop, on_timer, self);
    self->maker = rows_maker_new();
    list_init(&self->waiting);
    timer_start(self->timer, IDLE_MS);
    return self;
}

void ingest_loop_close(struct ingest_loop *loop, void (*on_idle)(void *owner), void *owner)
{
    struct export *export;

    loop->is_closing = true;
    loop->on_idle = on_idle;
    loop->idle_owner = owner;
    while ((export = LIST_FIRST(&loop->waiting, struct export, link)))
        serve(export);
    close_if_idle(loop);
}

void ingest_loop_free(struct ingest_loop **pointer)
{
    struct ingest_loop *loop = *pointer;

    if (!loop)
        return;
    timer_free(&loop->timer);
    mailbox_free(&loop->acks);
    rows_maker_free(&loop->maker);
    mem_free(loop);
    *pointer = NULL;
}
