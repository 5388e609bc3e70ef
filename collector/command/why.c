/* why.c - `why TRACE_ID`: what a running instance knows of its decisions about a trace. An id that nobody knows is an
 * answer too; only what is no id, or no answer, is a failure. */
#include "command/why.h"
#include "codec/json.h"
#include "command/column.h"
#include "command/show.h"
#include "command/table.h"
#include "row/outcome.h"

/* --- sentences --------------------------------------------------------------------------------------- */

/* The name of the policy or class comes between the two. */
static const struct { const char *before, *behind; } reasons[] = {
    [REASON_NONE] = { "sampling was off: everything is kept", NULL },
    [REASON_NO_RULES] = { "no policy is configured: everything is kept", NULL },
    [REASON_POLICY] = { "the policy ", " sampled it" },
    [REASON_NO_POLICY] = { "no policy sampled it", NULL },
    [REASON_DROP] = { "the drop policy ", " matched" },
    [REASON_INVERTED] = { "an inverted condition of the policy ", " matched" },
    [REASON_CLASS] = { "it is of the class ", ", which is sampled at a rate of its own" },
    [REASON_CLASS_ERROR] = { "it is of the class ", ", and has an error" },
    [REASON_FLOOR_ERROR] = { "it has an error, and the floor keeps those within its budget", NULL },
    [REASON_FLOOR_SLOW] = { "it is one of the slowest of its operation, and the floor keeps those within its budget", NULL },
    [REASON_FLOOR_NEW] = { "it is the first of a new operation, and the floor keeps those within its budget", NULL },
    [REASON_OVERLOAD] = { "the collector was overloaded, and gave up a share of the traces by their ids", NULL },
};
static const char *const triggers[] = {
    [TRIGGER_ROOT] = "its root had been seen, and sampling.root_grace had passed",
    [TRIGGER_DEADLINE] = "sampling.decision_wait had passed since its first span",
    [TRIGGER_EARLY] = "early: it had too many spans, or memory was short",
    [TRIGGER_LATE] = "its spans came after a decision, which they follow",
    [TRIGGER_FIRST_MATCH] = "at once, because a policy matched (sampling.sample_on_first_match)",
};

static void put_name(struct buf *out, struct str name)
{
    if (name.len == 0) {
        buf_put_text(out, "(whose name is not known any more)");
        return;
    }
    buf_put_char(out, '\'');
    column_put(out, name, 0);
    buf_put_char(out, '\'');
}

static void put_reason(struct buf *out, const struct json *decision)
{
    struct str reason = json_str(json_get(decision, "reason"));
    size_t i = 0;

    while (i < MG_COUNT(reasons) && !str_eq(reason, str_of(reason_name((enum reason)i))))
        i++;
    if (i == MG_COUNT(reasons)) { /* of a newer collector */
        column_put(out, reason, 0);
        return;
    }
    buf_put_text(out, reasons[i].before);
    if (!reasons[i].behind)
        return;
    put_name(out, json_str(json_get(decision, "policy")));
    buf_put_text(out, reasons[i].behind);
}

static void put_trigger(struct buf *out, struct str trigger)
{
    for (size_t i = 1; i < MG_COUNT(triggers); i++)
        if (str_eq(trigger, str_of(trigger_name((enum trigger)i)))) {
            buf_put_text(out, triggers[i]);
            return;
        }
    column_put(out, trigger, 0);
}

/* What the decision's name is the name of. */
static const char *named_kind(const struct json *decision)
{
    struct str reason = json_str(json_get(decision, "reason"));
    bool is_class = str_eq(reason, str_of(reason_name(REASON_CLASS))) || str_eq(reason, str_of(reason_name(REASON_CLASS_ERROR)));

    return is_class ? "class" : "policy";
}

static size_t count(const struct json *list)
{
    return list ? json_count(list) : 0;
}

/* --- lines ------------------------------------------------------------------------------------------- */

static void put_label(struct buf *out, const char *label)
{
    buf_printf(out, "%-12s ", label);
}

static void put_text(struct buf *out, const char *label, struct str text)
{
    if (text.len == 0)
        return;
    put_label(out, label);
    column_put(out, text, 0);
    buf_put_char(out, '\n');
}

static void put_probability(struct buf *out, const struct json *decision)
{
    double probability = json_number(json_get(decision, "probability"));

    put_label(out, "probability");
    buf_printf(out, "%.6g", probability);
    if (json_bool(json_get(decision, "estimate")))
        buf_put_text(out, ", as measured");
    if (probability > 0 && probability < 1)
        buf_printf(out, " (one in about %.4g such traces is kept)", 1 / probability);
    buf_put_char(out, '\n');
}

