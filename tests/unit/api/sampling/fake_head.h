/* fake_head.h - what head would answer, given by the test. For one file a program. */
#pragma once
#include "strategies.h"
#include "base/mem.h"
#include "http/http.h"

static struct {
    struct head *asked_of; /* as the routes' owner is handed on */
    struct strategy strategy;
    char service[256];     /* asked for last, with a NUL behind it */
    size_t service_len;
    unsigned n_asked;
    struct head_row rows[4];
    size_t n_rows;
} fake;

/* An address for the routes' owner; nothing looks into it. */
static char a_head[1];
#define HEAD ((void *)a_head)

/* The routes as the program hands them to a server: those without an owner are head's. */
static inline const struct http_route *owned(const struct http_route *(*routes)(size_t *n), size_t *n)
{
    static struct http_route copies[4];
    const struct http_route *originals = routes(n);

    assert_true(*n <= MG_COUNT(copies));
    for (size_t i = 0; i < *n; i++) {
        copies[i] = originals[i];
        if (!copies[i].owner)
            copies[i].owner = HEAD;
    }
    return copies;
}

void head_strategy(struct head *head, struct str service, struct arena *arena, struct strategy *out)
{
    (void)arena_str(arena, service); /* the arena can be used */
    fake.asked_of = head;
    fake.n_asked++;
    fake.service_len = service.len;
    snprintf(fake.service, sizeof fake.service, "%.*s", STR_ARG(service));
    *out = fake.strategy;
}

void head_effective(struct head *head, struct arena *arena, struct head_row **rows, size_t *n)
{
    (void)arena;
    fake.asked_of = head;
    *rows = fake.rows;
    *n = fake.n_rows;
}

/* A strategy whose encodings are larger than any answer may be: `operation` must hold four megabytes. */
#define LARGE_BYTES (((size_t)4 << 20) + 1)
static inline void make_large(struct strategy_operation *operation)
{
    char *name = mem_alloc(LARGE_BYTES);

    memset(name, 'x', LARGE_BYTES);
    *operation = (struct strategy_operation){ str_n(name, LARGE_BYTES), 1 };
    fake.strategy = (struct strategy){ .has_operations = true, .operations = operation, .n_operations = 1 };
}
static inline void free_large(struct strategy_operation *operation)
{
    mem_free((char *)operation->name.ptr);
}
