/* What each policy says of a trace, and what all of them together decide. The rows follow the documentation and the source of the
 * OpenTelemetry Collector's tail_sampling; where ours differs on purpose the row says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "sample/policy.h"
#include "unit/sample/trial.h"

/* Policies are called a, b, c in the rows. */
#define LATENCY(n, ...)  "{name: " n ", type: latency, latency: {" __VA_ARGS__ "}}"
#define NUMBER(n, ...)   "{name: " n ", type: numeric_attribute, numeric_attribute: {" __VA_ARGS__ "}}"
#define TEXT(n, ...)     "{name: " n ", type: string_attribute, string_attribute: {" __VA_ARGS__ "}}"
#define BOOLEAN(n, ...)  "{name: " n ", type: boolean_attribute, boolean_attribute: {" __VA_ARGS__ "}}"
#define STATUS(n, codes) "{name: " n ", type: status_code, status_code: {status_codes: [" codes "]}}"
#define CHANCE(n, ...)   "{name: " n ", type: probabilistic, probabilistic: {" __VA_ARGS__ "}}"
#define COUNT(n, ...)    "{name: " n ", type: span_count, span_count: {" __VA_ARGS__ "}}"
#define STATE(n, ...)    "{name: " n ", type: trace_state, trace_state: {" __VA_ARGS__ "}}"
#define RATE(n, ...)     "{name: " n ", type: rate_limiting, rate_limiting: {" __VA_ARGS__ "}}"
#define BYTES(n, ...)    "{name: " n ", type: bytes_limiting, bytes_limiting: {" __VA_ARGS__ "}}"
#define ALWAYS(n)        "{name: " n ", type: always_sample}"
#define FLAGS(n)         "{name: " n ", type: trace_flags}"
#define AND(n, parts)    "{name: " n ", type: and, and: {and_sub_policy: [" parts "]}}"
#define DROP(n, parts)   "{name: " n ", type: drop, drop: {drop_sub_policy: [" parts "]}}"
#define NOT(n, part)     "{name: " n ", type: not, not: {not_sub_policy: " part "}}"
#define COMPOSITE(n, conf) "{name: " n ", type: composite, composite: {" conf "}}"
#define BOTH(a, b) "[" a ", " b "]"
#define ONE(a) "[" a "]"
#define THREE(a, b, c) "[" a ", " b ", " c "]"

#define KEPT "kept policy a 1 y"
#define NONE "dropped no_policy - 0 n"

