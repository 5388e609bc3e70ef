/* group.c - the consumer group: whose partitions these are, how far they are finished, and how they are given back.
 *
 * The assignor is cooperative-sticky: at a change only the partitions that move are taken away, so that most traces stay where their
 * first spans went; a property may name another one, and both protocols are obeyed. Partitions that move are brought to rest for at
 * most REVOKE_MS and committed before they are let go; what is still under way then only finishes, and comes again to the new owner.
 *
 * Messages do not pass through librdkafka's one queue for everything but through one of their own: while that is not read, which is
 * how polling stops, rebalances are still answered and the member stays in the group. (Pausing partitions instead would throw away
 * and fetch again what waits in the queue.)
 *
 * What is finished is stored, and librdkafka commits it once a second, since only it knows when not to: a commit while the member waits
 * to rejoin is answered after the join, as one of an old generation, and costs it all its partitions. */
#include "consume/private.h"
#include "base/clock.h"

enum { REVOKE_MS = 5000, COMMIT_MS = 1000, STORE_EVERY_MS = 200, LEAVE_COMMIT_MS = 500, LEAVE_MS = 1000, WAIT_MS = 50 };
enum { REFUSALS_MOST = 5, REFUSALS_LOUD = 4 }; /* of storing: the wait is doubled so often; that many are no rebalance in between */

/* --- partitions --- */

struct partition *group_find(struct consume *consume, const char *topic, int32_t number)
{
    LIST_EACH(&consume->partitions, link) {
        struct partition *partition = MG_CONTAINER(link, struct partition, link);
        if (partition->number != number || strcmp(partition->topic, topic) != 0)
            continue;
        list_remove(link); /* messages come in runs: the next one finds it first */
        list_add_first(&consume->partitions, link);
        return partition;
    }
    return NULL;
}

static struct partition *partition_new(struct consume *consume, const char *topic, int32_t number)
{
    struct partition *partition = MEM_NEW(struct partition);

    partition->topic = mem_text(topic);
    partition->number = number;
    partition->begin = partition->stored = -1;
    list_add_last(&consume->partitions, &partition->link);
    return partition;
}

void partition_release(struct partition *partition)
{
    if (!partition->is_lost || partition->under_way > 0)
        return;
    tracker_fini(&partition->tracker);
    mem_free(partition->topic);
    mem_free(partition);
}

static void set_paused(struct consume *consume, const struct partition *partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
    (void)(partition->is_paused ? rd_kafka_pause_partitions : rd_kafka_resume_partitions)(consume->client, list); /* fails for one that is not ours */
    rd_kafka_topic_partition_list_destroy(list);
}

/* Nothing is polled of a partition that is stopped, nor of one with too much behind a message that hangs; this ends when half of it is gone,
 * since each time what was fetched ahead is thrown away. librdkafka does so at a resume, too, also of a partition that was not paused, but
 * then does not fetch it again; and it remembers the pause of a partition that is let go, for the time that it comes back. */
void group_pace(struct consume *consume, struct partition *partition)
{
    size_t most = partition->is_paused ? consume->width_most / 2 : consume->width_most;
    bool is_wide = tracker_width(&partition->tracker) >= most, is_paused = !partition->is_lost && (partition->stopped > 0 || is_wide);

    if (is_paused == partition->is_paused)
        return;
    partition->is_paused = is_paused;
    set_paused(consume, partition);
    if (is_paused && partition->stopped == 0)
        LOG_EVERY(60, WARN, "kafka partition is paused: too many messages wait for one that is not finished", F_TEXT("topic", partition->topic),
                  F_I64("partition", partition->number), F_I64("offset", tracker_next(&partition->tracker)));
}

static void partition_lose(struct consume *consume, struct partition *partition)
{
    partition->is_lost = true;
    group_pace(consume, partition);
    list_remove(&partition->link);
    partition_release(partition);
}

struct partition *group_renew(struct consume *consume, struct partition *partition)
{
    struct partition *renewed = partition_new(consume, partition->topic, partition->number);

