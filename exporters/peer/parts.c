/* How it works: the parts are moved into a run, which posts the first of them that is left, looks
 * at the answer and goes on or ends. A part is packed when its turn comes, and its memory goes as soon
 * as the client has its copy. */
#include "peer/private.h"
#include <assert.h>
#include "base/mem.h"

struct run {
    struct peer *peer;
    struct peer_post post; /* its texts are copied below */
    struct arena arena;
    struct peer_parts parts;
    size_t next; /* part to be posted */
    uint32_t refused;
    peer_part_fn *judge;
    peer_done_fn *on_done;
    void *owner;
};

void peer_parts_fini(struct peer_parts *parts)
{
    for (size_t i = 0; i < parts->list.n; i++)
        buf_fini(&parts->list.at[i].body);
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

    buf_put_text(&part->body, part->items ? parts->between : parts->open);
    buf_put_str(&part->body, item);
    part->items++;
}

/* --- sending --- */

static void run_end(struct run *run, const struct send_result *result)
{
    peer_done_fn *on_done = run->on_done;
    void *owner = run->owner;
    struct send_result whole = *result;

    whole.refused_spans = whole.verdict == SEND_TAKEN ? run->refused : 0;
    on_done(owner, &whole, NULL);
    peer_parts_fini(&run->parts);
    arena_fini(&run->arena);
    mem_free(run);
}

static void run_go(struct run *run);

static void on_part(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct run *run = owner;
    struct send_result judged = *result;

    if (judged.verdict == SEND_TAKEN && run->judge)
        run->judge(run->owner, answer, run->parts.list.at[run->next].items, &judged);
    run->refused += judged.refused_spans;
    run->next++;
    if (judged.verdict == SEND_TAKEN && run->next < run->parts.list.n)
        run_go(run);
    else
        run_end(run, &judged);
}

/* Level 0 is the library's fast default. */
static void pack(struct zip *zip, struct buf *body)
{
    struct buf packed;

    buf_init(&packed, SIZE_MAX);
    enum mg_err err = zip_deflate(zip, ZIP_GZIP, 0, buf_str(body), &packed);
    assert(err == MG_OK); /* nothing can be larger than that limit */
    buf_fini(body);
    *body = packed;
}

static void run_go(struct run *run)
{
    struct buf body = run->parts.list.at[run->next].body;

    run->parts.list.at[run->next].body = (struct buf){0};
    if (run->parts.zip)
        pack(run->parts.zip, &body);
    run->post.body = buf_str(&body);
    peer_call(run->peer, &run->post, on_part, run); /* the run may be gone behind it */
    buf_fini(&body);
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
