/* head_rig.h - a struct head with rows of configuration as `--set` has them, a clock that the test moves, and a folder for files. */
#pragma once
#include "sample/head.h"
#include "unit/sample/rows.h"

#define RIG_SECOND UINT64_C(1000000000)
#define RIG_SETS_MAX 16

struct head_rig {
    char dir[64], state[96], file[96]; /* a folder; paths in it, nothing there at first */
    bool keeps_state;                  /* true after rig_open; each calculation then waits for the disk */
    struct rows rows;
    struct metric_registry *metrics;   /* of the head */
    struct conf *conf;                 /* owns texts and trees */
    struct head_conf head_conf;
    struct sample_conf sampling;
    struct head *head;
    struct arena arena;                /* of answers, until rig_close */
};
/* sets: "key=value" below sampling, ended by NULL; "@file" in a value is the path of the strategies file. */
void rig_open(struct head_rig *rig);
void rig_close(struct head_rig *rig);
enum mg_err rig_try(struct head_rig *rig, const char *const *sets, struct mg_why *why); /* the head; on failure there is none */
void rig_start(struct head_rig *rig, const char *const *sets);                           /* the same; a failure fails the test */
void rig_stop(struct head_rig *rig);
enum mg_err rig_reload(struct head_rig *rig, const char *const *sets, struct mg_why *why);
#define RIG_SETS(...) ((const char *const[]){ __VA_ARGS__, NULL })

void rig_write(const char *path, const char *text);
void rig_pass(struct head_rig *rig, uint64_t seconds); /* with a tick each second */
uint64_t rig_now_ns(void);                             /* of all rigs; any thread */
void rig_move(uint64_t ns);                            /* the clock alone */

/* What a root says of its sampling: "" nothing; "probabilistic 0.1" Jaeger's tags; "otel probabilistic 0.1" OpenTelemetry's;
 * "text probabilistic 0.1" with the param as a string; "ot=th:8" a tracestate. */
const struct row *rig_row(struct head_rig *rig, const char *service, const char *operation, const char *says);
void rig_count(struct head_rig *rig, const struct row *row, uint64_t n);

/* "P 0.5" or "L 5", then " | " default lower bound and the operations when it has them: "P 0.5 | 0 | /a 0.1, /b 1". In the arena. */
const char *rig_told(struct head_rig *rig, const char *service);
double rig_probability(struct head_rig *rig, const char *service, const char *operation); /* its row, or the default */
const struct head_row *rig_row_of(struct head_rig *rig, const char *service, const char *operation); /* of head_effective; NULL */
double rig_metric(struct head_rig *rig, const char *sample); /* "name{label="value"}" of the exposition; -1: not there */

#define STATIC   "head.mode=static"
#define ADAPTIVE "head.mode=adaptive"
#define FILE_KEY "head.strategies_file=@file"
extern const char rig_full_file[], rig_limit_file[]; /* a strategies file with all there is; one of rate limits alone */
