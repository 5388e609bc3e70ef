/* catalog.c - a map from service to a map from (kind byte, operation) to nothing. */
#include "store/catalog.h"
#include <stdlib.h>
#include "base/buf.h"
#include "base/mem.h"
#include "codec/utf8.h"

struct catalog {
    struct map services; /* struct map * each */
    size_t n;            /* operations of all of them */
};

struct catalog *catalog_new(void)
{
    return MEM_NEW(struct catalog);
}

void catalog_free(struct catalog **pointer)
{
    struct catalog *catalog = MG_STEAL(*pointer);
    struct str key;
    void *value;

    if (!catalog)
        return;
    for (size_t i = 0; map_next(&catalog->services, &i, &key, &value);) {
        map_fini(value);
        mem_free(value);
    }
    map_fini(&catalog->services);
    mem_free(catalog);
}

static struct map *operations_of(struct catalog *catalog, struct str service)
{
    void **operations = map_find(&catalog->services, service);
    bool is_new;

    if (operations || catalog->services.n >= CATALOG_NAMES_MAX)
        return operations ? *operations : NULL;
    operations = map_put(&catalog->services, service, &is_new);
    return *operations = MEM_NEW(struct map);
}

/* Key of an operation: kind byte, name. */
static void add_key(struct catalog *catalog, struct str service, struct str key)
{
    struct map *operations = operations_of(catalog, service);
    bool is_new = false;

    if (operations && catalog->n < CATALOG_NAMES_MAX)
        (void)map_put(operations, key, &is_new);
    catalog->n += is_new;
}

void catalog_add(struct catalog *catalog, struct str service, struct str operation, int kind)
{
    char key[1 + CATALOG_NAME_BYTES];

    operation = utf8_cut(operation, CATALOG_NAME_BYTES);
    key[0] = (char)kind;
    if (operation.len)
        memcpy(key + 1, operation.ptr, operation.len);
    add_key(catalog, utf8_cut(service, CATALOG_NAME_BYTES), str_n(key, operation.len + 1));
}

void catalog_merge(struct catalog *into, const struct catalog *from)
{
    struct str service, key;
    void *operations, *value;

    for (size_t i = 0; map_next(&from->services, &i, &service, &operations);)
        for (size_t k = 0; map_next(operations, &k, &key, &value);)
            add_key(into, service, key);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int by_operation(const void *a, const void *b)
{
    const struct catalog_operation *left = a, *right = b;
    int order = str_cmp(left->name, right->name);

    return order ? order : left->kind - right->kind;
}

size_t catalog_services(const struct catalog *catalog, struct arena *arena, struct str **out)
{
    struct str key;
    void *value;
    size_t n = 0;

    *out = arena_alloc(arena, (catalog->services.n + 1) * sizeof **out);
    for (size_t i = 0; map_next(&catalog->services, &i, &key, &value);)
        (*out)[n++] = arena_str(arena, key);
    qsort(*out, n, sizeof **out, by_text);
    return n;
}

size_t catalog_operations(const struct catalog *catalog, struct str service, struct arena *arena, struct catalog_operation **out)
{
    void **operations = map_find(&catalog->services, utf8_cut(service, CATALOG_NAME_BYTES)), *value;
    struct str key;
    size_t n = 0;

    *out = NULL;
    if (!operations)
        return 0;
    *out = arena_alloc(arena, (((struct map *)*operations)->n + 1) * sizeof **out);
    for (size_t i = 0; map_next(*operations, &i, &key, &value);)
        (*out)[n++] = (struct catalog_operation){ arena_str(arena, str_n(key.ptr + 1, key.len - 1)), (uint8_t)key.ptr[0] };
    qsort(*out, n, sizeof **out, by_operation);
    return n;
}

static void put_name(struct buf *out, struct str name)
{
    buf_put_varint(out, name.len);
    buf_put_str(out, name);
}

void catalog_write(const struct catalog *catalog, struct buf *out)
{
    struct arena arena = { 0 };
    struct catalog_operation *operations;
    struct str *services;
    size_t n = catalog_services(catalog, &arena, &services);

    buf_put_varint(out, n);
    for (size_t i = 0; i < n; i++) {
        size_t n_operations = catalog_operations(catalog, services[i], &arena, &operations);
        put_name(out, services[i]);
        buf_put_varint(out, n_operations);
        for (size_t k = 0; k < n_operations; k++) {
            put_name(out, operations[k].name);
            buf_put_char(out, (char)operations[k].kind);
        }
    }
    arena_fini(&arena);
}
