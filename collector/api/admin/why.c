/* why.c - see why.h. */
#include "api/admin/why.h"
#include "api/admin/admin.h"
#include "api/admin/private.h"
#include "api/answer/answer.h"
#include "base/mem.h"
#include "row/outcome.h"

#define ANSWER_BYTES_MAX (2 << 20) /* 16 decisions with a vote of each of 200 policies are less */

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
    struct query_answer answer; /* first */
    uint8_t id[16];
    bool is_pretty;
};

static enum mg_err produce(struct query_answer *answer, struct query *query, struct mg_why *why)
{
    struct why_job *job = MG_CONTAINER(answer, struct why_job, answer);
    struct query_why found;
    struct json_writer w;

    MG_TRY(query_why(query, job->id, &found, why));
    json_writer_init(&w, &answer->out, job->is_pretty ? 4 : 0);
    admin_put_why(&w, job->id, &found);
    return MG_OK;
}

static void release(struct query_answer *answer)
{
    query_answer_fini(answer);
    mem_free(MG_CONTAINER(answer, struct why_job, answer));
}

void admin_on_why(void *owner, struct http_request *request)
{
    static const struct query_answer_options options = {
        .name = "why", .produce = produce, .release = release, .memory_max = ANSWER_BYTES_MAX
    };
    struct admin *admin = owner;
    struct why_job *job = MEM_NEW(struct why_job);
    struct str text = STR("");
    struct mg_why why;

    (void)http_request_param(request, "id", &text); /* the route has it */
    query_answer_init(&job->answer, &options);
    job->is_pretty = admin_wants_pretty(request);
    enum mg_err err = MG_OK;
    if (!trace_id_parse(text, job->id))
        err = mg_fail(&why, MG_E_FORMAT, "this is no trace id: it has 1 to 32 hexadecimal digits, not all of them 0");
    query_answer_start(&job->answer, admin->queries, request, err, &why);
}