static const struct { const char *policies, *trace, *says; } cases[] = {
    /* --- none ------------------------------------------------------------------------------------ */
    { NULL, "ok", "kept no_rules - 1 " },
    { "[]", "error", "kept no_rules - 1 " },
    /* --- always_sample ----------------------------------------------------------------------------- */
    { ONE(ALWAYS("a")), "", KEPT },
    { ONE(ALWAYS("a")), "@0-0 | child error", KEPT },
    /* --- latency: from the threshold on, of the earliest start to the latest end ----------------- */
    { ONE(LATENCY("a", "threshold_ms: 100")), "@0-99", NONE },
    { ONE(LATENCY("a", "threshold_ms: 100")), "@0-100", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 100")), "@0-101", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 100")), "@0-50 | child @60-100", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 100")), "@60-100 | child @1-50", NONE },
    { ONE(LATENCY("a", "threshold_ms: 100")), "child @200-10 | child @150-10", NONE },
    { ONE(LATENCY("a", "threshold_ms: 0")), "@5-5", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 0")), "@5-1", KEPT }, /* a negative duration is none; the Collector drops it */
    /* With an upper bound above the threshold. */
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 200")), "@0-100", NONE },
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 200")), "@0-101", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 200")), "@0-200", KEPT },
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 200")), "@0-201", NONE },
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 0")), "@0-9999", KEPT },
    /* The whole trace counts; the Collector would keep it for its first span. */
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 200")), "@0-150 | child @0-300", NONE },
    /* --- numeric_attribute --------------------------------------------------------------------------- */
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:i=4", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:i=5", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:i=10", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:i=11", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "ok | child n:i=7", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "~n:i=7", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "~n:i=70", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "m:i=7", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:s=7", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 10")), "n:d=7", NONE },
    /* Another type is no 0; to the Collector it is one. */
    { ONE(NUMBER("a", "key: n, min_value: -1, max_value: 10")), "n:s=x", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5")), "n:i=9223372036854775807", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5")), "n:i=-6", NONE },
    { ONE(NUMBER("a", "key: n, max_value: 5")), "n:i=-9223372036854775808", KEPT },
    { ONE(NUMBER("a", "key: n, max_value: 5")), "n:i=6", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 0, max_value: 5")), "n:i=-6", KEPT }, /* a bound of 0 is none */
    { ONE(NUMBER("a", "key: n, min_value: -5, max_value: -1")), "n:i=-5", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, max_value: 5")), "n:i=5", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5")), "n:i=1 n:i=9", NONE }, /* the first of a key counts */
    { ONE(NUMBER("a", "key: n, min_value: 5")), "n:i=9 n:i=1", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5")), "n:s=x n:i=9", NONE },
    { ONE(NUMBER("a", "key: n, min_value: 5")), "a:s=x b:d=1.5 c:b=true d:i=-3 e:y=zz f:l=q n:i=9 g:s=y", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, invert_match: true")), "n:i=4", KEPT },
    { ONE(NUMBER("a", "key: n, min_value: 5, invert_match: true")), "n:i=5", "dropped inverted a 0 d" },
    { ONE(NUMBER("a", "key: n, min_value: 5, invert_match: true")), "", KEPT },
    /* --- string_attribute --------------------------------------------------------------------------- */
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=x", KEPT },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=yy", KEPT },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=y", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=xx", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=X", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "K:s=x", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "~k:s=yy", KEPT },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=no ~k:s=yy", KEPT },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "~k:s=no ~k:s=yy", NONE }, /* the first of a key, here too */
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:s=no | child | child k:s=x", KEPT },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:y=x", NONE },
    { ONE(TEXT("a", "key: k, values: [x, yy]")), "k:l=x", NONE },
    { ONE(TEXT("a", "key: k, values: ['7']")), "k:i=7", NONE },
    { ONE(TEXT("a", "key: k, values: [200]")), "k:s=200", KEPT },
    { ONE(TEXT("a", "key: k, values: ['true']")), "k:b=true", NONE },
    { ONE(TEXT("a", "key: k, values: ['v.*']")), "k:s=value", NONE },
    { ONE(TEXT("a", "key: http.route, values: [/a/:id]")), "http.route:s=/a/:id", KEPT },
    /* Expressions are looked for anywhere in the value. */
    { ONE(TEXT("a", "key: k, values: ['v.l'], enabled_regex_matching: true")), "k:s=value", KEPT },
    { ONE(TEXT("a", "key: k, values: ['v.l'], enabled_regex_matching: true")), "k:s=xvalue", KEPT },
    { ONE(TEXT("a", "key: k, values: ['^v.l'], enabled_regex_matching: true")), "k:s=xvalue", NONE },
    { ONE(TEXT("a", "key: k, values: ['v.l$'], enabled_regex_matching: true")), "k:s=value", NONE },
    { ONE(TEXT("a", "key: k, values: ['^a$', '^b+$'], enabled_regex_matching: true")), "k:s=bbb", KEPT },
    { ONE(TEXT("a", "key: k, values: ['^a$', '^b+$'], enabled_regex_matching: true")), "k:s=ab", NONE },
    { ONE(TEXT("a", "key: k, values: ['(?i)VALUE'], enabled_regex_matching: true")), "k:s=value", KEPT },
    { ONE(TEXT("a", "key: k, values: ['VALUE'], enabled_regex_matching: true")), "k:s=value", NONE },
    { ONE(TEXT("a", "key: k, values: ['\\/health', '\\/metrics'], enabled_regex_matching: true")), "k:s=/healthz", KEPT },
    { ONE(TEXT("a", "key: k, values: ['.*'], enabled_regex_matching: true")), "k:s=", NONE },  /* a span's empty value */
    { ONE(TEXT("a", "key: k, values: ['.*'], enabled_regex_matching: true")), "~k:s=", KEPT }, /* a resource's */
    { ONE(TEXT("a", "key: k, values: ['.*'], enabled_regex_matching: true")), "k:i=5", NONE },
    { ONE(TEXT("a", "key: k, values: ['v'], enabled_regex_matching: true, cache_max_size: 10")), "k:s=v", KEPT },
    { ONE(TEXT("a", "key: k, values: [x], invert_match: true")), "k:s=y", KEPT },
    { ONE(TEXT("a", "key: k, values: [x], invert_match: true")), "", KEPT },
    { ONE(TEXT("a", "key: k, values: [x], invert_match: true")), "k:s=x", "dropped inverted a 0 d" },
    { ONE(TEXT("a", "key: k, values: [x], invert_match: true")), "k:s=y | child k:s=x", "dropped inverted a 0 d" },
    { ONE(TEXT("a", "key: k, values: [x], invert_match: true")), "~k:s=x", "dropped inverted a 0 d" },
    { ONE(TEXT("a", "key: k, values: ['^x'], enabled_regex_matching: true, invert_match: true")), "k:s=xy", "dropped inverted a 0 d" },
    /* --- boolean_attribute --------------------------------------------------------------------------- */
    { ONE(BOOLEAN("a", "key: k, value: true")), "k:b=true", KEPT },
    { ONE(BOOLEAN("a", "key: k, value: true")), "k:b=false", NONE },
    { ONE(BOOLEAN("a", "key: k, value: false")), "k:b=false", KEPT },
    { ONE(BOOLEAN("a", "key: k, value: false")), "", NONE },
    { ONE(BOOLEAN("a", "key: k, value: false")), "k:s=false", NONE }, /* to the Collector every other type is false */
    { ONE(BOOLEAN("a", "key: k, value: true")), "~k:b=true", KEPT },
    { ONE(BOOLEAN("a", "key: k, value: true, invert_match: true")), "k:b=false", KEPT },
    { ONE(BOOLEAN("a", "key: k, value: true, invert_match: true")), "k:b=true", "dropped inverted a 0 d" },
    /* --- status_code --------------------------------------------------------------------------------- */
    { ONE(STATUS("a", "ERROR")), "error", KEPT },
    { ONE(STATUS("a", "ERROR")), "ok", NONE },
    { ONE(STATUS("a", "ERROR")), "", NONE },
    { ONE(STATUS("a", "ERROR")), "ok | child error", KEPT },
    { ONE(STATUS("a", "OK")), "ok", KEPT },
    { ONE(STATUS("a", "OK")), "", NONE },
    { ONE(STATUS("a", "UNSET")), "", KEPT },
    { ONE(STATUS("a", "UNSET")), "error", NONE },
    { ONE(STATUS("a", "ERROR, UNSET")), "ok", NONE },
    { ONE(STATUS("a", "ERROR, UNSET")), "error", KEPT },
    { ONE(STATUS("a", "OK, ERROR, UNSET")), "status=7", NONE },
    { ONE(STATUS("a", "OK, ERROR, UNSET")), "status=300", NONE },
    /* --- span_count ---------------------------------------------------------------------------------- */
    { ONE(COUNT("a", "min_spans: 2")), "", NONE },
    { ONE(COUNT("a", "min_spans: 2")), " | child", KEPT },
    { ONE(COUNT("a", "min_spans: 2")), " | child | child | child", KEPT },
    { ONE(COUNT("a", "min_spans: 2, max_spans: 3")), " | child | child", KEPT },
    { ONE(COUNT("a", "min_spans: 2, max_spans: 3")), " | child | child | child", NONE },
    { ONE(COUNT("a", "max_spans: 1")), "", KEPT },
    { ONE(COUNT("a", "max_spans: 1")), " | child", NONE },
    /* --- trace_state --------------------------------------------------------------------------------- */
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=v", KEPT },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=a=b,k=w", KEPT },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=a=b,,k=w,", KEPT },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=x", NONE },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=kk=v", NONE },
    { ONE(STATE("a", "key: k, values: [v, w]")), "", NONE },
    { ONE(STATE("a", "key: k, values: [v, w]")), "k:s=v", NONE },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ok | child ts=k=v x:s=y z:i=300", KEPT },
    { ONE(STATE("a", "key: k, values: ['v.*']")), "ts=k=vv", NONE },        /* values are no expressions */
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=v,Bad=x", NONE },    /* a malformed one is discarded as a whole */
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=v,k=w", NONE },      /* and so is one with a key twice */
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=v,novalue", NONE },
    { ONE(STATE("a", "key: k, values: [v, w]")), "ts=k=v,a=b=c", NONE },
    { ONE(STATE("a", "key: t@v, values: [v]")), "ts=t@v=v", KEPT },
    { ONE(STATE("a", "key: ot, values: ['th:8']")), "ts=ot=th:8", KEPT },
    /* --- trace_flags --------------------------------------------------------------------------------- */
    { ONE(FLAGS("a")), "flags=1", KEPT },
    { ONE(FLAGS("a")), "flags=257", KEPT },
    { ONE(FLAGS("a")), "flags=2", NONE },
    { ONE(FLAGS("a")), "", NONE },
    { ONE(FLAGS("a")), " | child flags=3", KEPT },
    /* --- probabilistic: R >= T ----------------------------------------------------------------------- */
    { ONE(CHANCE("a", "sampling_percentage: 50")), "r=80000000000000", "kept policy a 0.5 y" },
    { ONE(CHANCE("a", "sampling_percentage: 50")), "r=7fffffffffffff", "dropped no_policy - 0.5 n" },
    { ONE(CHANCE("a", "sampling_percentage: 25")), "r=c0000000000000", "kept policy a 0.25 y" },
    { ONE(CHANCE("a", "sampling_percentage: 25")), "r=bfffffffffffff", "dropped no_policy - 0.25 n" },
    { ONE(CHANCE("a", "sampling_percentage: 100")), "r=0", KEPT },
    { ONE(CHANCE("a", "sampling_percentage: 250")), "r=0", KEPT },
    { ONE(CHANCE("a", "sampling_percentage: 0")), "r=ffffffffffffff", NONE },
    { ONE(CHANCE("a", "sampling_percentage: 1e-20")), "r=ffffffffffffff", NONE },
    /* R is what the entry's trace state says, if it does. */
    { ONE(CHANCE("a", "sampling_percentage: 50")), "r=0 ts=ot=rv:90000000000000", "kept policy a 0.5 y" },
    { ONE(CHANCE("a", "sampling_percentage: 50")), "r=ffffffffffffff ts=ot=rv:10000000000000", "dropped no_policy - 0.5 n" },
    { ONE(CHANCE("a", "sampling_percentage: 50")), "r=0 | child ts=ot=rv:90000000000000", "dropped no_policy - 0.5 n" },
    /* A salt: the Collector's hash. Where in 0..100 these ids fall was computed with Go's hash/fnv. */
    { ONE(CHANCE("a", "sampling_percentage: 38.7829, hash_salt: x")), "r=0", "dropped no_policy - 0.3878 n" },
    { ONE(CHANCE("a", "sampling_percentage: 38.7831, hash_salt: x")), "r=0", "kept policy a 0.3878~ y" },
    { ONE(CHANCE("a", "sampling_percentage: 72.6731, hash_salt: x")), "r=80000000000000", "dropped no_policy - 0.7267 n" },
    { ONE(CHANCE("a", "sampling_percentage: 72.6733, hash_salt: x")), "r=80000000000000", "kept policy a 0.7267~ y" },
    { ONE(CHANCE("a", "sampling_percentage: 10.0318, hash_salt: x")), "r=123456789abcde", "dropped no_policy - 0.1003 n" },
    { ONE(CHANCE("a", "sampling_percentage: 10.0320, hash_salt: x")), "r=123456789abcde", "kept policy a 0.1003~ y" },
    { ONE(CHANCE("a", "sampling_percentage: 40.1509, hash_salt: ''")), "r=123456789abcde", "dropped no_policy - 0.4015 n" },
    { ONE(CHANCE("a", "sampling_percentage: 40.1511, hash_salt: ''")), "r=123456789abcde", "kept policy a 0.4015~ y" },
    { ONE(CHANCE("a", "sampling_percentage: 40.1511, hash_salt: default-hash-seed")), "r=123456789abcde", "kept policy a 0.4015~ y" },
    { ONE(CHANCE("a", "sampling_percentage: 73, hash_salt: x")), "ts=ot=rv:00000000000000", "kept policy a 0.73~ y" }, /* not R */
    { ONE(CHANCE("a", "sampling_percentage: 100, hash_salt: x")), "r=0", KEPT },
    { ONE(CHANCE("a", "sampling_percentage: 0, hash_salt: x")), "r=0", "dropped no_policy - 0 n" },
    /* Of several the smallest threshold counts, and the policy that has it is named. */
    { BOTH(CHANCE("a", "sampling_percentage: 25"), CHANCE("b", "sampling_percentage: 50")), "r=f0000000000000", "kept policy b 0.5 yy" },
    { BOTH(CHANCE("a", "sampling_percentage: 25"), CHANCE("b", "sampling_percentage: 50")), "r=a0000000000000", "kept policy b 0.5 ny" },
    { BOTH(CHANCE("a", "sampling_percentage: 25"), CHANCE("b", "sampling_percentage: 50")), "r=10000000000000", "dropped no_policy - 0.5 nn" },
    { BOTH(CHANCE("a", "sampling_percentage: 50"), STATUS("b", "ERROR")), "error r=f0000000000000", "kept policy b 1 yy" },
    { BOTH(CHANCE("a", "sampling_percentage: 50"), STATUS("b", "ERROR")), "error r=10000000000000", "kept policy b 1 ny" },
    { BOTH(CHANCE("a", "sampling_percentage: 50"), STATUS("b", "ERROR")), "ok r=f0000000000000", "kept policy a 0.5 yn" },
    /* --- limiters: one trace of a full bucket -------------------------------------------------------- */
    { ONE(RATE("a", "spans_per_second: 2")), " | child | child | child", "kept policy a 1~ y" },
    { ONE(RATE("a", "spans_per_second: 2")), " | child | child | child | child", "dropped no_policy - 0 n" },
    { ONE(RATE("a", "spans_per_second: 2, burst_capacity: 1")), " | child", "dropped no_policy - 0 n" },
    { ONE(RATE("a", "spans_per_second: 1, burst_capacity: 9")), " | child | child | child | child", "kept policy a 1~ y" },
    { ONE(BYTES("a", "bytes_per_second: 1000")), "", "kept policy a 1~ y" },
    { ONE(BYTES("a", "bytes_per_second: 40")), "", "dropped no_policy - 0 n" },
    { ONE(BYTES("a", "bytes_per_second: 40, burst_capacity: 500")), "", "kept policy a 1~ y" },
    /* --- and ----------------------------------------------------------------------------------------- */
    { ONE(AND("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50"))), "error @0-60", KEPT },
    { ONE(AND("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50"))), "error @0-40", NONE },
    { ONE(AND("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50"))), "ok @0-60", NONE },
    { ONE(AND("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50"))), "ok @0-60 | child error", KEPT }, /* not of one span */
    { ONE(AND("a", ALWAYS("p"))), "", KEPT },
    { ONE(AND("a", STATUS("p", "OK") ", " CHANCE("q", "sampling_percentage: 50"))), "ok r=f0000000000000", "kept policy a 0.5 y" },
    { ONE(AND("a", STATUS("p", "OK") ", " CHANCE("q", "sampling_percentage: 50"))), "ok r=10000000000000", "dropped no_policy - 0.5 n" },
    { ONE(AND("a", STATUS("p", "OK") ", " CHANCE("q", "sampling_percentage: 50"))), "r=f0000000000000", NONE },
    { ONE(AND("a", CHANCE("p", "sampling_percentage: 50") ", " STATUS("q", "OK"))), "r=10000000000000", NONE },
    { ONE(AND("a", CHANCE("p", "sampling_percentage: 50") ", " CHANCE("q", "sampling_percentage: 25"))), "r=d0000000000000",
      "kept policy a 0.25 y" },
    { ONE(AND("a", CHANCE("p", "sampling_percentage: 50") ", " CHANCE("q", "sampling_percentage: 25"))), "r=90000000000000",
      "dropped no_policy - 0.25 n" },
    { ONE(AND("a", STATUS("p", "OK") ", " RATE("q", "spans_per_second: 5"))), "ok", "kept policy a 1~ y" },
    { ONE(AND("a", STATUS("p", "OK") ", " RATE("q", "spans_per_second: 5"))), "", NONE },
    { ONE(AND("a", CHANCE("p", "sampling_percentage: 50") ", " RATE("q", "spans_per_second: 5"))), "r=90000000000000", "kept policy a 0.5~ y" },
    /* Inside others an inverted match is a plain yes or no. */
    { ONE(AND("a", TEXT("p", "key: k, values: [x], invert_match: true") ", " STATUS("q", "OK"))), "ok k:s=y", KEPT },
    { ONE(AND("a", TEXT("p", "key: k, values: [x], invert_match: true") ", " STATUS("q", "OK"))), "ok k:s=x", NONE },
    { BOTH(AND("a", TEXT("p", "key: k, values: [x], invert_match: true")), ALWAYS("b")), "k:s=x", "kept policy b 1 ny" },
    { ONE(AND("a", AND("p", STATUS("q", "OK")) ", " NOT("r", STATUS("s", "ERROR")))), "ok", KEPT },
    { ONE(AND("a", AND("p", STATUS("q", "OK")) ", " NOT("r", STATUS("s", "ERROR")))), "ok | child error", NONE },
    /* --- not ----------------------------------------------------------------------------------------- */
    { ONE(NOT("a", STATUS("p", "ERROR"))), "ok", KEPT },
    { ONE(NOT("a", STATUS("p", "ERROR"))), "error", NONE },
    { ONE(NOT("a", STATUS("p", "ERROR"))), "ok | child error", NONE },
    { ONE(NOT("a", NOT("p", STATUS("q", "ERROR")))), "error", KEPT },
    { ONE(NOT("a", LATENCY("p", "threshold_ms: 50"))), "@0-49", KEPT },
    { ONE(NOT("a", ALWAYS("p"))), "", NONE },
    { ONE(NOT("a", TEXT("p", "key: k, values: [x], invert_match: true"))), "k:s=x", KEPT },
    { ONE(NOT("a", TEXT("p", "key: k, values: [x], invert_match: true"))), "k:s=y", NONE },
    { BOTH(NOT("a", TEXT("p", "key: k, values: [x], invert_match: true")), ALWAYS("b")), "k:s=y", "kept policy b 1 ny" },
    { ONE(NOT("a", CHANCE("p", "sampling_percentage: 75"))), "r=10000000000000", "kept policy a 0.25~ y" },
    { ONE(NOT("a", CHANCE("p", "sampling_percentage: 75"))), "r=90000000000000", "dropped no_policy - 0.25 n" },
    { ONE(NOT("a", AND("p", STATUS("q", "ERROR") ", " LATENCY("r", "threshold_ms: 50")))), "error @0-10", KEPT },
    { ONE(NOT("a", AND("p", STATUS("q", "ERROR") ", " LATENCY("r", "threshold_ms: 50")))), "error @0-90", NONE },
    /* --- drop: before all others, wherever it stands ------------------------------------------------- */
    { BOTH(ALWAYS("a"), DROP("b", STATUS("p", "ERROR"))), "error", "dropped drop b 0 -d" },
    { BOTH(ALWAYS("a"), DROP("b", STATUS("p", "ERROR"))), "ok", "kept policy a 1 yn" },
    { BOTH(DROP("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50")), ALWAYS("b")), "error @0-10", "kept policy b 1 ny" },
    { BOTH(DROP("a", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 50")), ALWAYS("b")), "error @0-60", "dropped drop a 0 d-" },
    { THREE(DROP("a", STATUS("p", "OK")), ALWAYS("b"), DROP("c", STATUS("q", "ERROR"))), "error", "dropped drop c 0 n-d" },
    { ONE(DROP("a", STATUS("p", "ERROR"))), "ok", "dropped no_policy - 0 n" },
    { BOTH(DROP("a", TEXT("p", "key: k, values: [x], invert_match: true")), ALWAYS("b")), "k:s=y", "dropped drop a 0 d-" },
    { BOTH(DROP("a", TEXT("p", "key: k, values: [x], invert_match: true")), ALWAYS("b")), "k:s=x", "kept policy b 1 ny" },
    { BOTH(DROP("a", NOT("p", TEXT("q", "key: k, values: [x]"))), ALWAYS("b")), "k:s=y", "dropped drop a 0 d-" },
    /* One that goes by chance leaves traces that stand for those it took. */
    { BOTH(DROP("a", CHANCE("p", "sampling_percentage: 75")), ALWAYS("b")), "r=10000000000000", "kept policy b 0.25~ ny" },
    { BOTH(DROP("a", CHANCE("p", "sampling_percentage: 75")), ALWAYS("b")), "r=90000000000000", "dropped drop a 0 d-" },
    /* --- precedence ---------------------------------------------------------------------------------- */
    { BOTH(ALWAYS("a"), TEXT("b", "key: k, values: [x], invert_match: true")), "k:s=x", "dropped inverted b 0 yd" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), ALWAYS("b")), "k:s=x", "dropped inverted a 0 dy" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), ALWAYS("b")), "k:s=y", "kept policy b 1 yy" },
    /* An inverted condition that did not match samples only when no other policy says no. */
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), STATUS("b", "ERROR")), "k:s=y", "dropped no_policy - 0 yn" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), STATUS("b", "ERROR")), "k:s=y error", "kept policy b 1 yy" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), TEXT("b", "key: k, values: [z], invert_match: true")), "k:s=y",
      "kept policy a 1 yy" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), TEXT("b", "key: k, values: [z], invert_match: true")), "k:s=z",
      "dropped inverted b 0 yd" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), CHANCE("b", "sampling_percentage: 50")), "k:s=y r=90000000000000",
      "kept policy b 0.5 yy" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), CHANCE("b", "sampling_percentage: 50")), "k:s=y r=10000000000000",
      "dropped no_policy - 0.5 yn" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), DROP("b", STATUS("p", "ERROR"))), "k:s=y", "dropped no_policy - 0 yn" },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), DROP("b", STATUS("p", "ERROR"))), "k:s=x error", "dropped drop b 0 -d" },
    { BOTH(STATUS("a", "ERROR"), LATENCY("b", "threshold_ms: 50")), "error @0-60", "kept policy a 1 yy" },
    { BOTH(STATUS("a", "ERROR"), LATENCY("b", "threshold_ms: 50")), "ok @0-60", "kept policy b 1 ny" },
    /* Several that go by chance of different kinds: the probability is that of any of them. */
    { BOTH(CHANCE("a", "sampling_percentage: 50"), NOT("b", CHANCE("p", "sampling_percentage: 50"))), "r=90000000000000",
      "kept policy a 0.75~ yn" },
    { BOTH(CHANCE("a", "sampling_percentage: 50"), RATE("b", "spans_per_second: 9")), "r=90000000000000", "kept policy b 1~ yy" },
    /* --- composite, the first trace of a second ------------------------------------------------------ */
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 10, composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q") "]")), "error",
      "kept policy a 1~ y" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 10, composite_sub_policy: [" STATUS("p", "ERROR") "]")), "ok", NONE },
    /* Its part's share is 1 of 2: a trace of two spans never passes, and no later part is asked. */
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 2, composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q")
                    "], rate_allocation: [{policy: q, percent: 100}]")), "error | child", "dropped no_policy - 0 n" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 2, composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q")
                    "], rate_allocation: [{policy: q, percent: 100}]")), "ok | child", "kept policy a 1~ y" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 2, policy_order: [q, p], composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q")
                    "], rate_allocation: [{policy: q, percent: 100}]")), "error | child", "kept policy a 1~ y" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 9, composite_sub_policy: [" CHANCE("p", "sampling_percentage: 50") "]")),
      "r=90000000000000", "kept policy a 0.5~ y" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 9, composite_sub_policy: [" CHANCE("p", "sampling_percentage: 50") "]")),
      "r=10000000000000", "dropped no_policy - 0.5 n" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 9, composite_sub_policy: [" TEXT("p", "key: k, values: [x], invert_match: true") "]")),
      "k:s=y", "kept policy a 1~ y" },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 9, composite_sub_policy: [" TEXT("p", "key: k, values: [x], invert_match: true") "]")),
      "k:s=x", NONE },
};

