/* why.c - see why.h. The job owns all it needs; the answer is small, but its reader may be slow, which must not cost a place among
 * the queries. */
#include "api/admin/why.h"
#include "api/admin/admin.h"
#include "api/admin/private.h"
#include "base/mem.h"
#include "query/query.h"
#include "row/outcome.h"

#define ANSWER_BYTES_MAX ((size_t)16 << 20) /* 16 decisions with a vote of each of 200 policies are under 2 MiB */

/* --- the answer -------------------------------------------------------------------------------------- */

static void put_votes(struct json_writer *w, const struct query_decision *decision)
{
    json_key_text(w, "votes");
    json_array(w);
    for (size_t i = 0; decision && i < decision->n_votes; i++) {
        json_object(w);
        json_key_text(w, "policy");
        json_put_str(w, str_of(decision->votes[i].policy));
        json_key_text(w, "vote");
        json_put_str(w, str_of(vote_name(decision->votes[i].vote)));
        json_object_end(w);
    }
    json_array_end(w);
}

/* NULL: nothing is decided. */
static void put_members(struct json_writer *w, const struct query_decision *decision)
{
    static const struct query_decision nothing = { .policy = "" };
    const struct query_decision *d = decision ? decision : &nothing;

    json_key_text(w, "reason");
    json_put_str(w, str_of(reason_name(d->outcome.reason)));
    json_key_text(w, "policy");
    json_put_str(w, str_of(d->policy));
    json_key_text(w, "probability");
    if (decision)
        json_put_double(w, ot_probability_shown(d->outcome.threshold));
    else
        json_put_null(w);
    json_key_text(w, "estimate");
    json_put_bool(w, d->outcome.is_estimate);
    json_key_text(w, "rules");
    json_put_u64(w, d->outcome.rules);
    json_key_text(w, "time");
    admin_put_time(w, d->wall_ns);
    json_key_text(w, "trigger");
    json_put_str(w, d->outcome.trigger ? str_of(trigger_name(d->outcome.trigger)) : STR(""));
    put_votes(w, decision);
}

static void put_decision(struct json_writer *w, const struct query_decision *decision)
{
    json_object(w);
    json_key_text(w, "decision");
    json_put_str(w, decision->outcome.verdict == VERDICT_DROPPED ? STR("dropped") : STR("kept"));
    put_members(w, decision);
    json_key_text(w, "spans");
    if (decision->spans)
        json_put_u64(w, decision->spans);
    else
        json_put_null(w);
    json_object_end(w);
}

/* The newest one with the verdict that counts, rather than those of late spans, which only follow it and were not voted about; NULL: none. */
static const struct query_decision *decisive(const struct query_why *why)
{
    enum verdict verdict = why->state == WHY_KEPT ? VERDICT_KEPT : VERDICT_DROPPED;

    if (why->state != WHY_KEPT && why->state != WHY_DROPPED)
        return NULL;
    const struct query_decision *follower = NULL;
    for (size_t i = 0; i < why->n; i++) {
        if (why->decisions[i].outcome.verdict != verdict)
            continue;
        if (why->decisions[i].outcome.trigger != TRIGGER_LATE)
            return &why->decisions[i];
        follower = follower ? follower : &why->decisions[i];
    }
    return follower;
}

void admin_put_why(struct json_writer *w, const uint8_t id[16], const struct query_why *why)
{
    static const char *const states[] = { [WHY_UNKNOWN] = "unknown", [WHY_PENDING] = "pending", [WHY_DROPPED] = "dropped", [WHY_KEPT] = "kept" };

    json_object(w);
    json_key_text(w, "trace_id");
    json_put_hex(w, id, 16);
    json_key_text(w, "decision");
    json_put_str(w, str_of(states[why->state]));
    put_members(w, decisive(why));
    json_key_text(w, "waiting");
    json_put_bool(w, why->is_waiting);
    json_key_text(w, "more");
    json_put_bool(w, why->is_cut);
    json_key_text(w, "decisions");
    json_array(w);
    for (size_t i = 0; i < why->n; i++)
        put_decision(w, &why->decisions[i]);
    json_array_end(w);
    json_object_end(w);
}

/* --- the job ----------------------------------------------------------------------------------------- */

struct why_job {
    struct query_job query; /* first */
    struct http_pipe *pipe;
    uint8_t id[16];
    bool is_pretty;
};

static bool is_gone(const struct query_job *query)
{
    return http_pipe_is_gone(((const struct why_job *)query)->pipe);
}

static enum mg_err make_answer(struct why_job *job, struct query *query, struct buf *body, struct mg_why *why)
{
    struct query_why found;
    struct json_writer w;

    MG_TRY(query_why(query, job->id, &found, why));
    json_writer_init(&w, body, job->is_pretty ? 4 : 0);
    admin_put_why(&w, job->id, &found);
    return buf_err(body);
}

static void run(struct query_job *query_job, struct query *query)
{
    struct why_job *job = MG_CONTAINER(query_job, struct why_job, query);
    struct mg_why why = { "" };
    struct buf body;

    buf_init(&body, ANSWER_BYTES_MAX);
    enum mg_err err = make_answer(job, query, &body, &why);
    if (err == MG_OK) {
        query_pause(query);
        http_pipe_head(job->pipe, 200, "application/json");
        err = http_pipe_write(job->pipe, &body);
        query_resume(query);
    }
    http_pipe_end(&job->pipe, err, str_of(why.text));
    buf_fini(&body);
    mem_free(job);
}

void admin_on_why(void *owner, struct http_request *request)
{
    struct admin *admin = owner;
    struct str text = STR("");
    uint8_t id[16];

    (void)http_request_param(request, "id", &text); /* the route has it */
    if (!trace_id_parse(text, id)) {
        http_respond_error(request, MG_E_FORMAT, STR("this is no trace id: it has 1 to 32 hexadecimal digits, not all of them 0"), 0);
        return;
    }
    struct why_job *job = MEM_NEW(struct why_job);
    job->query = (struct query_job){ .name = "why", .run = run, .is_gone = is_gone };
    memcpy(job->id, id, sizeof job->id);
    job->is_pretty = admin_wants_pretty(request);
    job->pipe = http_pipe_new(request, 0);
    enum mg_err err = query_submit(admin->queries, &job->query);
    if (err == MG_OK)
        return;
    http_pipe_end(&job->pipe, err, STR("too many queries are waiting, try again later"));
    mem_free(job);
}
