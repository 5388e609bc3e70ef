#include "rig.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"

/* --- clocks --- */

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER; /* the queue's threads read it while a test changes both */
static uint64_t moved_ns = 1000 * SECOND;
static uint64_t wall_begin_ns = 1700000000 * SECOND; /* when moved_ns was 0 */
static bool is_running;
static uint64_t runs_since; /* real time */

uint64_t rig_real_ns(void)
{
    return clock_mono_ns();
}

void rig_yield(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static uint64_t mono_locked(void)
{
    return moved_ns + (is_running ? (clock_mono_ns() - runs_since) * 100 : 0);
}

uint64_t rig_mono(void)
{
    pthread_mutex_lock(&clock_lock);
    uint64_t ns = mono_locked();
    pthread_mutex_unlock(&clock_lock);
    return ns;
}

uint64_t rig_wall(void)
{
    pthread_mutex_lock(&clock_lock);
    uint64_t ns = wall_begin_ns + mono_locked();
    pthread_mutex_unlock(&clock_lock);
    return ns;
}

void rig_move_wall(uint64_t ns)
{
    pthread_mutex_lock(&clock_lock);
    wall_begin_ns += ns;
    pthread_mutex_unlock(&clock_lock);
}

void rig_move(uint64_t ns)
{
    pthread_mutex_lock(&clock_lock);
    moved_ns += ns;
    pthread_mutex_unlock(&clock_lock);
}

void rig_clock_runs(bool does_run)
{
    pthread_mutex_lock(&clock_lock);
    moved_ns = mono_locked();
    runs_since = clock_mono_ns();
    is_running = does_run;
    pthread_mutex_unlock(&clock_lock);
}

/* --- the peer --- */

/* The next eight bytes of an item. */
static uint64_t filler(struct random *random, uint64_t id)
{
    return id % 8 ? random_u64(random) : UINT64_C(0x6867666564636261);
}

/* The body as it was given; peer's memory, until the next call. */
static struct str plain_of(struct peer *peer, struct str body)
{
    if (zip_inflate(peer->zip, peer->wire.encoding, body, 64 << 20, &peer->plain, NULL) != MG_OK)
        abort();
    return buf_str(&peer->plain);
}

static uint64_t id_of(struct peer *peer, const struct send_batch *batch, struct str *rest)
{
    struct str text;
    uint64_t id = 0;
    *rest = plain_of(peer, batch->body);
    if (!str_cut(rest, ';', &text) || str_u64(text, &id) != MG_OK || batch->spans != gift_spans(id))
        abort();
    return id;
}

/* The batch is the item, to the last byte. */
static uint64_t judge(struct peer *peer, const struct send_batch *batch)
{
    struct random random;
    struct str rest;
    uint64_t id = id_of(peer, batch, &rest), word;
    random_init(&random, id);
    for (size_t i = 0; i < rest.len; i += sizeof word) {
        word = filler(&random, id);
        if (memcmp(rest.ptr + i, &word, MG_MIN(rest.len - i, sizeof word)) != 0)
            abort();
    }
    return id;
}

static bool is_poison(const struct peer *peer, uint64_t id)
{
    uint64_t every = peer->poison_every;
    return id == peer->poison_id || id <= peer->poison_to || (every && id % every == 0);
}

/* true: answered. */
static bool answer(struct peer *peer, struct send_batch *batch, bool is_closing)
{
    struct send_result result = {.verdict = SEND_TAKEN};
    struct str rest;
    uint64_t id = id_of(peer, batch, &rest);
    bool is_refused = id >= peer->refused_from && id <= peer->refused_to;
    enum peer_mode mode = is_closing || is_poison(peer, id) ? PEER_RETRIES : is_refused ? PEER_REFUSES : peer->mode;
    if (mode == PEER_HOLDS)
        return false;
    if (mode == PEER_TAKES) {
        result.refused_spans = peer->refused_spans;
        pthread_mutex_lock(&peer->lock);
        VEC_PUSH(&peer->taken, id);
        pthread_mutex_unlock(&peer->lock);
    } else if (mode == PEER_RETRIES) {
        result = (struct send_result){SEND_RETRY, peer->hint_ms, 0, "connection refused", peer->done};
    } else {
        result = (struct send_result){SEND_REFUSED, 0, 0, "400 malformed", peer->done};
    }
    peer->at_wire--;
    send_done(batch, &result);
    return true;
}

static void on_peer_timer(void *owner)
{
    struct peer *peer = owner;
    for (size_t i = 0; i < peer->held.n;)
        if (answer(peer, peer->held.at[i], false))
            VEC_REMOVE(&peer->held, i);
        else
            i++;
    peer->rounds++;
    timer_start(peer->timer, 5);
}

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    struct peer *peer = wire;
    if (peer->fails_to_open)
        return mg_fail(why, MG_E_FORMAT, "no such peer");
    peer->is_closed = false;
    peer->timer = timer_new(loop, on_peer_timer, peer);
    timer_start(peer->timer, 5);
    return MG_OK;
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct peer *peer = wire;
    peer->at_gate++;
    pthread_mutex_lock(&peer->gate);
    pthread_mutex_unlock(&peer->gate);
    uint64_t id = judge(peer, batch);
    pthread_mutex_lock(&peer->lock);
    struct attempt attempt = {id, batch->number, rig_mono(), peer->mode, batch->done};
    VEC_PUSH(&peer->attempts, attempt);
    pthread_mutex_unlock(&peer->lock);
    size_t at_wire = ++peer->at_wire;
    if (at_wire > peer->at_wire_most)
        peer->at_wire_most = at_wire;
    if (!peer->answers_at_once || !answer(peer, batch, false))
        VEC_PUSH(&peer->held, batch);
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct peer *peer = wire;
    while (peer->held.n > 0)
        (void)answer(peer, VEC_POP(&peer->held), true);
    timer_free(&peer->timer);
    peer->is_closed = true;
    on_closed(owner);
}