static void put_votes(struct buf *out, const struct json *votes)
{
    size_t width = strlen("POLICY");

    if (count(votes) == 0)
        return;
    for (size_t i = 0; i < count(votes); i++)
        width = MG_MAX(width, column_width(json_str(json_get(json_at(votes, i), "policy"))));
    buf_put_char(out, '\n');
    column_put(out, STR("POLICY"), width + 2);
    buf_put_text(out, "SAID\n");
    for (size_t i = 0; i < count(votes); i++) {
        const struct json *vote = json_at(votes, i);
        struct str said = json_str(json_get(vote, "vote"));
        column_put(out, json_str(json_get(vote, "policy")), width + 2);
        column_put(out, str_eq(said, str_of(vote_name(VOTE_NOT_ASKED))) ? STR("(not asked)") : said, 0);
        buf_put_char(out, '\n');
    }
}

static void put_decided(struct buf *out, const struct json *root)
{
    int64_t rules = json_int(json_get(root, "rules"));
    struct str trigger = json_str(json_get(root, "trigger"));

    put_label(out, "reason");
    put_reason(out, root);
    buf_put_char(out, '\n');
    put_text(out, named_kind(root), json_str(json_get(root, "policy")));
    put_probability(out, root);
    if (rules > 0)
        buf_printf(out, "%-12s generation %lld\n", "rules", (long long)rules);
    put_text(out, "time", json_str(json_get(root, "time")));
    if (trigger.len) {
        put_label(out, "decided when");
        put_trigger(out, trigger);
        buf_put_char(out, '\n');
    }
    if (json_bool(json_get(root, "waiting")))
        put_text(out, "late spans", STR("some wait to follow it"));
    put_votes(out, json_get(root, "votes"));
}

/* One line a decision. */
static void put_history(struct buf *out, const struct json *decisions)
{
    buf_put_text(out, "\nAll decisions, newest first:\n");
    for (size_t i = 0; i < count(decisions); i++) {
        const struct json *decision = json_at(decisions, i);
        struct str time = json_str(json_get(decision, "time"));
        int64_t spans = json_int(json_get(decision, "spans"));
        buf_put_text(out, "  ");
        column_put(out, time.len ? time : STR("(time not known)"), strlen("2023-11-14T22:13:20.000Z"));
        buf_put_text(out, "  ");
        column_put(out, json_str(json_get(decision, "decision")), strlen("dropped"));
        buf_put_text(out, "  ");
        put_reason(out, decision);
        if (spans > 0)
            buf_printf(out, "; %lld span%s", (long long)spans, spans == 1 ? "" : "s");
        buf_put_char(out, '\n');
    }
}

/* NULL: the trace has one of the two verdicts. */
static const char *undecided(struct str state)
{
    if (str_eq(state, STR("pending")))
        return "spans of it wait for a decision (sampling.root_grace, sampling.decision_wait)";
    if (str_eq(state, STR("unknown")))
        return "nothing is known of this id: no span of it came, ingest.rules dropped them, or it is older than what is remembered "
               "(store.retention, store.decisions_max)";
    return NULL;
}

enum mg_err why_print(struct str json, struct buf *out, bool *is_fine, struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;

    (void)is_fine;
    MG_TRY(json_parse(&root, json, why));
    struct str state = json_str(json_get(root, "decision"));
    const struct json *decisions = json_get(root, "decisions");
    const char *sentence = undecided(state);
    if (state.len == 0)
        return mg_fail(why, MG_E_FORMAT, "the answer explains nothing: 'decision' is missing or no text");
    put_text(out, "trace", json_str(json_get(root, "trace_id")));
    put_text(out, "decision", state);
    if (sentence)
        put_text(out, "reason", str_of(sentence));
    else
        put_decided(out, root);
    if (count(decisions) > 1)
        put_history(out, decisions);
    if (json_bool(json_get(root, "more")))
        buf_put_text(out, "  and older ones\n");
    return buf_err(out);
}

/* --- the command ------------------------------------------------------------------------------------- */

static int why_run(const void *fields, const struct arg_list *operands)
{
    char path[] = "/api/meshglass/v1/why/................................";
    struct mg_why why;
    uint8_t id[16];

    if (!trace_id_parse(str_of(operands->at[0]), id)) {
        (void)mg_fail(&why, MG_E_FORMAT, "'%s' is no trace id: it has 1 to 32 hexadecimal digits, not all of them 0", operands->at[0]);
        command_error("why", why.text);
        return COMMAND_NO;
    }
    hex_encode(id, sizeof id, path + sizeof path - 1 - 2 * sizeof id);
    return show_answer(fields, "why", path, why_print);
}

static const struct show_fields why_defaults = { .server.url = SERVER_DEFAULT };
static const struct arg_option why_options[] = { SHOW_ARG_ROWS };
const struct command why_command = {
    .name = "why",
    .help = "Tells why a trace was kept or dropped; exit status 1 for what is no trace id.",
    .rules = { why_options, MG_COUNT(why_options), "TRACE_ID", 1, 1 },
    .defaults = &why_defaults,
    .fields_bytes = sizeof why_defaults,
    .run = why_run,
};