    LOG(WARN, "kafka partition begins again at an earlier offset", F_TEXT("topic", partition->topic), F_I64("partition", partition->number));
    take_forget_again(consume, partition);
    dead_forget_stopped(consume, partition);
    partition_lose(consume, partition);
    return renewed;
}

static void set_gauges(struct consume *consume)
{
    uint64_t n = 0;

    LIST_EACH(&consume->partitions, link)
        n++;
    metric_set_gauge(consume->metrics, CONSUME_partitions, 0, 0, (double)n);
}

/* --- offsets --- */

static bool is_due(const struct partition *partition, int64_t next, uint64_t now_ns)
{
    return next != partition->stored && now_ns >= partition->store_at_ns;
}

/* only_due: what was not stored yet, and was not refused a moment ago. */
static rd_kafka_topic_partition_list_t *finished(struct consume *consume, bool only_due)
{
    uint64_t now_ns = clock_mono_ns();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);

    LIST_EACH(&consume->partitions, link) {
        struct partition *partition = MG_CONTAINER(link, struct partition, link);
        int64_t next = tracker_next(&partition->tracker);
        if (next > partition->begin && (!only_due || is_due(partition, next, now_ns)))
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset = next;
    }
    return list;
}

static void store_refused(struct consume *consume, struct partition *partition, rd_kafka_resp_err_t err)
{
    unsigned doublings = MG_MIN(partition->store_refusals, (unsigned)REFUSALS_MOST);

    partition->store_refusals++;
    partition->store_at_ns = clock_mono_ns() + (STORE_EVERY_MS * MS << doublings);
    consume->has_unstored = true;
    if (partition->store_refusals >= REFUSALS_LOUD)
        LOG_EVERY(30, WARN, "kafka offset cannot be stored: it is tried again", F_TEXT("topic", partition->topic),
                  F_I64("partition", partition->number), F_TEXT("error", rd_kafka_err2str(err)));
}

/* Each partition is taken or refused by itself: one that is just being lost, or is not fully assigned yet, is refused. */
static void store(struct consume *consume, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t all = rd_kafka_offsets_store(consume->client, list);

    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        struct partition *partition = group_find(consume, one->topic, one->partition);
        rd_kafka_resp_err_t err = all == RD_KAFKA_RESP_ERR__INVALID_ARG ? all : one->err;
        if (err) {
            store_refused(consume, partition, err);
        } else {
            partition->stored = one->offset;
            partition->store_refusals = 0;
        }
    }
}

static void on_commit(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *offsets, void *owner)
{
    struct consume *consume = owner;

    (void)client;
    if (err == RD_KAFKA_RESP_ERR__NO_OFFSET) /* there was nothing to commit */
        return;
    for (int i = 0; offsets && !err && i < offsets->cnt; i++)
        err = offsets->elems[i].err;
    metric_add(consume->metrics, CONSUME_commits, err ? 1 : 0, 0, 1);
    if (err)
        LOG_EVERY(30, WARN, "kafka offsets cannot be committed: they are tried again", F_TEXT("error", rd_kafka_err2str(err)));
}

