/* class.c - see class.h. The built-in classes are YAML like a user's, so that there is one way to read and to print them.
 *
 * A text is looked up in one sorted list of all classes' patterns of its kind. All patterns that it begins with are found from the one that stands
 * last before it: that pattern itself, or its parent (the longest other one that it begins with), or that one's parent, and so on. */
#include "sample/class.h"
#include <stdlib.h>
#include "base/vec.h"
#include "codec/json_write.h"
#include "sample/section.h"

enum { CLASSES_MAX = 50, PATTERNS_MAX = 1000 };

/* What probes and scrapers are known to ask for, by the documentation of Kubernetes, the clouds' load balancers, gRPC, Spring and Prometheus. */
static const char built_in[] =
    "- name: health\n"
    "  probability: 0.1\n"
    "  paths: [/health, /health/*, /healthz, /healthz/*, /healthcheck, /health-check, /livez, /livez/*, /live, /liveness, /readyz, /readyz/*, /ready,\n"
    "    /readiness, /startupz, /ping, /status, /_health, /_healthz, /-/healthy, /-/ready, /actuator/health, /actuator/health/*, /api/health, /up]\n"
    "  user_agents: [kube-probe/*, ELB-HealthChecker/*, GoogleHC/*, Consul Health Check*, Amazon-Route53-Health-Check-Service*, Envoy/HC*,\n"
    "    Edge Health Probe*, Load Balancer Agent*, HAProxy*, Blackbox Exporter/*, Docker-HealthCheck*]\n"
    "  operations: [grpc.health.v1.Health/*, /grpc.health.v1.Health/*, health, healthcheck, health-check]\n"
    "- name: metrics\n"
    "  probability: 0.01\n"
    "  paths: [/metrics, /metrics/*, /stats/prometheus, /actuator/prometheus, /actuator/metrics, /actuator/metrics/*, /federate, /probe]\n"
    "  user_agents: [Prometheus/*, VictoriaMetrics*, vm_promscrape*, Grafana Agent*, GrafanaAgent/*, Alloy/*, Telegraf/*, OpenTelemetry Collector*]\n"
    "  operations: [metrics]\n";

struct patterns { struct str *at; size_t n; };
struct class { struct str name; double probability; struct patterns paths, agents, operations; };

/* Classes are by number here, the lowest of those that apply; NO: none. */
#define NO CLASS_SAYS_NONE
#define NOBODY UINT32_MAX
struct found {
    struct str text;       /* of a pattern, without its star */
    uint8_t whole;         /* has this text */
    uint8_t beginning;     /* has what begins with it, or with a parent's */
    uint32_t parent;       /* NOBODY: none */
};
struct finding { struct found *at; uint32_t n; }; /* sorted by text, each once */
struct classes {
    struct arena arena;
    VEC(struct class) list;
    struct finding paths, agents, operations;
};
_Static_assert(CLASSES_MAX < NO, "a class has a byte");

/* --- reading ---------------------------------------------------------------------------------------- */

static enum mg_err read_patterns(struct classes *classes, const struct section *s, const char *key, struct patterns *out, struct mg_why *why)
{
    if (!section_find(s, key))
        return MG_OK;
    MG_TRY(section_texts(s, key, &classes->arena, &out->at, &out->n, why));
    if (out->n > PATTERNS_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "%s has %zu patterns; at most %d are possible", key, out->n, PATTERNS_MAX);
    for (size_t i = 0; i < out->n; i++) {
        size_t star;
        if (str_find(out->at[i], STR("*"), &star) && star + 1 < out->at[i].len)
            return mg_fail(why, MG_E_FORMAT, "%s %zu '%.*s': a * can only stand at the end", key, i + 1, STR_ARG(section_shown(out->at[i])));
        out->at[i] = arena_str(&classes->arena, out->at[i]);
    }
    return MG_OK;
}

