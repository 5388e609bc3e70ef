/* How it works: the parts are moved into a run, which posts the first of them that is left, looks
 * at the answer and goes on or ends. A part is packed when its turn comes, and stays until it is taken: it
 * may have to be cut in two. */
#include "peer/private.h"
#include <assert.h>
#include "base/mem.h"

enum { PART_BYTES_LEAST = 64 << 10 };

struct run {
    struct peer *peer;
    struct peer_post post; /* its texts are copied below */
    struct arena arena;
    struct peer_parts parts;
    size_t next; /* part to be posted */
    uint32_t refused;
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

void peer_parts_add(struct peer_parts *parts, struct str item)
{
    struct peer_part *part = part_for(parts, item.len);

    buf_put_text(&part->body, part->ends.n ? parts->between : parts->open);
    buf_put_str(&part->body, item);
    VEC_PUSH(&part->ends, part->body.len);
}

/* The second half of the items of part i, which has more than one, becomes part i + 1. */
static void part_halve(struct peer_parts *parts, size_t i)
{
    (void)VEC_ADD(&parts->list);
    struct peer_part *part = &parts->list.at[i], *half = part + 1;
    size_t keep = part->ends.n / 2, end = part->ends.at[keep - 1];
    size_t from = end + strlen(parts->between), by = from - strlen(parts->open);

    memmove(half + 1, half, (parts->list.n - i - 2) * sizeof *half);
    *half = (struct peer_part){0};
    buf_init(&half->body, SIZE_MAX);
    buf_put_text(&half->body, parts->open);
    buf_put_str(&half->body, str_n(part->body.ptr + from, part->body.len - from));
    for (size_t j = keep; j < part->ends.n; j++)
        VEC_PUSH(&half->ends, part->ends.at[j] - by);
    part->ends.n = keep;
    part->body.len = end;
    buf_put_text(&part->body, parts->close);
}

/* --- sending --- */

static void run_end(struct run *run, const struct send_result *result)
{
    peer_done_fn *on_done = run->on_done;
    void *owner = run->owner;
    struct send_result whole = *result;

    whole.refused_spans = whole.verdict == SEND_TAKEN ? run->refused : 0;
    if (whole.refused_spans && run->reason.text[0])
        whole.reason = run->reason.text;
    on_done(owner, &whole, NULL);
    peer_parts_fini(&run->parts);
    arena_fini(&run->arena);
    mem_free(run);
}

static void run_go(struct run *run);

/* The limit is a quarter less, not half of it: halves of other parts may be a little longer than this one's. */
static void run_halve(struct run *run)
{
    size_t bytes = run->parts.list.at[run->next].body.len;

    *peer_part_most(run->peer) = MG_MAX(bytes / 4 * 3, (size_t)PART_BYTES_LEAST);
    part_halve(&run->parts, run->next);
}

/* An item that is too large alone. */
static struct send_result leave_out(struct run *run, const struct send_result *refusal)
{
    (void)mg_fail(&run->reason, MG_E_TOO_BIG, "%s", refusal->reason); /* returns err */
    return (struct send_result){.verdict = SEND_TAKEN, .refused_spans = 1};
}

static bool is_too_large(const struct send_result *result, const struct http_answer *answer)
{
    return result->verdict == SEND_REFUSED && answer && answer->status == mg_err_http(MG_E_TOO_BIG);
}

static void on_part(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct run *run = owner;
    struct peer_part *part = &run->parts.list.at[run->next];
    struct send_result judged = *result;

    if (is_too_large(result, answer) && part->ends.n > 1) {
        run_halve(run);
        run_go(run);
        return;
    }
    if (is_too_large(result, answer))
        judged = leave_out(run, result);
    else if (judged.verdict == SEND_TAKEN && run->judge)
        run->judge(run->owner, answer, (uint32_t)part->ends.n, &judged);
    run->refused += judged.refused_spans;
    part_fini(part);
    run->next++;
    if (judged.verdict == SEND_TAKEN && run->next < run->parts.list.n)
        run_go(run);
    else
        run_end(run, &judged);
}

static void pack(struct zip *zip, struct str body, struct buf *packed)
{
    buf_init(packed, SIZE_MAX);
    enum mg_err err = zip_deflate(zip, ZIP_GZIP, body, packed);
    assert(err == MG_OK); /* nothing can be larger than that limit */
}

static void run_go(struct run *run)
{
    const struct peer_parts *parts = &run->parts;
    struct buf packed = {0};

    while (parts->list.at[run->next].ends.n > 1 &&
           parts->list.at[run->next].body.len > *peer_part_most(run->peer))
        part_halve(&run->parts, run->next);
    run->post.body = buf_str(&parts->list.at[run->next].body);
    if (parts->zip) {
        pack(parts->zip, run->post.body, &packed);
        run->post.body = buf_str(&packed);
    }
    peer_call(run->peer, &run->post, on_part, run); /* the run may be gone behind it */
    buf_fini(&packed);
}

static void post_copy(struct run *run, const struct peer_post *post)
{
    run->post = *post;
    run->post.path = arena_str(&run->arena, post->path);
    run->post.content_type = arena_str(&run->arena, post->content_type);
    run->post.encoding = run->parts.zip ? str_of(zip_kind_name(ZIP_GZIP)) : arena_str(&run->arena, post->encoding);
}

void peer_send_parts(struct peer *peer, const struct peer_post *post, struct peer_parts *parts,
                     peer_part_fn *judge, peer_done_fn *on_done, void *owner)
{
    struct run *run = MEM_NEW(struct run);

    *run = (struct run){
        .peer = peer, .parts = *parts, .judge = judge, .on_done = on_done, .owner = owner};
    *parts = (struct peer_parts){0};
    post_copy(run, post);
    if (run->parts.list.n == 0) {
        run_end(run, &(struct send_result){.verdict = SEND_TAKEN});
        return;
    }
    buf_put_text(&run->parts.list.at[run->parts.list.n - 1].body, run->parts.close);
    run_go(run);
}
