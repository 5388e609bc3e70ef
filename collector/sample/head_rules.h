/* head_rules.h - what head sampling is told by its configuration, compiled, and who has the last word; private to sample.
 *
 * Main thread. */
#pragma once
#include "sample/class.h"
#include "sample/head.h"
#include "sample/strategies.h"

#define HEAD_OVERRIDES_MAX 1000
#define HEAD_NO_OVERRIDE   SIZE_MAX

/* sampling.head.overrides: the first of the list that fits counts. */
struct head_override {
    bool has_service, has_operation, has_probability; /* or else a target */
    struct str service, operation;
    size_t class;            /* CLASS_NONE: not by class */
    double probability, target;
};
struct head_rules {
    struct arena arena;
    struct head_conf conf;   /* file: a copy in the arena; overrides: NULL */
    struct classes *classes;
    struct head_override *overrides;
    size_t n_overrides;
};
/* Errors (E_FORMAT) name the place: "sampling.head.overrides 2 (line 7): …". Borrows nothing. */
enum mg_err head_rules_new(struct head_rules **out, const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why) MG_MUST_USE;
void head_rules_free(struct head_rules **rules);

/* What is asked about. An empty operation: the service's default; an empty service: that of services nobody knows. */
struct head_subject {
    struct str service, operation;
    size_t class;            /* class_of_operation */
    size_t override;         /* head_override_of, which costs a walk; HEAD_NO_OVERRIDE: none */
    bool has_result;         /* of the adaptive calculation, for the subject itself */
    double result;
    bool has_default;        /* the calculation has one for the service's default */
    double result_default;
};
size_t head_override_of(const struct head_rules *rules, const struct head_subject *subject);
double head_target(const struct head_rules *rules, size_t override); /* traces/s */

enum head_scope { HEAD_OF_SERVICE, HEAD_OF_CLASS, HEAD_OF_OPERATION }; /* whom it was said about */
struct head_ruling {
    double probability;
    const char *source;      /* as head_row has it */
    enum head_scope scope;
};
void head_rule(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject, struct head_ruling *out);
/* The file's entry that says what type of strategy the service gets; NULL: probabilistic. */
const struct strategies_entry *head_limit(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject);
