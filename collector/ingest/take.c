/* take.c - see take.h. */
#include "ingest/private.h"
#include "base/clock.h"

enum { MEASURE_BYTES = 8 << 20 };

static const char *const busy_texts[] = {
    [BUSY_WAIT] = "no memory for more spans at the moment (live.ring_bytes); try again",
    [BUSY_LOG] = "the journal is written too slowly at the moment; try again",
    [BUSY_TALKER] = "no memory for more spans at the moment (live.ring_bytes), and this sender takes more than its share; try again",
    [BUSY_CREDIT] = "no memory for more spans at the moment (live.ring_bytes)",
    [BUSY_BACKLOG] = "too many datagrams wait to be written",
    [BUSY_CLOSING] = "shutting down",
    [BUSY_JOURNAL] = "the journal cannot be written; see the log",
    [BUSY_DISK] = "the disk is full (store.free_min)",
};

/* --- ends ------------------------------------------------------------------------------------------- */

void take_count(const struct take *take, enum ingest_outcome outcome)
{
    metric_add(take->loop->ingest->metrics, INGEST_requests, take->door, outcome, 1);
}

static enum ingest_outcome outcome_of(const struct take *take, enum mg_err err)
{
    switch (err) {
    case MG_OK:
        return take->refused.n ? OUTCOME_PARTIAL : OUTCOME_ACCEPTED;
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

static void count_spans(const struct take *take)
{
    struct metric_set *metrics = take->loop->ingest->metrics;

    metric_add(metrics, INGEST_spans_accepted, take->door, 0, take->spans);
    metric_add(metrics, INGEST_spans_dropped, take->door, 0, take->dropped);
    for (unsigned i = 0; i < SPAN_REFUSALS; i++)
        if (take->refused.by_reason[i])
            metric_add(metrics, INGEST_spans_refused, take->door, i, take->refused.by_reason[i]);
}

void take_end(struct take *take, enum mg_err err, const struct mg_why *why)
{
    struct mg_why text = { "" };

    if (err == MG_OK)
        count_spans(take);
    else if (!why || !why->text[0])
        (void)mg_fail(&text, err, "%s", mg_err_text(err));
    take_count(take, outcome_of(take, err));
    buf_fini(&take->head);
    take->done(take, err, why && why->text[0] ? why : &text);
}

void take_refuse(struct take *take, enum ingest_busy reason)
{
    struct mg_why why;
    enum mg_err err = mg_fail(&why, MG_E_BUSY, "%s", busy_texts[reason]);

    metric_add(take->loop->ingest->metrics, INGEST_busy, take->door, reason, 1);
    take_end(take, err, &why);
}

/* --- log and ack ------------------------------------------------------------------------------------ */

static void on_ack(struct live_batch *batch) /* live or journal thread */
{
    struct take *take = MG_CONTAINER(batch, struct take, batch);

    mailbox_post(take->loop->acks, &take->message);
}

static void submit(struct take *take)
{
    struct live_batch *batch = &take->batch;
    struct rows_maker *maker = take->loop->maker;

    buf_init(&take->head, SIZE_MAX / 2); /* a few bytes for each run of spans in the body */
    body_head_write(&take->head, rows_refused(maker), rows_dropped(maker));
    batch->reserved = take->reserved;
    batch->refused = take->refused.n;
    batch->ack = on_ack;
    batch->record = (struct journal_record){
        .kind = JOURNAL_BODY, .encoding = (uint8_t)take->encoding, .protocol = (uint8_t)take->protocol,
        .wall_ns = clock_wall_ns(), .head = buf_str(&take->head), .body = take->bytes };
    take->loop->in_log++;
    take->loop->in_log_bytes += take->reserved;
    live_submit(take->loop->ingest->options.live, batch);
}

void take_acked(struct take *take)
{
    struct ingest_loop *loop = take->loop;
    uint64_t now_ns = loop_now_ns(loop->loop);
    uint32_t spans = take->batch.rows->n;

    loop->in_log--;
    loop->in_log_bytes -= take->reserved;
    loop->busy_at_ns = now_ns;
    rows_recycle(loop->maker, &take->batch.rows);
    if (take->batch.err != MG_OK) {
        take_refuse(take, BUSY_JOURNAL);
        return;
    }
    take->spans = spans;
    metric_observe(loop->ingest->metrics, INGEST_ack_seconds, take->door, 0, now_ns - take->begun_ns);
    take_end(take, MG_OK, NULL);
}

/* --- rows ------------------------------------------------------------------------------------------- */

static struct rows_body body_of(const struct take *take)
{
    return (struct rows_body){ .protocol = take->protocol, .encoding = take->encoding, .bytes = take->bytes,
                               .limit = take->loop->body_bytes_max };
}

/* The rows are there, so their true size is known: the guess is exchanged for it before anybody else asks. */
static void settle(struct take *take)
{
    struct ingest_loop *loop = take->loop;
    size_t used = take->batch.rows->bytes + take->batch.rows->epoch_growth;

    credit_give(loop->ingest->options.credit, (int64_t)take->reserved - (int64_t)used);
    take->reserved = used;
    loop->let_in.body_rows += used / 64 - loop->let_in.body_rows / 64;
}

static void count_work(const struct take *take, const struct rows_result *result)
{
    struct ingest *ingest = take->loop->ingest;

    metric_add(ingest->metrics, INGEST_bytes_inflated, take->door, 0, result->inflated);
    metric_add(ingest->metrics, INGEST_bad_strings, 0, 0, result->rows->bad_strings);
    live_count_cpu(ingest->options.live, STAGE_INFLATE, result->cpu_inflate_ns);
    live_count_cpu(ingest->options.live, STAGE_TRANSCODE, result->cpu_transcode_ns);
    live_count_cpu(ingest->options.live, STAGE_ROWS, result->cpu_rows_ns);
}

/* With its credit in hand: rows, then the log. What leaves neither a row nor a refused span ends at once: there is nothing to
 * make durable. */
static void process(struct take *take)
{
    struct ingest_loop *loop = take->loop;
    struct credit *credit = loop->ingest->options.credit;
    const struct rows_body body = body_of(take);
    struct rows_result result;
    struct mg_why why = { "" };
    enum mg_err err;

    err = rows_make(loop->maker, &body, NULL, &result, &why);
    take->was_inflated = rows_was_inflated(loop->maker);
    if (err != MG_OK) {
        credit_give(credit, (int64_t)take->reserved);
        take_end(take, err, &why);
        return;
    }
    count_work(take, &result);
    take->batch.rows = result.rows;
    take->refused = result.refused;
    take->dropped = result.dropped;
    settle(take);
    if (result.rows->n > 0 || result.refused.n > 0) {
        submit(take);
        return;
    }
    credit_give(credit, (int64_t)take->reserved);
    rows_recycle(loop->maker, &take->batch.rows);
    take_end(take, MG_OK, NULL);
}

/* --- bound and credit ------------------------------------------------------------------------------- */

/* Most bodies say how large they will be. One that does not, or claims much, is inflated once to learn it: into the
 * loop's own buffer, which has its limit, so that a small body never waits for the room of a large one. */
static enum mg_err find_bound(struct take *take, struct mg_why *why)
{
    const struct rows_body body = body_of(take);

    take->bound = zip_bound(take->encoding, take->bytes, body.limit);
    if (take->bound > MEASURE_BYTES && take->encoding != ZIP_IDENTITY) {
        struct str inflated;
        MG_TRY(rows_inflate(take->loop->maker, &body, &inflated, why));
        take->bound = inflated.len;
    }
    take->bound = MG_MAX(take->bound, (size_t)1);
    return MG_OK;
}

/* Rows are smaller than OTLP as a rule; what is reserved is twice the body, and what a hostile one takes beyond it
 * (interner_bound) is charged as soon as it is known, so that the next request feels it. JSON is never shorter than the
 * protobuf it becomes. */
bool take_try(struct take *take)
{
    struct credit *credit = take->loop->ingest->options.credit;
    struct mg_why why = { "" };
    enum mg_err err;

    if (take->may_wait && is_behind(take->loop))
        return false;
    if (!take->bound && (err = find_bound(take, &why)) != MG_OK) {
        take_end(take, err, &why);
        return true;
    }
    take->reserved = 2 * take->bound;
    if (!credit_take(credit, &take->reserved)) {
        credit_want(credit, take->reserved);
        return false;
    }
    process(take);
    return true;
}

bool take_is_refused(const struct ingest_loop *loop, enum ingest_busy *reason)
{
    const struct ingest_options *options = &loop->ingest->options;

    if (loop->is_closing)
        *reason = BUSY_CLOSING;
    else if (journal_refusing(options->journal))
        *reason = BUSY_JOURNAL;
    else if (store_is_full(options->store))
        *reason = BUSY_DISK;
    else
        return false;
    return true;
}

bool take_begin(struct take *take)
{
    struct ingest_loop *loop = take->loop;
    enum ingest_busy reason;

    take->begun_ns = loop->busy_at_ns = loop_now_ns(loop->loop);
    metric_add(loop->ingest->metrics, INGEST_bytes_received, take->door, 0, take->bytes.len);
    talkers_add(&loop->talkers, take->peer, take->bytes.len, take->begun_ns);
    if (!take_is_refused(loop, &reason))
        return take_try(take);
    take_refuse(take, reason);
    return true;
}