void peer_mode(struct peer *peer, enum peer_mode mode)
{
    peer->mode = mode;
}

size_t peer_attempts(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->attempts.n;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

size_t peer_taken(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    size_t n = peer->taken.n;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

size_t peer_times(struct peer *peer, uint64_t id)
{
    size_t n = 0;
    pthread_mutex_lock(&peer->lock);
    for (size_t i = 0; i < peer->taken.n; i++)
        n += peer->taken.at[i] == id;
    pthread_mutex_unlock(&peer->lock);
    return n;
}

struct attempt peer_attempt(struct peer *peer, size_t i)
{
    pthread_mutex_lock(&peer->lock);
    assert_true(i < peer->attempts.n);
    struct attempt attempt = peer->attempts.at[i];
    pthread_mutex_unlock(&peer->lock);
    return attempt;
}

/* --- the items --- */

static _Atomic uint64_t done_count;

static void on_done(struct send_item *item)
{
    struct gift *gift = MG_CONTAINER(item, struct gift, item);
    if (gift->done_rank)
        abort(); /* twice; not the test's thread */
    gift->done_rank = ++done_count;
}

uint32_t gift_spans(uint64_t id)
{
    return (uint32_t)(1 + id % 5);
}

uint64_t gift_spans_of(uint64_t first, uint64_t last)
{
    uint64_t spans = 0;
    for (uint64_t id = first; id <= last; id++)
        spans += gift_spans(id);
    return spans;
}

void gift_init(struct gift *gift, uint64_t id, size_t bytes)
{
    *gift = (struct gift){.id = id, .item = {.spans = bytes ? gift_spans(id) : 0, .position = id * 10, .done = on_done}};
    buf_init(&gift->item.body, SIZE_MAX);
    if (!bytes)
        return;
    buf_printf(&gift->item.body, "%llu;", (unsigned long long)id);
    struct random random;
    random_init(&random, id);
    char *at = buf_extend(&gift->item.body, bytes);
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word = filler(&random, id);
        memcpy(at + i, &word, MG_MIN(bytes - i, sizeof word));
    }
}

void gift_fini(struct gift *gift)
{
    buf_fini(&gift->item.body);
}

struct gift *gifts_new(uint64_t first, size_t n, size_t bytes)
{
    struct gift *gifts = mem_zero(n, sizeof *gifts);
    for (size_t i = 0; i < n; i++)
        gift_init(&gifts[i], first + i, bytes);
    return gifts;
}

void gifts_free(struct gift *gifts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gift_fini(&gifts[i]);
    mem_free(gifts);
}

bool gift_is_done(const struct gift *gift)
{
    return gift->done_rank > 0;
}

/* --- all together --- */

void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    memfs_init(&rig->fs);
    pthread_mutex_init(&rig->peer.lock, NULL);
    pthread_mutex_init(&rig->peer.gate, NULL);
    rig->peer.wire = (struct send_wire){"otlp", ZIP_IDENTITY, on_open, on_send, on_close, &rig->peer};
    rig->peer.zip = zip_new();
    buf_init(&rig->peer.plain, SIZE_MAX);
    rig->conf = (struct send_conf){.queue_bytes = 64 << 20,
                                   .in_flight = 4,
                                   .retry_initial_ns = SECOND,
                                   .retry_max_ns = 30 * SECOND};
    rig->disk_end_ns = 60 * SECOND;
    rig->registry = metric_registry_new();
    rig->metrics = send_metrics_register(rig->registry);
}

