/* How it works: the parts are moved into a run, which posts the first of them that is left, looks
 * at the answer and goes on or ends. A part is packed when its turn comes, and stays until it is taken: it
 * may have to be cut in two. A whole request is the only part at first, and unpacked when it is cut. */
#include "peer/private.h"
#include <assert.h>
#include "base/mem.h"

enum { PART_BYTES_LEAST = 64 << 10, UNPACKED_BYTES_MAX = 1 << 30 };

struct run {
    struct peer *peer;
    struct peer_post post; /* its texts are copied below */
    struct arena arena;
    struct peer_parts parts;
    size_t next; /* part to be posted */
    struct mg_why reason; /* of the last item that was too large; "" */
    peer_part_fn *judge;
    peer_done_fn *on_done;
    void *owner;
};

static void part_fini(struct peer_part *part)
{
    buf_fini(&part->body);
    VEC_FINI(&part->ends);
}

void peer_parts_fini(struct peer_parts *parts)
{
    for (size_t i = 0; i < parts->list.n; i++)
        part_fini(&parts->list.at[i]);
    VEC_FINI(&parts->list);
}

/* The item and everything around it fits into part_bytes, or it is alone. */
static struct peer_part *part_for(struct peer_parts *parts, size_t bytes)
{
    size_t around = strlen(parts->between) + strlen(parts->close);

    if (parts->list.n) {
        struct peer_part *last = &parts->list.at[parts->list.n - 1];
        if (last->body.len + around + bytes <= parts->part_bytes)
            return last;
        buf_put_text(&last->body, parts->close);
    }
    struct peer_part *part = VEC_ADD(&parts->list);
    buf_init(&part->body, SIZE_MAX); /* an item is bounded by its maker, a part by part_bytes */
    return part;
}

void peer_parts_whole(struct peer_parts *parts, struct str packed, uint32_t items)
{
    struct peer_part *part = VEC_ADD(&parts->list);

    assert(parts->list.n == 1 && parts->cut);
    part->packed = packed;
    part->n = items;
    buf_init(&part->body, UNPACKED_BYTES_MAX);
}

void peer_parts_add(struct peer_parts *parts, struct str item)
{
    struct peer_part *part = part_for(parts, item.len);

    buf_put_text(&part->body, part->n ? parts->between : parts->open);
    buf_put_str(&part->body, item);
    VEC_PUSH(&part->ends, part->body.len);
    part->n++;
}

/* --- cutting --- */

static size_t part_bytes(const struct peer_parts *parts, const struct peer_part *part)
{
    return part->packed.len ? zip_bound(parts->encoding, part->packed, UNPACKED_BYTES_MAX) : part->body.len;
}

static enum mg_err part_unpack(struct peer_parts *parts, struct peer_part *part)
{
    if (part->packed.len)
        MG_TRY(zip_inflate(parts->zip, parts->encoding, part->packed, UNPACKED_BYTES_MAX, &part->body, NULL));
    part->packed = STR("");
    return MG_OK;
}

/* The rest of the text goes into `tail`. */
static void text_cut(const struct peer_parts *parts, struct peer_part *part, uint32_t keep, struct peer_part *tail)
{
    size_t end = part->ends.at[keep - 1];
    size_t from = end + strlen(parts->between), by = from - strlen(parts->open);

    buf_put_text(&tail->body, parts->open);
    buf_put_str(&tail->body, str_n(part->body.ptr + from, part->body.len - from));
    for (size_t i = keep; i < part->ends.n; i++)
        VEC_PUSH(&tail->ends, part->ends.at[i] - by);
    part->ends.n = keep;
    part->body.len = end;
    buf_put_text(&part->body, parts->close);
}

static enum mg_err whole_cut(const struct peer_parts *parts, struct peer_part *part, uint32_t keep, struct peer_part *tail)
{
    struct buf head;

    buf_init(&head, SIZE_MAX);
    enum mg_err err = parts->cut(buf_str(&part->body), 0, keep, &head);
    if (err == MG_OK)
        err = parts->cut(buf_str(&part->body), keep, SIZE_MAX, &tail->body);
    if (err != MG_OK) {
        buf_fini(&head);
        return err;
    }
    buf_fini(&part->body);
    part->body = head;
    return MG_OK;
}

static void part_insert(struct peer_parts *parts, size_t i, const struct peer_part *part)
{
    (void)VEC_ADD(&parts->list);
    struct peer_part *at = &parts->list.at[i];

    memmove(at + 1, at, (parts->list.n - i - 1) * sizeof *at);
    *at = *part;
}

/* The items of part i behind its first `keep` become part i + 1. E_FORMAT: it cannot be cut, and is as it was. */
static enum mg_err part_cut(struct peer_parts *parts, size_t i, uint32_t keep)
{
    struct peer_part *part = &parts->list.at[i], tail = {.n = part->n - keep};
    enum mg_err err = part_unpack(parts, part);

    buf_init(&tail.body, SIZE_MAX);
    if (err == MG_OK && parts->cut)
        err = whole_cut(parts, part, keep, &tail);
    else if (err == MG_OK)
        text_cut(parts, part, keep, &tail);
    if (err != MG_OK) {
        part_fini(&tail);
        return err;
    }
    part->n = keep;
    part_insert(parts, i + 1, &tail);
    return MG_OK;
}

/* --- sending --- */

