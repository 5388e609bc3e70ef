/* How it works: batches wait until the templates are there (GET /, then one PUT each), then each
 * goes on its own. When that fails all that wait are tried again later, and the next batch begins
 * it anew. */
#include "elasticsearch/private.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json_read.h"

enum {
    PART_BYTES = 5000000,
    PREFIX_BYTES_MAX = 100,
    PATH_BYTES_MAX = 8192,
    TEMPLATE_BYTES_MAX = 16384,
    ANSWER_DEPTH_MAX = 64
};

#define TYPE struct elasticsearch_export_conf
const struct conf_field elasticsearch_export_fields[] = {
    PEER_ROWS(TYPE, peer,
              "URL of Elasticsearch 7 or later, or OpenSearch, http://host:9200; empty: off."),
    CONF_ROW_CHOICE(TYPE, "compression", compression, "gzip", "gzip|none",
                    "Compression of what is sent.", CONF_NEEDS_RESTART),
    CONF_ROW(TYPE, CONF_STR, "index_prefix", index_prefix, NULL, NULL, NULL,
             "Put with a hyphen before the names of indices and templates, as Jaeger's index "
             "prefix; empty: none.", CONF_NEEDS_RESTART),
    CONF_ROW(TYPE, CONF_BOOL, "templates", templates, "true", NULL, NULL,
             "Puts Jaeger's index templates before the first batch of a start; they replace those "
             "of the same names.", CONF_NEEDS_RESTART),
    SEND_ROWS(TYPE, send),
};
#undef TYPE
const size_t elasticsearch_export_fields_n = MG_COUNT(elasticsearch_export_fields);

struct elasticsearch_export {
    const struct elasticsearch_export_conf *conf;
    struct peer *peer;
    struct bulk *bulk;
    struct json_reader *reader;
    struct zip *zip;
    struct str path;   /* of the endpoint, without '/' at its end */
    struct buf prefix; /* of indices, with its hyphen */
    struct buf service_index;
    struct buf bulk_path;
    struct mg_why reason; /* of the answer that is being judged */
    struct list waiting;  /* flight.link: until the templates are there */
    struct {
        bool is_done, is_running;
        unsigned next; /* template to be put */
        enum template_sort sort;
    } setup;
};
struct flight {
    struct list link;
    struct elasticsearch_export *export;
    struct send_batch *batch;
    struct bulk_batch bulk;
};

/* --- life --- */

static enum mg_err prefix_check(struct str prefix, struct mg_why *why)
{
    bool is_fine = prefix.len <= PREFIX_BYTES_MAX;

    for (size_t i = 0; i < prefix.len && is_fine; i++) {
        char c = prefix.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        is_fine = is_plain || (i > 0 && (c == '-' || c == '_' || c == '.'));
    }
    if (!is_fine)
        return mg_fail(why, MG_E_FORMAT,
                       "exporters.elasticsearch.index_prefix: '%.*s' may have at most %d small "
                       "letters, digits and, "
                       "not in front, -_.",
                       STR_ARG(prefix), PREFIX_BYTES_MAX);
    return MG_OK;
}

static void names_make(struct elasticsearch_export *export)
{
    struct str prefix = export->conf->index_prefix, path = peer_path(export->peer);

    while (str_ends(path, STR("/")))
        path.len--;
    export->path = path;
    buf_put_str(&export->prefix, prefix);
    if (prefix.len && !str_ends(prefix, STR("-")))
        buf_put_char(&export->prefix, '-');
    buf_put_str(&export->service_index, buf_str(&export->prefix));
    buf_put_text(&export->service_index, SERVICE_INDEX);
    buf_put_str(&export->bulk_path, path);
    buf_put_text(&export->bulk_path, "/_bulk?filter_path=errors,items.*.status,items.*._index,"
                                     "items.*.error.type,items.*.error.reason");
}

enum mg_err elasticsearch_export_new(struct elasticsearch_export **out,
                                     const struct elasticsearch_export_conf *conf,
                                     struct mg_why *why)
{
    MG_AUTO(elasticsearch_export_free)
    struct elasticsearch_export *export = MEM_NEW(struct elasticsearch_export);