void rig_fini(struct rig *rig)
{
    send_close(&rig->send);
    assert_null(rig->send);
    assert_int_equal(rig->fs.open_handles, 0);
    assert_int_equal(rig->peer.at_wire, 0);
    VEC_FINI(&rig->peer.held);
    VEC_FINI(&rig->peer.attempts);
    VEC_FINI(&rig->peer.taken);
    zip_free(&rig->peer.zip);
    buf_fini(&rig->peer.plain);
    pthread_mutex_destroy(&rig->peer.lock);
    pthread_mutex_destroy(&rig->peer.gate);
    metric_registry_free(&rig->registry);
    memfs_fini(&rig->fs);
    rig_clock_runs(false);
}

enum mg_err rig_try_open(struct rig *rig, struct mg_why *why)
{
    const struct send_options options = {.dir = rig->os_dir ? rig->os_dir : "/queue",
                                         .conf = &rig->conf,
                                         .wire = rig->peer.wire,
                                         .metrics = rig->metrics,
                                         .io = rig->os_dir ? NULL : &rig->fs.io,
                                         .mono_ns = rig_mono,
                                         .wall_ns = rig_wall,
                                         .disk_end_ns = rig->disk_end_ns};
    return send_open(&rig->send, &options, why);
}

void rig_start(struct rig *rig)
{
    struct mg_why why = {""};
    if (rig_try_open(rig, &why) != MG_OK || send_start(rig->send, &why) != MG_OK)
        fail_msg("%s", why.text);
}

/* Every later call fails, as if the process were gone; then the files are as they were. What is durable
 * and what is only in the cache makes no difference to a process that dies. */
void rig_crash(struct rig *rig)
{
    pthread_mutex_lock(&rig->fs.lock);
    rig->fs.is_dead = true;
    pthread_mutex_unlock(&rig->fs.lock);
    send_close(&rig->send);
    pthread_mutex_lock(&rig->fs.lock);
    rig->fs.is_dead = false;
    pthread_mutex_unlock(&rig->fs.lock);
    memfs_faults(&rig->fs, 0, 0);
}

void rig_put(struct rig *rig, struct gift *gifts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        send_put(rig->send, &gifts[i].item);
}

void rig_give(struct rig *rig, uint64_t first, size_t n, size_t bytes)
{
    struct gift *gifts = mem_zero(n, sizeof *gifts);
    for (size_t i = 0; i < n; i++)
        gift_init(&gifts[i], first + i, bytes);
    rig_put(rig, gifts, n);
    AWAIT(gift_is_done(&gifts[n - 1]));
    for (size_t i = 0; i < n; i++)
        gift_fini(&gifts[i]);
    mem_free(gifts);
}

struct send_stats rig_stat(struct rig *rig)
{
    struct send_stats stats;
    send_stat(rig->send, &stats);
    return stats;
}

static void rounds(struct rig *rig, uint64_t n)
{
    uint64_t from = rig->peer.rounds;
    AWAIT(rig->peer.rounds >= from + n);
}

/* The peer's timer is on the same loop: 10 of its rounds are over when two ticks of 20 ms are. */
void rig_tick(struct rig *rig)
{
    rounds(rig, 10);
}

static bool is_empty(struct rig *rig)
{
    struct send_stats s = rig_stat(rig);
    uint64_t gone = s.sent_spans + s.refused_spans + s.dropped_full_spans + s.dropped_old_spans + s.dropped_disk_spans;
    return s.queued_batches == 0 && gone >= s.put_spans;
}

/* Figures are as of the last tick: what was done since, after those of a run before had left, is in the next. */
bool rig_is_drained(struct rig *rig)
{
    if (!is_empty(rig))
        return false;
    rig_tick(rig);
    return is_empty(rig);
}

void rig_settle(struct rig *rig)
{
    rig_tick(rig);
    AWAIT(saver_is_idle(rig->send->saver));
    rounds(rig, 2); /* what it wrote is known */
}

uint64_t rig_metric(struct rig *rig, const char *line)
{
    struct buf text;
    struct str rest, row;
    uint64_t value = UINT64_MAX;
    buf_init(&text, 1 << 20);
    metric_write(rig->registry, METRIC_TEXT_0_0_4, &text);
    rest = buf_str(&text);
    while (value == UINT64_MAX && str_cut(&rest, '\n', &row))
        if (str_starts(row, str_of(line)) && row.ptr[strlen(line)] == ' ')
            value = (uint64_t)atof(row.ptr + strlen(line) + 1);
    buf_fini(&text);
    if (value == UINT64_MAX)
        fail_msg("no metric %s", line);
    return value;
}

uint64_t rig_counted(struct rig *rig, const char *outcome)
{
    char line[120];
    snprintf(line, sizeof line, "meshglass_export_spans_total{exporter=\"otlp\",outcome=\"%s\"}", outcome);
    return rig_metric(rig, line);
}