static void policies_decide_as_documented(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct trial_rules rules = { .policies = cases[i].policies };
        struct trial trial;
        const char *says = trial_run(&rules, cases[i].trace, &trial);
        if (strcmp(says, cases[i].says) == 0)
            continue;
        print_error("%s\n  of:     %s\n  wanted: %s\n  got:    %s\n", cases[i].policies ? cases[i].policies : "none", cases[i].trace,
                    cases[i].says, says);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* The first policy in order that keeps decides, and no later one is asked. */
static const struct { const char *policies, *trace, *says; bool is_settled; } first_cases[] = {
    { BOTH(STATUS("a", "ERROR"), ALWAYS("b")), "error", "kept policy a 1 y-", true },
    { BOTH(STATUS("a", "ERROR"), ALWAYS("b")), "ok", "kept policy b 1 ny", true },
    { BOTH(STATUS("a", "ERROR"), STATUS("b", "OK")), "", "dropped no_policy - 0 nn", false },
    { BOTH(ALWAYS("a"), TEXT("b", "key: k, values: [x], invert_match: true")), "k:s=x", "kept policy a 1 y-", true },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), ALWAYS("b")), "k:s=x", "dropped inverted a 0 dy", false },
    { BOTH(TEXT("a", "key: k, values: [x], invert_match: true"), ALWAYS("b")), "k:s=y", "kept policy b 1 yy", false },
    { BOTH(ALWAYS("a"), DROP("b", STATUS("p", "ERROR"))), "error", "dropped drop b 0 -d", true },
    { BOTH(ALWAYS("a"), DROP("b", STATUS("p", "ERROR"))), "ok", "kept policy a 1 yn", false },
    { BOTH(ALWAYS("a"), DROP("b", STATUS("p", "ERROR") ", " LATENCY("q", "threshold_ms: 1, upper_threshold_ms: 90"))), "error",
      "dropped drop b 0 -d", false },
    /* The probability is that of all: what would have been asked, had the first not kept it. */
    { BOTH(CHANCE("a", "sampling_percentage: 25"), CHANCE("b", "sampling_percentage: 50")), "r=f0000000000000", "kept policy a 0.5 y-", false },
    { BOTH(CHANCE("a", "sampling_percentage: 25"), STATUS("b", "ERROR")), "error r=f0000000000000", "kept policy a 1 y-", true },
    { BOTH(CHANCE("a", "sampling_percentage: 25"), STATUS("b", "ERROR")), "error r=10000000000000", "kept policy b 1 ny", true },
    { BOTH(CHANCE("a", "sampling_percentage: 25"), STATUS("b", "ERROR")), "ok r=f0000000000000", "kept policy a 0.25 y-", false },
    { THREE(CHANCE("a", "sampling_percentage: 25"), TEXT("b", "key: k, values: [x], invert_match: true"), ALWAYS("c")),
      "k:s=x r=f0000000000000", "kept policy a 0.25 y--", false },
    { THREE(CHANCE("a", "sampling_percentage: 25"), TEXT("b", "key: k, values: [x], invert_match: true"), ALWAYS("c")),
      "k:s=y r=f0000000000000", "kept policy a 1 y--", false },
    { THREE(CHANCE("a", "sampling_percentage: 25"), TEXT("b", "key: k, values: [x], invert_match: true"), ALWAYS("c")),
      "k:s=x r=10000000000000", "dropped inverted b 0 ndy", false },
    { BOTH(CHANCE("a", "sampling_percentage: 50"), RATE("b", "spans_per_second: 5")), "r=f0000000000000", "kept policy a 1~ y-", false },
    { ONE(LATENCY("a", "threshold_ms: 100")), "@0-200", "kept policy a 1 y", true },
    { ONE(LATENCY("a", "threshold_ms: 100, upper_threshold_ms: 300")), "@0-200", "kept policy a 1 y", false },
    { ONE(COUNT("a", "min_spans: 2")), " | child", "kept policy a 1 y", true },
    { ONE(COUNT("a", "min_spans: 2, max_spans: 9")), " | child", "kept policy a 1 y", false },
    { ONE(AND("a", STATUS("p", "ERROR") ", " COUNT("q", "min_spans: 2"))), "error | child", "kept policy a 1 y", true },
    { ONE(AND("a", STATUS("p", "ERROR") ", " NOT("q", COUNT("r", "min_spans: 9")))), "error | child", "kept policy a 1 y", false },
    { ONE(AND("a", STATUS("p", "ERROR") ", " RATE("q", "spans_per_second: 9"))), "error | child", "kept policy a 1~ y", false },
    { ONE(NOT("a", STATUS("p", "ERROR"))), "ok", "kept policy a 1 y", false },
    { ONE(CHANCE("a", "sampling_percentage: 100")), "r=0", "kept policy a 1 y", true },
};