static void run_end(struct run *run, const struct send_result *result)
{
    peer_done_fn *on_done = run->on_done;
    void *owner = run->owner;
    struct send_result whole = *result;

    whole.done = run->parts.done;
    whole.refused_spans = whole.verdict == SEND_TAKEN ? whole.done.refused : 0;
    if (whole.refused_spans && run->reason.text[0])
        whole.reason = run->reason.text;
    on_done(owner, &whole, NULL);
    peer_parts_fini(&run->parts);
    arena_fini(&run->arena);
    mem_free(run);
}

static void run_go(struct run *run);

/* False: it cannot be cut. */
static bool part_halve(struct run *run)
{
    uint32_t n = run->parts.list.at[run->next].n;

    return n > 1 && part_cut(&run->parts, run->next, n / 2) == MG_OK;
}

/* The limit is a quarter less, not half of it: halves of other parts may be a little longer than this one's. It never rises: another run
 * may have met a lower one meanwhile. */
static bool run_halve(struct run *run)
{
    struct peer_part *part = &run->parts.list.at[run->next];

    if (part->n < 2 || part_unpack(&run->parts, part) != MG_OK)
        return false;
    size_t bytes = part->body.len;
    if (!part_halve(run))
        return false;
    size_t *most = peer_part_most(run->peer);
    *most = MG_MIN(*most, MG_MAX(bytes / 4 * 3, (size_t)PART_BYTES_LEAST));
    return true;
}

/* An item that is too large alone. */
static struct send_result leave_out(struct run *run, const struct send_result *refusal, uint32_t items)
{
    (void)mg_fail(&run->reason, MG_E_TOO_BIG, "%s", refusal->reason); /* returns err */
    return (struct send_result){.verdict = SEND_TAKEN, .refused_spans = items};
}

static void on_part(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct run *run = owner;
    struct send_progress *done = &run->parts.done;
    struct send_result judged = *result;
    bool is_too_large = result->verdict == SEND_REFUSED && answer && judge_is_too_large(answer);

    if (is_too_large && run_halve(run)) {
        run_go(run);
        return;
    }
    struct peer_part *part = &run->parts.list.at[run->next];
    if (is_too_large)
        judged = leave_out(run, result, part->n);
    else if (judged.verdict == SEND_TAKEN && run->judge)
        run->judge(run->owner, answer, part->n, &judged);
    if (judged.verdict == SEND_TAKEN) {
        done->spans += part->n;
        done->refused += MG_MIN(judged.refused_spans, part->n);
    }
    part_fini(part);
    run->next++;
    if (judged.verdict == SEND_TAKEN && run->next < run->parts.list.n)
        run_go(run);
    else
        run_end(run, &judged);
}

/* As it goes; what has to be packed for that is in `packed`. */
static struct str part_body(const struct peer_parts *parts, const struct peer_part *part, struct buf *packed)
{
    if (part->packed.len)
        return part->packed;
    if (parts->encoding == ZIP_IDENTITY)
        return buf_str(&part->body);
    buf_init(packed, SIZE_MAX);
    enum mg_err err = zip_deflate(parts->zip, parts->encoding, buf_str(&part->body), packed);
    assert(err == MG_OK); /* nothing can be larger than that limit */
    return buf_str(packed);
}

static void run_go(struct run *run)
{
    const struct peer_parts *parts = &run->parts;
    struct buf packed = {0};

    while (part_bytes(parts, &parts->list.at[run->next]) > *peer_part_most(run->peer) && part_halve(run))
        ;
    run->post.body = part_body(parts, &parts->list.at[run->next], &packed);
    peer_call(run->peer, &run->post, on_part, run); /* the run may be gone behind it */
    buf_fini(&packed);
}

static void post_copy(struct run *run, const struct peer_post *post)
{
    run->post = *post;
    run->post.path = arena_str(&run->arena, post->path);
    run->post.content_type = arena_str(&run->arena, post->content_type);
    run->post.encoding = run->parts.encoding == ZIP_IDENTITY ? STR("") : str_of(zip_kind_name(run->parts.encoding));
}

/* Leaves out what an earlier attempt has the answer to. What cannot be cut there is sent again. */
static void run_skip(struct run *run)
{
    uint32_t left = run->parts.done.spans;

    for (; left && run->next < run->parts.list.n && left >= run->parts.list.at[run->next].n; run->next++) {
        left -= run->parts.list.at[run->next].n;
        part_fini(&run->parts.list.at[run->next]);
    }
    if (left == 0 || run->next == run->parts.list.n)
        return;
    if (part_cut(&run->parts, run->next, left) == MG_OK)
        part_fini(&run->parts.list.at[run->next++]);
    else
        run->parts.done.spans -= left;
}

void peer_send_parts(struct peer *peer, const struct peer_post *post, struct peer_parts *parts,
                     peer_part_fn *judge, peer_done_fn *on_done, void *owner)
{
    struct run *run = MEM_NEW(struct run);

    *run = (struct run){
        .peer = peer, .parts = *parts, .judge = judge, .on_done = on_done, .owner = owner};
    *parts = (struct peer_parts){0};
    post_copy(run, post);
    if (run->parts.list.n && !run->parts.cut)
        buf_put_text(&run->parts.list.at[run->parts.list.n - 1].body, run->parts.close);
    run_skip(run);
    if (run->next == run->parts.list.n)
        run_end(run, &(struct send_result){.verdict = SEND_TAKEN});
    else
        run_go(run);
}
