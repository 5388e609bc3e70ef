#include "postbox.h"
#include <errno.h>
#include "base/mem.h"
#include "send/record.h"

static void take(struct postbox *box, struct send_batch *batch)
{
    struct post post = { .spans = batch->spans };

    buf_init(&post.body, SIZE_MAX);
    buf_put_str(&post.body, batch->body);
    VEC_PUSH(&box->posts, post);
}

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    (void)wire, (void)loop, (void)why;
    return MG_OK;
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct postbox *box = wire;
    bool is_mute;

    pthread_mutex_lock(&box->lock);
    is_mute = box->is_mute;
    if (is_mute)
        VEC_PUSH(&box->held, batch);
    else
        take(box, batch);
    pthread_mutex_unlock(&box->lock);
    if (!is_mute)
        send_done(batch, &(struct send_result){ .verdict = SEND_TAKEN });
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct postbox *box = wire;

    while (box->held.n > 0)
        send_done(VEC_POP(&box->held), &(struct send_result){ .verdict = SEND_RETRY, .reason = "mute" });
    on_closed(owner);
}

static long on_pwritev(void *ctx, int fd, const void *vectors, int n, int64_t offset)
{
    struct postbox *box = MG_CONTAINER(ctx, struct postbox, fs);

    if (!box->does_refuse)
        return box->fs.io.pwritev(ctx, fd, vectors, n, offset);
    errno = EIO;
    return -1;
}

void postbox_init(struct postbox *box)
{
    *box = (struct postbox){ .conf = { .take = SEND_KEPT, .queue_bytes = 256 << 20, .batch_spans = 8192, .in_flight = 4,
                                       .timeout_ns = UINT64_C(10000000000), .retry_initial_ns = UINT64_C(1000000000),
                                       .retry_max_ns = UINT64_C(30000000000) } };
    memfs_init(&box->fs);
    box->io = box->fs.io;
    box->io.pwritev = on_pwritev;
    pthread_mutex_init(&box->lock, NULL);
}

void postbox_fini(struct postbox *box)
{
    postbox_close(box);
    postbox_clear(box);
    VEC_FINI(&box->posts);
    VEC_FINI(&box->held);
    pthread_mutex_destroy(&box->lock);
    memfs_fini(&box->fs);
}

void postbox_open(struct postbox *box, struct metric_set *metrics, unsigned label)
{
    const struct send_options options = { .dir = "/queue", .conf = &box->conf,
                                          .wire = { "postbox", ZIP_IDENTITY, on_open, on_send, on_close, box },
                                          .metrics = metrics, .label = label, .io = &box->io,
                                          .disk_end_ns = UINT64_C(60000000000) }; /* a thread that gets no processor is not a disk that hangs */
    struct mg_why why = { "" };

    if (send_open(&box->send, &options, &why) != MG_OK)
        fail_msg("%s", why.text);
}

void postbox_start(struct postbox *box)
{
    struct mg_why why = { "" };

    postbox_refuse(box, false);
    if (send_start(box->send, &why) != MG_OK)
        fail_msg("%s", why.text);
    postbox_refuse(box, box->starts_refusing);
}

void postbox_stop(struct postbox *box)
{
    send_stop(box->send, box->is_mute ? 0 : 10000);
}

void postbox_close(struct postbox *box)
{
    send_close(&box->send);
}

void postbox_refuse(struct postbox *box, bool does_refuse)
{
    box->does_refuse = does_refuse;
}

void postbox_crash(struct postbox *box)
{
    postbox_refuse(box, true);
    postbox_close(box);
    postbox_refuse(box, false);
}

struct notes { struct noted *at; size_t n, most; };

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct notes *notes = owner;
    struct record_meta meta;

    assert_int_equal(record_meta_read(record->head, &meta, NULL), MG_OK);
    assert_true(notes->n < notes->most);
    notes->at[notes->n++] = (struct noted){ meta.position, meta.spans };
    return MG_OK;
}

size_t postbox_noted(struct postbox *box, struct noted *out, size_t most)
{
    struct notes notes = { .at = out, .most = most };
    struct journal *journal = NULL;
    struct mg_why why = { "" };

    if (journal_open(&journal, &(struct journal_options){ .dir = "/queue", .io = &box->io }, &why) != MG_OK ||
        journal_replay(journal, 0, on_record, &notes, &why) != MG_OK)
        fail_msg("%s", why.text);
    journal_close(&journal);
    return notes.n;
}

size_t postbox_posts(struct postbox *box)
{
    size_t n;

    pthread_mutex_lock(&box->lock);
    n = box->posts.n;
    pthread_mutex_unlock(&box->lock);
    return n;
}

uint64_t postbox_spans(struct postbox *box)
{
    uint64_t spans = 0;

    pthread_mutex_lock(&box->lock);
    for (size_t i = 0; i < box->posts.n; i++)
        spans += box->posts.at[i].spans;
    pthread_mutex_unlock(&box->lock);
    return spans;
}

struct post postbox_post(struct postbox *box, size_t i)
{
    struct post post;

    pthread_mutex_lock(&box->lock);
    assert_true(i < box->posts.n);
    post = box->posts.at[i];
    pthread_mutex_unlock(&box->lock);
    return post;
}

void postbox_clear(struct postbox *box)
{
    pthread_mutex_lock(&box->lock);
    for (size_t i = 0; i < box->posts.n; i++)
        buf_fini(&box->posts.at[i].body);
    VEC_CLEAR(&box->posts);
    pthread_mutex_unlock(&box->lock);
}