static void the_first_match_decides_when_asked_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(first_cases); i++) {
        const struct trial_rules rules = { .policies = first_cases[i].policies, .is_first_match = true };
        struct trial trial;
        const char *says = trial_run(&rules, first_cases[i].trace, &trial);
        if (strcmp(says, first_cases[i].says) != 0 || trial.is_settled != first_cases[i].is_settled)
            fail_msg("%s\n  of:     %s\n  wanted: %s, %ssettled\n  got:    %s, %ssettled", first_cases[i].policies, first_cases[i].trace,
                     first_cases[i].says, first_cases[i].is_settled ? "" : "not ", says, trial.is_settled ? "" : "not ");
    }
}

/* As Go's math/big has it, which the Collector computes with. */
static const struct { double ratio; uint64_t threshold; } thresholds[] = {
    { 0.1, UINT64_C(0x19999999999999ff) },
    { 0.01, UINT64_C(0x028f5c28f5c28f5f) },
    { 0.25, UINT64_C(0x3fffffffffffffff) },
    { 0.5, UINT64_C(0x7fffffffffffffff) },
    { 1.0 / 3, UINT64_C(0x55555555555553ff) },
    { 0.073, UINT64_C(0x12b020c49ba5e2ff) },
    { 0.33333, UINT64_C(0x55551d68c692f7ff) },
    { 0.999999, UINT64_C(0xffffef39085f47ff) },
    { 0.9999999999999999, UINT64_C(0xfffffffffffff7ff) },
    { 1e-9, UINT64_C(0x44b82fa09) },
    { 5e-20, 0 },
    { 1e-30, 0 },
    { 5e-324, 0 },
    { 0, 0 },
    { -1, 0 },
    { 1, UINT64_MAX },
    { 2, UINT64_MAX },
};

