/* class.h - classes of traffic that nobody wants in full: health checks 10 %, metrics endpoints 1 %, the rest 100 % (DESIGN 3, sample/).
 *
 * sampling.classes is a list; without it the two built-in ones are in force, in the same form:
 *
 *   - name: health                       sampled at 10 %
 *     probability: 0.1
 *     paths: [/health, /healthz, …]      the path of a request: whole, or a prefix with a star at its end; case counts
 *     user_agents: [kube-probe/, …]       of a request, likewise
 *     operations: [grpc.health.v1.Health/…]  span names, likewise; "GET /healthz" also matches by its path
 *
 * A trace belongs to the first class that its entry span matches: path from url.path, http.target (before ?), http.route, the path of
 * url.full or http.url, or a span name "METHOD /path"; agent from user_agent.original or http.user_agent. Head sampling knows the
 * operation's name alone.
 *
 * Compiled once, immutable, any thread. */
#pragma once
#include "conf/yaml.h"
#include "model/span.h"
#include "row/segment.h"

struct classes;
enum mg_err classes_new(struct classes **out, const struct yaml *list, struct mg_why *why) MG_MUST_USE; /* NULL: the built-in ones */
void classes_free(struct classes **classes);
size_t classes_n(const struct classes *classes);
struct str class_name(const struct classes *classes, size_t i);
double class_probability(const struct classes *classes, size_t i);
#define CLASS_NONE SIZE_MAX
size_t class_of_row(const struct classes *classes, const struct row *entry, const struct epoch *epoch);
size_t class_of_operation(const struct classes *classes, struct str operation);
void classes_print(const struct classes *classes, struct buf *out); /* canonical JSON, for the generation's text */