static enum mg_err read_class(struct classes *classes, const struct yaml *node, struct class *class, struct mg_why *why)
{
    const struct section s = { "", node };

    if (yaml_kind(node) != YAML_MAP)
        return mg_fail(why, MG_E_FORMAT, "is no map with name, probability and paths, user_agents or operations");
    MG_TRY(SECTION_KEYS(&s, why, "name", "probability", "paths", "user_agents", "operations"));
    MG_TRY(section_text(&s, "name", &class->name, why));
    class->name = arena_str(&classes->arena, class->name);
    MG_TRY(section_need(&s, "probability", why));
    MG_TRY(section_number(&s, "probability", 0, 1, &class->probability, why));
    MG_TRY(read_patterns(classes, &s, "paths", &class->paths, why));
    MG_TRY(read_patterns(classes, &s, "user_agents", &class->agents, why));
    MG_TRY(read_patterns(classes, &s, "operations", &class->operations, why));
    if (class->paths.n + class->agents.n + class->operations.n == 0)
        return mg_fail(why, MG_E_FORMAT, "has no paths, user_agents or operations, so nothing would belong to it");
    for (size_t i = 0; i < classes->list.n; i++)
        if (str_eq(classes->list.at[i].name, class->name))
            return mg_fail(why, MG_E_FORMAT, "has the name of class %zu", i + 1);
    return MG_OK;
}

static enum mg_err in_class(const struct yaml *node, size_t i, enum mg_err err, struct mg_why *why)
{
    struct str name = section_shown(yaml_str(yaml_get(node, "name")));

    if (name.len)
        return mg_fail_in(why, err, "sampling.classes %zu '%.*s' (line %u)", i + 1, STR_ARG(name), yaml_line(node));
    return mg_fail_in(why, err, "sampling.classes %zu (line %u)", i + 1, yaml_line(node));
}

static enum mg_err read_list(struct classes *classes, const struct yaml *list, struct mg_why *why)
{
    if (yaml_kind(list) != YAML_LIST)
        return mg_fail(why, MG_E_FORMAT, "sampling.classes (line %u) is no list of classes", yaml_line(list));
    if (yaml_count(list) > CLASSES_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "sampling.classes has %zu classes; at most %d are possible", yaml_count(list), CLASSES_MAX);
    for (size_t i = 0; i < yaml_count(list); i++) {
        const struct yaml *node = yaml_at(list, i);
        struct class class = { 0 };
        enum mg_err err = read_class(classes, node, &class, why);
        if (err != MG_OK)
            return in_class(node, i, err, why);
        VEC_PUSH(&classes->list, class);
    }
    return MG_OK;
}