static void a_ratio_has_the_collectors_hash_threshold(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(thresholds); i++)
        assert_int_equal(hashed_threshold(thresholds[i].ratio), thresholds[i].threshold);
}

/* Traces one after the other: when they are decided, and what is said of them. */
struct turn { uint64_t ms; const char *trace, *says; };
static const struct { const char *policies; struct turn turns[9]; } sequences[] = {
    { ONE(RATE("a", "spans_per_second: 2")),
      { { 0, " | child | child | child", "kept policy a 1~ y" },       /* the whole bucket */
        { 0, "", "dropped no_policy - 0.5 n" },
        { 499, "", "dropped no_policy - 0.3333 n" },
        { 500, "", "kept policy a 0.5~ y" },                           /* 2 of 4 in the last minute */
        { 400, "", "dropped no_policy - 0.4 n" },                      /* time does not go back */
        { 1500, " | child", "kept policy a 0.5~ y" },
        { 70000, " | child | child | child", "kept policy a 1~ y" },   /* full again, and the minute is forgotten */
        { 70000, "", "dropped no_policy - 0.5 n" } } },
    { ONE(RATE("a", "spans_per_second: 10, burst_capacity: 1")),
      { { 0, "", "kept policy a 1~ y" }, { 99, "", "dropped no_policy - 0.5 n" }, { 200, "", "kept policy a 0.6667~ y" },
        { 9000, " | child", "dropped no_policy - 0.5 n" }, { 9000, "", "kept policy a 0.6~ y" } } },
    /* Behind a condition a limiter is charged only for what meets the condition … */
    { ONE(AND("a", STATUS("p", "ERROR") ", " RATE("q", "spans_per_second: 1, burst_capacity: 1"))),
      { { 0, "ok", NONE }, { 0, "ok", NONE }, { 0, "error", "kept policy a 1~ y" }, { 0, "error", "dropped no_policy - 0.5 n" } } },
    /* … and for all when it comes first. */
    { ONE(AND("a", RATE("q", "spans_per_second: 1, burst_capacity: 1") ", " STATUS("p", "ERROR"))),
      { { 0, "ok", NONE }, { 0, "error", "dropped no_policy - 0.5 n" } } },
    { ONE(AND("a", CHANCE("p", "sampling_percentage: 50") ", " RATE("q", "spans_per_second: 1, burst_capacity: 1"))),
      { { 0, "r=10000000000000", "dropped no_policy - 0.5 n" }, { 0, "r=90000000000000", "kept policy a 0.5~ y" },
        { 0, "r=90000000000000", "dropped no_policy - 0.25 n" } } },
    /* A budget begins anew with every second; what is refused takes nothing of it. */
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 4, composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q") "]")),
      { { 0, "error", "kept policy a 1~ y" }, { 0, "error | child", "dropped no_policy - 0.5 n" }, { 0, "error", "kept policy a 0.6667~ y" },
        { 999, "error", "dropped no_policy - 0.5 n" }, { 999, "ok | child", "kept policy a 1~ y" }, { 999, "ok", "dropped no_policy - 0.5 n" },
        { 1000, "error", "kept policy a 0.6~ y" } } },
    { ONE(COMPOSITE("a", "max_total_spans_per_second: 3, composite_sub_policy: [" STATUS("p", "ERROR") ", " ALWAYS("q") "], "
                    "rate_allocation: [{policy: p, percent: 100}, {policy: q, percent: 100}]")),
      { { 0, "error | child", "kept policy a 1~ y" }, { 0, "ok | child", "dropped no_policy - 0 n" }, { 0, "ok", "kept policy a 0.5~ y" } } },
};

static void limiters_are_charged_in_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(sequences); i++) {
        const struct trial_rules from = { .policies = sequences[i].policies };
        struct sample_rules *rules = trial_rules_new(&from);
        struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = rules, .generation = 1 });
        for (const struct turn *turn = sequences[i].turns; turn->trace; turn++) {
            struct trial trial;
            const char *says = trial_run_in(sampler, rules, turn->trace, TRIAL_BEGIN + turn->ms * 1000000, &trial);
            if (strcmp(says, turn->says) != 0)
                fail_msg("%s\n  %zu. at %d ms\n  wanted: %s\n  got:    %s", sequences[i].policies, turn - sequences[i].turns + 1,
                         (int)turn->ms, turn->says, says);
        }
        sampler_free(&sampler);
        sample_rules_unref(&rules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_decide_as_documented),
        cmocka_unit_test(the_first_match_decides_when_asked_to),
        cmocka_unit_test(a_ratio_has_the_collectors_hash_threshold),
        cmocka_unit_test(limiters_are_charged_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
