/* ingest.c - the life of ingest and its loops, and bodies that did not come by HTTP. */
#include "ingest/private.h"

enum { IDLE_MS = 2000 };
#define MS_NS UINT64_C(1000000)

/* --- the program's ---------------------------------------------------------------------------------- */

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
    ingest->metrics = metric_register(options->metrics, ingest_metric_rows, MG_COUNT(ingest_metric_rows));
    metric_on_scrape(options->metrics, on_scrape, ingest);
    return ingest;
}

void ingest_free(struct ingest **pointer)
{
    mem_free(*pointer);
    *pointer = NULL;
}

struct metric_set *ingest_metrics(struct ingest *ingest)
{
    return ingest->metrics;
}

/* --- a loop's --------------------------------------------------------------------------------------- */

static void rest(struct ingest_loop *loop)
{
    if (loop->in_log > 0 || loop_now_ns(loop->loop) - loop->busy_at_ns < IDLE_MS * MS_NS)
        return;
    rows_decay(loop->maker);
    udp_doors_decay(loop);
}

static void on_timer(void *owner)
{
    struct ingest_loop *loop = owner;

    waiting_serve(loop);
    udp_doors_count(loop);
    rest(loop);
    timer_start(loop->timer, list_empty(&loop->waiting) ? IDLE_MS : INGEST_POLL_MS);
}

static void close_if_idle(struct ingest_loop *loop)
{
    if (loop->is_closing && loop->in_log == 0 && loop->n_given == 0 && loop->on_idle) {
        void (*on_idle)(void *) = MG_STEAL(loop->on_idle);
        on_idle(loop->idle_owner);
    }
}

static void on_acked(void *owner, struct message *message)
{
    struct ingest_loop *loop = owner;

    take_acked(MG_CONTAINER(message, struct take, message));
    waiting_resume(loop);
    close_if_idle(loop);
}

static void on_given(void *owner, struct message *message);

struct ingest_loop *ingest_loop_new(struct ingest *ingest, struct loop *loop)
{
    struct ingest_loop *self = MEM_NEW(struct ingest_loop);

    self->ingest = ingest;
    self->loop = loop;
    self->acks = mailbox_new(loop, on_acked, self);
    self->given = mailbox_new(loop, on_given, self);
    self->timer = timer_new(loop, on_timer, self);
    self->maker = rows_maker_new();
    ingest_loop_reload(self, ingest->options.conf, ingest->options.rules);
    ingest->n_loops++;
    list_init(&self->waiting);
    list_init(&self->datagrams.spare);
    timer_start(self->timer, IDLE_MS);
    return self;
}

void ingest_loop_reload(struct ingest_loop *loop, const struct ingest_conf *conf, struct attribute_rules *rules)
{
    loop->body_bytes_max = conf->body_bytes_max;
    loop->wait_ns = conf->wait_ns;
    rows_maker_rules(loop->maker, rules);
}

void ingest_loop_close(struct ingest_loop *loop, void (*on_idle)(void *owner), void *owner)
{
    loop->is_closing = true;
    loop->on_idle = on_idle;
    loop->idle_owner = owner;
    udp_doors_close(loop);
    waiting_serve(loop);
    close_if_idle(loop);
}

void ingest_loop_free(struct ingest_loop **pointer)
{
    struct ingest_loop *loop = *pointer;

    if (!loop)
        return;
    timer_free(&loop->timer);
    mailbox_free(&loop->given);
    mailbox_free(&loop->acks);
    udp_doors_free(loop);
    rows_maker_free(&loop->maker);
    mem_free(loop);
    *pointer = NULL;
}

/* --- bodies that did not come by HTTP --------------------------------------------------------------- */

struct given {
    struct message message;
    struct take take;
    struct waiter waiter;
    struct ingest_body *body;
};

static void given_done(struct take *take, enum mg_err err, const struct mg_why *why)
{
    struct given *given = MG_CONTAINER(take, struct given, take);
    struct ingest_body *body = given->body;

    body->spans = take->spans;
    body->refused = take->refused.n;
    body->done(body, err, why);
    mem_free(given);
}

static bool given_serve(struct waiter *waiter)
{
    return take_try(&MG_CONTAINER(waiter, struct given, waiter)->take);
}

static void given_give_up(struct waiter *waiter, enum ingest_busy reason)
{
    take_refuse(&MG_CONTAINER(waiter, struct given, waiter)->take, reason);
}

/* A message to itself rather than a call: the giver's done never comes from inside ingest_take, and one that gives again in done
 * gets its turn after the sockets'. */
static void on_given(void *owner, struct message *message)
{
    struct ingest_loop *loop = owner;
    struct given *given = MG_CONTAINER(message, struct given, message);

    loop->n_given--;
    if (!take_begin(&given->take))
        waiting_add(loop, &given->waiter);
    close_if_idle(loop);
}

void ingest_take(struct ingest_loop *loop, struct ingest_body *body)
{
    struct given *given = MEM_NEW(struct given);

    given->take = (struct take){ .loop = loop, .door = body->door, .protocol = body->protocol, .encoding = body->encoding,
                                 .bytes = body->bytes, .may_wait = true, .done = given_done };
    given->waiter = (struct waiter){ .serve = given_serve, .give_up = given_give_up };
    given->body = body;
    loop->n_given++;
    mailbox_post(loop->given, &given->message);
}