    export->conf = conf;
    list_init(&export->waiting);
    buf_init(&export->prefix, PREFIX_BYTES_MAX + 1);
    buf_init(&export->service_index, PREFIX_BYTES_MAX + 1 + sizeof SERVICE_INDEX);
    buf_init(&export->bulk_path, PATH_BYTES_MAX);
    MG_TRY(prefix_check(conf->index_prefix, why));
    MG_TRY(peer_new(&export->peer, "exporters.elasticsearch", &conf->peer, why));
    names_make(export);
    if (buf_err(&export->bulk_path) != MG_OK)
        return mg_fail(why, MG_E_FORMAT,
                       "exporters.elasticsearch.endpoint: its path is longer than %d bytes",
                       PATH_BYTES_MAX);
    export->bulk = bulk_new(buf_str(&export->prefix), PART_BYTES);
    export->reader = json_reader_new(ANSWER_DEPTH_MAX);
    export->zip = zip_new();
    export->setup.is_done = !conf->templates;
    *out = MG_STEAL(export);
    return MG_OK;
}

void elasticsearch_export_free(struct elasticsearch_export **at)
{
    struct elasticsearch_export *export = MG_STEAL(*at);

    if (!export)
        return;
    peer_free(&export->peer);
    bulk_free(&export->bulk);
    json_reader_free(&export->reader);
    zip_free(&export->zip);
    buf_fini(&export->prefix);
    buf_fini(&export->service_index);
    buf_fini(&export->bulk_path);
    mem_free(export);
}

/* --- a batch --- */

static void flight_end(struct flight *flight, const struct send_result *result)
{
    struct send_batch *batch = flight->batch;

    bulk_batch_fini(&flight->bulk);
    mem_free(flight);
    send_done(batch, result);
}

static void on_sent(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct flight *flight = owner;
    struct send_result whole = *result;

    (void)answer;
    whole.done = (struct send_progress){0}; /* service documents are items as well; what comes twice has the same id */
    if (whole.verdict == SEND_TAKEN) {
        bulk_remember(flight->export->bulk, &flight->bulk);
        whole.refused_spans =
            MG_MIN(whole.refused_spans + flight->bulk.left_out, flight->batch->spans);
    }
    flight_end(flight, &whole);
}

static void judge_part(void *owner, const struct http_answer *answer, uint32_t n,
                       struct send_result *result)
{
    struct elasticsearch_export *export = ((struct flight *)owner)->export;
    struct items items;

    if (items_read(export->reader, answer->body, n, buf_str(&export->service_index), &items,
                   &export->reason) != MG_OK) {
        *result = (struct send_result){.verdict = SEND_RETRY, .reason = export->reason.text};
        return;
    }
    if (items.deferred) {
        (void)mg_fail(&export->reason, MG_E_IO, "%u of %u documents were put off: %s",
                      items.deferred, n, items.reason.text);
        *result = (struct send_result){.verdict = SEND_RETRY, .reason = export->reason.text};
        return;
    }
    result->refused_spans = items.refused;
    if (items.reason.text[0])
        LOG_EVERY(60, WARN, "Elasticsearch refused documents", F_U64("spans", items.refused),
                  F_WHY(&items.reason));
}

static void flight_go(struct flight *flight)
{
    struct elasticsearch_export *export = flight->export;
    const struct peer_post post = {.path = buf_str(&export->bulk_path),
                                   .content_type = STR("application/x-ndjson")};
    struct mg_why why;

    if (bulk_convert(export->bulk, flight->batch->body, &flight->bulk, &why) != MG_OK) {
        flight_end(flight, &(struct send_result){.verdict = SEND_REFUSED, .reason = why.text});
        return;
    }
    if (flight->bulk.left_out)
        LOG_EVERY(60, WARN, "spans are not sent to Elasticsearch: without a valid id, or too large",
                  F_U64("spans", flight->bulk.left_out));
    flight->bulk.parts.encoding = export->conf->compression == ELASTICSEARCH_EXPORT_GZIP ? ZIP_GZIP : ZIP_IDENTITY;
    flight->bulk.parts.zip = export->zip;
    peer_send_parts(export->peer, &post, &flight->bulk.parts, judge_part, on_sent, flight);
}