/* --- finding ---------------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return str_cmp(((const struct found *)a)->text, ((const struct found *)b)->text);
}

static void add_patterns(struct finding *finding, const struct patterns *patterns, size_t class)
{
    for (size_t i = 0; i < patterns->n; i++) {
        struct str text = patterns->at[i];
        bool is_beginning = text.ptr[text.len - 1] == '*';
        finding->at[finding->n++] = (struct found){ .text = str_n(text.ptr, text.len - is_beginning), .whole = is_beginning ? NO : (uint8_t)class,
                                                    .beginning = is_beginning ? (uint8_t)class : NO };
    }
}

static uint32_t parent_from(const struct finding *finding, uint32_t at, struct str text)
{
    while (at != NOBODY && !str_starts(text, finding->at[at].text))
        at = finding->at[at].parent;
    return at;
}

static void settle(struct finding *finding)
{
    uint32_t n = 0;

    if (finding->n)
        qsort(finding->at, finding->n, sizeof *finding->at, compare_texts);
    for (uint32_t i = 0; i < finding->n; i++) {
        struct found found = finding->at[i], *last = n ? &finding->at[n - 1] : NULL;
        if (last && str_eq(last->text, found.text)) {
            last->whole = MG_MIN(last->whole, found.whole);
            last->beginning = MG_MIN(last->beginning, found.beginning);
            continue;
        }
        found.parent = parent_from(finding, n ? n - 1 : NOBODY, found.text);
        if (found.parent != NOBODY)
            found.beginning = MG_MIN(found.beginning, finding->at[found.parent].beginning);
        finding->at[n++] = found;
    }
    finding->n = n;
}

static void make_finding(struct classes *classes, struct finding *finding, size_t place)
{
    size_t n = 0;

    for (size_t i = 0; i < classes->list.n; i++)
        n += ((const struct patterns *)((const char *)&classes->list.at[i] + place))->n;
    finding->at = arena_alloc(&classes->arena, n * sizeof *finding->at);
    for (size_t i = 0; i < classes->list.n; i++)
        add_patterns(finding, (const struct patterns *)((const char *)&classes->list.at[i] + place), i);
    settle(finding);
}

static uint8_t find(const struct finding *finding, struct str text)
{
    uint32_t low = 0, high = finding->n, at;
    uint8_t whole = NO;

    if (text.len == 0)
        return NO;
    while (low < high) { /* the first behind the text */
        uint32_t middle = low + (high - low) / 2;
        if (str_cmp(finding->at[middle].text, text) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NO;
    if (finding->at[low - 1].text.len == text.len && str_eq(finding->at[low - 1].text, text))
        whole = finding->at[low - 1].whole;
    at = parent_from(finding, low - 1, text);
    return at == NOBODY ? whole : MG_MIN(whole, finding->at[at].beginning);
}

/* --- life ------------------------------------------------------------------------------------------- */

static enum mg_err read_built_in(struct classes *classes, struct mg_why *why)
{
    struct yaml_docs *docs;

    MG_TRY(yaml_parse(&docs, str_of(built_in), "built-in classes", why));
    enum mg_err err = read_list(classes, yaml_doc(docs, 0), why);
    yaml_docs_free(&docs);
    return err;
}

enum mg_err classes_new(struct classes **out, const struct yaml *list, struct mg_why *why)
{
    struct classes *classes = MEM_NEW(struct classes);
    enum mg_err err = list ? read_list(classes, list, why) : read_built_in(classes, why);

    if (err == MG_OK) {
        make_finding(classes, &classes->paths, offsetof(struct class, paths));
        make_finding(classes, &classes->agents, offsetof(struct class, agents));
        make_finding(classes, &classes->operations, offsetof(struct class, operations));
        *out = MG_STEAL(classes);
    }
    classes_free(&classes);
    return err;
}

void classes_free(struct classes **classes)
{
    if (!*classes)
        return;
    VEC_FINI(&(*classes)->list);
    arena_fini(&(*classes)->arena);
    mem_free(*classes);
    *classes = NULL;
}

size_t classes_n(const struct classes *classes)
{
    return classes->list.n;
}

struct str class_name(const struct classes *classes, size_t i)
{
    return classes->list.at[i].name;
}

double class_probability(const struct classes *classes, size_t i)
{
    return classes->list.at[i].probability;
}

static void print_patterns(struct json_writer *w, const char *key, const struct patterns *patterns)
{
    json_key(w, str_of(key));
    json_array(w);
    for (size_t i = 0; i < patterns->n; i++)
        json_put_str(w, patterns->at[i]);
    json_array_end(w);
}

void classes_print(const struct classes *classes, struct buf *out)
{
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_array(&w);
    for (size_t i = 0; i < classes->list.n; i++) {
        const struct class *class = &classes->list.at[i];
        json_object(&w);
        json_key_text(&w, "name");
        json_put_str(&w, class->name);
        json_key_text(&w, "probability");
        json_put_double(&w, class->probability);
        print_patterns(&w, "paths", &class->paths);
        print_patterns(&w, "user_agents", &class->agents);
        print_patterns(&w, "operations", &class->operations);
        json_object_end(&w);
    }
    json_array_end(&w);
}

