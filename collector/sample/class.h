/* class.h - classes of traffic that nobody wants in full: health checks 10 %, metrics endpoints 1 %, the rest 100 %.
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
 * What a class says of a text hangs on that text alone, so that memo.h asks once for each symbol: class_of_text, joined by class_see.
 *
 * Compiled once, immutable, any thread. */
#pragma once
#include "conf/yaml.h"
#include "base/buf.h"

struct classes;
enum mg_err classes_new(struct classes **out, const struct yaml *list, struct mg_why *why) MG_MUST_USE; /* NULL: the built-in ones */
void classes_free(struct classes **classes);
size_t classes_n(const struct classes *classes);
struct str class_name(const struct classes *classes, size_t i);
double class_probability(const struct classes *classes, size_t i);
#define CLASS_NONE SIZE_MAX
size_t class_of_operation(const struct classes *classes, struct str operation);

/* A span's texts that classes look at: values of attributes, and its name. */
enum class_text { CLASS_PATH, CLASS_TARGET, CLASS_URL, CLASS_ROUTE, CLASS_AGENT, CLASS_NAME };
bool class_key(struct str key, enum class_text *out);  /* false: no attribute that classes look at */
struct class_said { uint8_t class; bool has_text; };   /* the first class that has the text, CLASS_SAYS_NONE: none; path and agent are not empty */
#define CLASS_SAYS_NONE UINT8_MAX
struct class_said class_of_text(const struct classes *classes, enum class_text which, struct str text);
/* The texts of one span, its attributes in their order. */
struct class_seen { struct class_said path, route, agent, name; };
#define CLASS_SEEN_NOTHING ((struct class_seen){ { CLASS_SAYS_NONE, 0 }, { CLASS_SAYS_NONE, 0 }, { CLASS_SAYS_NONE, 0 }, { CLASS_SAYS_NONE, 0 } })
void class_see(struct class_seen *seen, enum class_text which, struct class_said said);
size_t class_of_seen(const struct class_seen *seen);   /* CLASS_NONE */
void classes_print(const struct classes *classes, struct buf *out); /* canonical JSON, for the generation's text */