static void commit_and_wait(struct consume *consume, unsigned timeout_ms)
{
    rd_kafka_topic_partition_list_t *list = finished(consume, false);
    rd_kafka_queue_t *answers;
    rd_kafka_event_t *event;

    if (list->cnt > 0) {
        store(consume, list); /* or librdkafka would commit older ones when partitions are let go */
        answers = rd_kafka_queue_new(consume->client);
        if (rd_kafka_commit_queue(consume->client, list, answers, NULL, NULL) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            event = rd_kafka_queue_poll(answers, (int)timeout_ms);
            on_commit(consume->client, event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT,
                      event ? rd_kafka_event_topic_partition_list(event) : NULL, consume);
            if (event)
                rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(answers);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void measure_lag(struct consume *consume)
{
    int64_t lag = 0, low, high;

    LIST_EACH(&consume->partitions, link) {
        struct partition *partition = MG_CONTAINER(link, struct partition, link);
        int64_t next = tracker_next(&partition->tracker);
        if (next >= 0 && rd_kafka_get_watermark_offsets(consume->client, partition->topic, partition->number, &low, &high) ==
                             RD_KAFKA_RESP_ERR_NO_ERROR && high > next)
            lag += high - next;
    }
    metric_set_gauge(consume->metrics, CONSUME_lag, 0, 0, (double)lag);
}

void group_store(struct consume *consume)
{
    uint64_t now_ns = clock_mono_ns();
    rd_kafka_topic_partition_list_t *list;

    if (now_ns < consume->store_at_ns)
        return;
    consume->store_at_ns = now_ns + STORE_EVERY_MS * MS;
    consume->has_unstored = false;
    measure_lag(consume);
    list = finished(consume, true);
    if (list->cnt > 0)
        store(consume, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* --- rebalances --- */

static size_t under_way(struct consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    size_t n = 0;

    for (int i = 0; i < list->cnt; i++) {
        const struct partition *partition = group_find(consume, list->elems[i].topic, list->elems[i].partition);
        n += partition ? partition->under_way : 0;
    }
    return n;
}

/* Nothing is polled meanwhile. What waits for another attempt would not come to rest: the next owner attempts it. */
static void bring_to_rest(struct consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    uint64_t until_ns = clock_mono_ns() + REVOKE_MS * MS;

    for (;;) {
        for (int i = 0; i < list->cnt; i++) {
            struct partition *partition = group_find(consume, list->elems[i].topic, list->elems[i].partition);
            if (!partition)
                continue;
            take_forget_again(consume, partition);
            dead_forget_stopped(consume, partition);
        }
        if (under_way(consume, list) == 0)
            return;
        uint64_t end_ns = atomic_load(&consume->is_stopping) ? MG_MIN(until_ns, atomic_load(&consume->stop_by_ns)) : until_ns;
        if (clock_mono_ns() >= end_ns)
            return;
        consume_wait(consume, WAIT_MS * MS);
        take_done(consume);
        dead_serve(consume);
    }
}

static void log_change(const char *event, const rd_kafka_topic_partition_list_t *list)
{
    char text[300];
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < list->cnt && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s/%d", i ? " " : "", list->elems[i].topic, (int)list->elems[i].partition);
    LOG(INFO, event, F_U64("n", (uint64_t)list->cnt), F_TEXT("partitions", text));
}

static void adopt(struct consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(consume->client, one->topic, one->partition);
        if (queue) {
            rd_kafka_queue_forward(queue, consume->messages);
            rd_kafka_queue_destroy(queue);
        }
        if (!group_find(consume, one->topic, one->partition))
            (void)partition_new(consume, one->topic, one->partition);
    }
    if (list->cnt > 0) { /* a first round of the cooperative protocol assigns none */
        metric_add(consume->metrics, CONSUME_rebalances, REBALANCE_ASSIGNED, 0, 1);
        log_change("kafka partitions assigned", list);
    }
}

static void let_go(struct consume *consume, const rd_kafka_topic_partition_list_t *list)
{
    bool is_lost = rd_kafka_assignment_lost(consume->client);

    if (!is_lost) {
        bring_to_rest(consume, list);
        commit_and_wait(consume, atomic_load(&consume->is_stopping) ? LEAVE_COMMIT_MS : COMMIT_MS);
    }
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = group_find(consume, list->elems[i].topic, list->elems[i].partition);
        if (!partition)
            continue;
        take_forget_again(consume, partition);
        dead_forget_stopped(consume, partition);
        partition_lose(consume, partition);
    }
    metric_add(consume->metrics, CONSUME_rebalances, is_lost ? REBALANCE_LOST : REBALANCE_REVOKED, 0, 1);
    log_change(is_lost ? "kafka partitions lost" : "kafka partitions revoked", list);
}

static void complain(rd_kafka_error_t *error)
{
    if (!error)
        return;
    LOG(WARN, "kafka rebalance failed", F_TEXT("error", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
}

static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *owner)
{
    struct consume *consume = owner;
    bool is_cooperative = strcmp(rd_kafka_rebalance_protocol(client), "COOPERATIVE") == 0, is_assign = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;

    if (is_assign)
        adopt(consume, list);
    else
        let_go(consume, list);
    if (is_cooperative)
        complain(is_assign ? rd_kafka_incremental_assign(client, list) : rd_kafka_incremental_unassign(client, list));
    else if ((err = rd_kafka_assign(client, is_assign ? list : NULL)) != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG(WARN, "kafka rebalance failed", F_TEXT("error", rd_kafka_err2str(err)));
    set_gauges(consume);
}

static unsigned reason_of(int err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return CONNECTION_AUTHENTICATION;
    case RD_KAFKA_RESP_ERR__SSL: return CONNECTION_TLS;
    case RD_KAFKA_RESP_ERR__RESOLVE: return CONNECTION_RESOLVE;
    case RD_KAFKA_RESP_ERR__TRANSPORT: return CONNECTION_TRANSPORT;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return CONNECTION_ALL_DOWN;
    default: return CONNECTION_OTHER;
    }
}

static void on_error(rd_kafka_t *client, int err, const char *reason, void *owner)
{
    struct consume *consume = owner;

    (void)client;
    metric_add(consume->metrics, CONSUME_connection_errors, reason_of(err), 0, 1);
    if (err == RD_KAFKA_RESP_ERR__FATAL)
        LOG(ERROR, "kafka is no longer consumed: restart when the cause is mended", F_TEXT("error", reason));
    else
        LOG_EVERY(30, WARN, "kafka consumer", F_TEXT("error", rd_kafka_err2str((rd_kafka_resp_err_t)err)), F_TEXT("reason", reason));
}

void group_conf(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_error_cb(conf, on_error);
}

/* --- life --- */

enum mg_err group_join(struct consume *consume, struct mg_why *why)
{
    const struct conf_list *topics = &consume->conf->topics;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topics->n);
    rd_kafka_resp_err_t err;

    for (size_t i = 0; i < topics->n; i++)
        rd_kafka_topic_partition_list_add(list, topics->at[i].ptr, RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(consume->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? MG_OK : mg_fail(why, MG_E_INTERNAL, "kafka: cannot subscribe: %s", rd_kafka_err2str(err));
}

/* Messages come this way only in the moment between an assignment and its queue. */
void group_serve(struct consume *consume)
{
    rd_kafka_message_t *message;

    while ((message = rd_kafka_consumer_poll(consume->client, 0)) != NULL)
        take_polled(consume, message);
}

/* At a stop all has come to rest before. */
static uint64_t leave_ns(struct consume *consume)
{
    return (atomic_load(&consume->is_stopping) ? LEAVE_MS : REVOKE_MS + COMMIT_MS + LEAVE_MS) * MS;
}

/* on_rebalance commits and lets go of everything on the way. */
void group_leave(struct consume *consume)
{
    uint64_t begun_ns = clock_mono_ns();
    rd_kafka_queue_t *events = rd_kafka_queue_new(consume->client);

    if (!rd_kafka_consumer_closed(consume->client)) /* by an exchange of clients that a stop interrupts */
        complain(rd_kafka_consumer_close_queue(consume->client, events));
    while (!rd_kafka_consumer_closed(consume->client) && clock_mono_ns() - begun_ns < leave_ns(consume))
        (void)rd_kafka_queue_poll_callback(events, WAIT_MS);
    rd_kafka_queue_destroy(events);
}

void group_free(struct consume *consume)
{
    while (!list_empty(&consume->partitions))
        partition_lose(consume, LIST_FIRST(&consume->partitions, struct partition, link));
}