/* --- templates --- */

static void setup_end(struct elasticsearch_export *export, const struct send_result *failure)
{
    struct flight *flight;

    export->setup.is_running = false;
    export->setup.is_done = !failure;
    while ((flight = LIST_FIRST(&export->waiting, struct flight, link)) != NULL) {
        list_remove(&flight->link);
        if (failure)
            flight_end(flight, failure);
        else
            flight_go(flight);
    }
}

/* Whatever it is, the batches are not to blame. */
static void setup_fail(struct elasticsearch_export *export, const char *what,
                       const struct send_result *result)
{
    struct mg_why why;
    struct send_result failure = {
        .verdict = SEND_RETRY, .retry_after_ms = result->retry_after_ms, .reason = why.text};

    (void)mg_fail(&why, MG_E_IO, "%s: %s", what, result->reason); /* returns err */
    if (result->verdict == SEND_REFUSED)
        LOG_EVERY(60, ERROR,
                  "index templates cannot be put into Elasticsearch, and batches wait: mend that, "
                  "or put them by other "
                  "means and set exporters.elasticsearch.templates to false",
                  F_WHY(&why));
    setup_end(export, &failure);
}

static void put_next(struct elasticsearch_export *export);

static void on_put(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct elasticsearch_export *export = owner;

    (void)answer;
    if (result->verdict != SEND_TAKEN) {
        setup_fail(export, "putting an index template", result);
        return;
    }
    export->setup.next++;
    put_next(export);
}

static void put_next(struct elasticsearch_export *export)
{
    struct buf path, body;

    if (export->setup.next == TEMPLATES) {
        setup_end(export, NULL);
        return;
    }
    buf_init(&path, PATH_BYTES_MAX + PREFIX_BYTES_MAX);
    buf_init(&body, TEMPLATE_BYTES_MAX);
    buf_put_str(&path, export->path);
    template_write(export->setup.next, export->setup.sort, buf_str(&export->prefix), &path, &body);
    peer_call(export->peer,
              &(struct peer_post){.method = "PUT",
                                  .path = buf_str(&path),
                                  .content_type = STR("application/json"),
                                  .body = buf_str(&body),
                                  .other_row = "exporters.elasticsearch.templates"},
              on_put, export);
    buf_fini(&path);
    buf_fini(&body);
}

static void on_version(void *owner, const struct send_result *result,
                       const struct http_answer *answer)
{
    struct elasticsearch_export *export = owner;

    if (result->verdict != SEND_TAKEN) {
        setup_fail(export, "asking for the version", result);
        return;
    }
    if (template_sort_read(answer->body, &export->setup.sort, &export->reason) != MG_OK) {
        setup_fail(export, "asking for the version",
                   &(struct send_result){.verdict = SEND_REFUSED, .reason = export->reason.text});
        return;
    }
    export->setup.next = 0;
    put_next(export);
}

static void setup_begin(struct elasticsearch_export *export)
{
    struct buf path;

    export->setup.is_running = true;
    buf_init(&path, PATH_BYTES_MAX);
    buf_put_str(&path, export->path);
    buf_put_char(&path, '/');
    peer_call(export->peer, &(struct peer_post){.method = "GET", .path = buf_str(&path)},
              on_version, export);
    buf_fini(&path);
}

/* --- the wire --- */

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    struct elasticsearch_export *export = wire;

    return peer_open(export->peer, loop, false, export->conf->send.timeout_ns, why);
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct elasticsearch_export *export = wire;

    peer_close(export->peer, on_closed, owner);
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct elasticsearch_export *export = wire;
    struct flight *flight = MEM_NEW(struct flight);

    *flight = (struct flight){.export = export, .batch = batch};
    if (export->setup.is_done) {
        flight_go(flight);
        return;
    }
    list_add_last(&export->waiting, &flight->link);
    if (!export->setup.is_running)
        setup_begin(export);
}

void elasticsearch_export_wire(struct elasticsearch_export *export, struct send_wire *out)
{
    *out = (struct send_wire){.name = "elasticsearch",
                              .open = on_open,
                              .send = on_send,
                              .close = on_close,
                              .wire = export};
}
