/* class.c - see class.h. The built-in classes are YAML like a user's, so that there is one way to read and to print them. */
#include "sample/class.h"
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
struct classes {
    struct arena arena;
    VEC(struct class) list;
};

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
    const struct section s = { "class", node };

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

    if (err == MG_OK)
        *out = MG_STEAL(classes);
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

/* --- matching --------------------------------------------------------------------------------------- */

static bool match_one(struct str pattern, struct str text)
{
    if (pattern.ptr[pattern.len - 1] != '*')
        return str_eq(pattern, text);
    pattern.len--;
    return str_starts(text, pattern);
}

static bool matches(const struct patterns *patterns, struct str text)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < patterns->n; i++)
        if (match_one(patterns->at[i], text))
            return true;
    return false;
}

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

struct seen { struct str path, route, agent, name; };

/* Most other keys are told apart by their length. */
static void see(struct seen *seen, struct str key, struct str text)
{
    switch (key.len) {
    case 8:
        if (str_eq(key, STR("url.path")))
            seen->path = text;
        else if (!seen->path.len && (str_eq(key, STR("http.url")) || str_eq(key, STR("url.full"))))
            seen->path = path_of_url(text);
        break;
    case 10:
        if (str_eq(key, STR("http.route")))
            seen->route = text;
        break;
    case 11:
        if (!seen->path.len && str_eq(key, STR("http.target")))
            seen->path = until(text, "?#");
        break;
    case 15:
    case 19:
        if (str_eq(key, STR("http.user_agent")) || str_eq(key, STR("user_agent.original")))
            seen->agent = text;
        break;
    default:
        break;
    }
}

static size_t find_class(const struct classes *classes, const struct seen *seen)
{
    struct str named = path_of_name(seen->name);

    for (size_t i = 0; i < classes->list.n; i++) {
        const struct class *class = &classes->list.at[i];
        if (matches(&class->paths, seen->path) || matches(&class->paths, seen->route) || matches(&class->paths, named) ||
            matches(&class->agents, seen->agent) || matches(&class->operations, seen->name))
            return i;
    }
    return CLASS_NONE;
}

size_t class_of_row(const struct classes *classes, const struct row *entry, const struct epoch *epoch)
{
    struct seen seen = { .name = epoch_text(epoch, entry->name) };
    struct row_cursor cursor;
    struct row_value value;

    row_values(entry, epoch, &cursor);
    while (row_next_value(&cursor, &value))
        if (value.type == VALUE_STRING)
            see(&seen, epoch_text(epoch, value.key), value.is_symbol ? epoch_text(epoch, value.symbol) : value.bytes);
    return find_class(classes, &seen);
}

size_t class_of_operation(const struct classes *classes, struct str operation)
{
    const struct seen seen = { .name = operation };

    return find_class(classes, &seen);
}
