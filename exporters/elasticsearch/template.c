/* How it works: the mappings are texts; what differs between servers is the frame around them.
 * Names and mappings are those that Jaeger's queries rely on: identifiers and tags are keywords,
 * tags and fields of logs are nested so that key and value are matched together, and times are
 * numbers next to one date. What is under `tag` is written by a Jaeger that stores tags as fields
 * of their own; it may share the indices with us. */
#include "elasticsearch/private.h"
#include "codec/json.h"

#define KEYWORD "{\"type\":\"keyword\",\"ignore_above\":256}"
#define TAGS                                                                                       \
    "{\"type\":\"nested\",\"dynamic\":false,\"properties\":{\"key\":" KEYWORD                      \
    ",\"value\":" KEYWORD ",\"type\":" KEYWORD "}}"
#define DYNAMIC(name, path) "{\"" name "\":{\"path_match\":\"" path "\",\"mapping\":" KEYWORD "}}"

/* clang-format off */
static const char span_mappings[] =
    "{\"dynamic_templates\":[" DYNAMIC("span_tags_map", "tag.*") ","
                              DYNAMIC("process_tags_map", "process.tag.*") "],"
    "\"properties\":{"
        "\"traceID\":" KEYWORD ",\"spanID\":" KEYWORD ",\"parentSpanID\":" KEYWORD ","
        "\"operationName\":" KEYWORD ","
        "\"flags\":{\"type\":\"integer\"},"
        "\"startTime\":{\"type\":\"long\"},"
        "\"startTimeMillis\":{\"type\":\"date\",\"format\":\"epoch_millis\"},"
        "\"duration\":{\"type\":\"long\"},"
        "\"references\":{\"type\":\"nested\",\"dynamic\":false,\"properties\":{"
            "\"refType\":" KEYWORD ",\"traceID\":" KEYWORD ",\"spanID\":" KEYWORD "}},"
        "\"tag\":{\"type\":\"object\"},"
        "\"tags\":" TAGS ","
        "\"logs\":{\"type\":\"nested\",\"dynamic\":false,\"properties\":{"
            "\"timestamp\":{\"type\":\"long\"},\"fields\":" TAGS "}},"
        "\"process\":{\"properties\":{"
            "\"serviceName\":" KEYWORD ",\"tag\":{\"type\":\"object\"},\"tags\":" TAGS "}}"
    "}}";
/* clang-format on */
static const char service_mappings[] =
    "{\"properties\":{\"serviceName\":" KEYWORD ",\"operationName\":" KEYWORD "}}";

static const struct {
    const char *name, *index, *mappings;
} templates[TEMPLATES] = {
    {"jaeger-span", SPAN_INDEX, span_mappings},
    {"jaeger-service", SERVICE_INDEX, service_mappings},
};

void template_write(unsigned i, enum template_sort sort, struct str index_prefix, struct buf *path,
                    struct buf *body)
{
    bool is_legacy = sort == TEMPLATE_LEGACY;

    buf_printf(path, "/%s/%.*s%s", is_legacy ? "_template" : "_index_template",
               STR_ARG(index_prefix), templates[i].name);
    buf_printf(body, "{\"index_patterns\":[\"%.*s%s*\"],", STR_ARG(index_prefix),
               templates[i].index);
    /* Above those that somebody has for all indices. */
    buf_put_text(body, is_legacy ? "\"order\":100,\"mappings\":"
                                 : "\"priority\":100,\"template\":{\"mappings\":");
    buf_put_text(body, templates[i].mappings);
    buf_put_text(body, is_legacy ? "}" : "}}");
}

/* OpenSearch counts from 1 and has had composable templates from its beginning; made to, it
 * says 7.10.2 to please old clients. */
enum mg_err template_sort_read(struct str body, enum template_sort *out, struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;
    uint64_t major = 0, minor = 0;
    struct str rest, part;

    if (json_parse(&root, body, NULL) != MG_OK || json_kind(root) != JSON_OBJECT ||
        !json_get(root, "version"))
        return mg_fail(why, MG_E_FORMAT,
                       "the answer to GET / tells no version: is the endpoint an Elasticsearch or "
                       "OpenSearch?");
    const struct json *version = json_get(root, "version"),
                      *distribution = json_get(version, "distribution"),
                      *number = json_get(version, "number");
    if (distribution && str_eq(json_str(distribution), STR("opensearch"))) {
        *out = TEMPLATE_COMPOSABLE;
        return MG_OK;
    }
    rest = number ? json_str(number) : STR("");
    if (!str_cut(&rest, '.', &part) || str_u64(part, &major) != MG_OK ||
        !str_cut(&rest, '.', &part) || str_u64(part, &minor) != MG_OK)
        return mg_fail(why, MG_E_FORMAT,
                       "the answer to GET / has a version.number that is not of the form 8.1.0");
    if (major < 7)
        return mg_fail(why, MG_E_UNSUPPORTED,
                       "Elasticsearch is of version %u: 7.0 or later is needed", (unsigned)major);
    *out = major > 7 || minor >= 8 ? TEMPLATE_COMPOSABLE : TEMPLATE_LEGACY;
    return MG_OK;
}
