/* zipkin.h - Zipkin's query API on the zipkin door (zipkin-api: zipkin2-api.yaml), each path also under
 * /zipkin:
 *
 *     GET /api/v2/{services,spans,remoteServices,traces,trace/{id},traceMany,dependencies,
 *                  autocompleteKeys,autocompleteValues}
 *     GET /zipkin/config.json, /info               (these two where they stand; /health is ingest's)
 *
 * Parameters on the loop, the query on a query thread, its answer streamed through an http_pipe. The
 * ingest half of the door is collector/ingest's.
 *
 * Answers are application/json; a failure is its sentence in text/plain, until bytes have left:
 * from then on it cuts the connection. Zipkin's page (Lens) is not served, only what it asks for.
 *
 * Where our data answers otherwise than Zipkin's:
 *
 * - traces: see find.h for how they are found, and for what is bounded there. `limit` above
 *   query.traces_max is refused (400). Spans of a trace come by start time, unmerged; those equal
 *   in every field come once.
 * - services and spans: from the catalogue, in Zipkin's lower case. Spans without a service name
 *   stand in the catalogue under one name, and what Zipkin calls their service is read from the
 *   newest SAMPLE_TRACES (names.h) of them.
 * - remoteServices, autocompleteValues: there is no catalogue of these. They are read from the
 *   newest SAMPLE_TRACES traces of that service, and from those with that tag within
 *   zipkin.lookback. Nothing is kept between two requests but, as Zipkin does, how many services
 *   the last list of them had: Cache-Control goes by it.
 * - dependencies: links are our service edges (store/edges.h), counted for every trace when it was
 *   decided, also of those sampled out, as Zipkin's DependencyLinker counts them where spans
 *   have kinds or remote names; edges.h says where it counts more. So Zipkin's own rules need no
 *   span at a request. There is no link of a service with itself, because an edge does not tell a
 *   call from a step; names are as they came, in lower case, and a span without a service has no
 *   link. The window is of receive time, in whole minutes. */
#pragma once
#include "conf/conf.h"
#include "http/http.h"
#include "query/query.h"

struct zipkin_conf {                    /* section zipkin */
    struct conf_list autocomplete_keys; /* zipkin.autocomplete_keys, none: tag keys whose values are
                                         * offered; Zipkin's AUTOCOMPLETE_KEYS */
    uint64_t lookback_ns;               /* zipkin.lookback, 24h: `lookback` when it is not given;
                                         * also the longest that the page is told to begin with */
    uint64_t limit;                     /* zipkin.limit, 10: `limit` when it is not given, at most
                                         * query.traces_max; also what the page begins with */
};
extern const struct conf_field zipkin_fields[];
extern const size_t zipkin_fields_n;

struct zipkin_api;
struct zipkin_api *zipkin_api_new(struct query_pool *pool, const struct query_conf *query,
                                  const struct zipkin_conf *conf, const char *version);
/* Any thread; copies, as zipkin_api_new does. */
void zipkin_api_reload(struct zipkin_api *api, const struct query_conf *query,
                       const struct zipkin_conf *conf);
void zipkin_api_free(struct zipkin_api **api);         /* after the pool is gone */
const struct http_route *zipkin_api_routes(size_t *n); /* owner: the struct zipkin_api */