/* --- what a span says ------------------------------------------------------------------------------- */

static struct str until(struct str text, const char *ends)
{
    size_t n = 0;

    while (n < text.len && !strchr(ends, text.ptr[n]))
        n++;
    return str_n(text.ptr, n);
}

static struct str path_of_url(struct str url)
{
    size_t at;

    if (!str_find(url, STR("://"), &at))
        return STR("");
    url = str_n(url.ptr + at + 3, url.len - at - 3);
    at = until(url, "/?#").len; /* RFC 3986 3.2: any of them ends the authority */
    return until(str_n(url.ptr + at, url.len - at), "?#");
}

/* "GET /healthz": a method in capitals, a blank, a path. */
static struct str path_of_name(struct str name)
{
    size_t n = 0;

    while (n < name.len && name.ptr[n] >= 'A' && name.ptr[n] <= 'Z')
        n++;
    if (n == 0 || n + 1 >= name.len || name.ptr[n] != ' ' || name.ptr[n + 1] != '/')
        return STR("");
    return until(str_n(name.ptr + n + 1, name.len - n - 1), "?#");
}

bool class_key(struct str key, enum class_text *out)
{
    static const struct { struct str key; enum class_text which; } keys[] = {
        { STR_INIT("url.path"), CLASS_PATH }, { STR_INIT("http.target"), CLASS_TARGET }, { STR_INIT("url.full"), CLASS_URL },
        { STR_INIT("http.url"), CLASS_URL }, { STR_INIT("http.route"), CLASS_ROUTE }, { STR_INIT("user_agent.original"), CLASS_AGENT },
        { STR_INIT("http.user_agent"), CLASS_AGENT },
    };

    for (size_t i = 0; i < MG_COUNT(keys); i++)
        if (str_eq(key, keys[i].key)) {
            *out = keys[i].which;
            return true;
        }
    return false;
}

static struct class_said say(const struct finding *finding, struct str text)
{
    return (struct class_said){ find(finding, text), text.len > 0 };
}

struct class_said class_of_text(const struct classes *classes, enum class_text which, struct str text)
{
    struct class_said said;

    switch (which) {
    case CLASS_PATH:
    case CLASS_ROUTE:
        return say(&classes->paths, text);
    case CLASS_TARGET:
        return say(&classes->paths, until(text, "?#"));
    case CLASS_URL:
        return say(&classes->paths, path_of_url(text));
    case CLASS_AGENT:
        return say(&classes->agents, text);
    case CLASS_NAME:
        break;
    }
    said = say(&classes->operations, text);
    said.class = MG_MIN(said.class, find(&classes->paths, path_of_name(text)));
    return said;
}

/* url.path counts before all other paths, of which the first counts. */
void class_see(struct class_seen *seen, enum class_text which, struct class_said said)
{
    switch (which) {
    case CLASS_PATH:
        seen->path = said;
        break;
    case CLASS_TARGET:
    case CLASS_URL:
        if (!seen->path.has_text)
            seen->path = said;
        break;
    case CLASS_ROUTE:
        seen->route = said;
        break;
    case CLASS_AGENT:
        seen->agent = said;
        break;
    case CLASS_NAME:
        seen->name = said;
        break;
    }
}

size_t class_of_seen(const struct class_seen *seen)
{
    uint8_t asked = MG_MIN(seen->path.class, seen->route.class), other = MG_MIN(seen->agent.class, seen->name.class);
    uint8_t class = MG_MIN(asked, other);

    return class == NO ? CLASS_NONE : class;
}

size_t class_of_operation(const struct classes *classes, struct str operation)
{
    struct class_seen seen = CLASS_SEEN_NOTHING;

    class_see(&seen, CLASS_NAME, class_of_text(classes, CLASS_NAME, operation));
    return class_of_seen(&seen);
}
