/* mem.c - thin covers over malloc and mmap that never return NULL.
 *
 * The message of an abort is built without stdio and without allocation, because both may need the
 * memory that has just run out. */
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void stderr_put(const char *bytes, size_t len)
{
    ssize_t written = write(STDERR_FILENO, bytes, len);
    (void)written; /* The process ends here in any case. */
}

static _Noreturn void out_of_memory(size_t bytes)
{
    static const char before[] = "meshglass: out of memory: ", after[] = " bytes refused\n";
    char line[96], digits[20];
    size_t len = sizeof before - 1, n = 0;

    memcpy(line, before, len);
    do {
        digits[n++] = (char)('0' + bytes % 10);
        bytes /= 10;
    } while (bytes);
    while (n)
        line[len++] = digits[--n];
    memcpy(line + len, after, sizeof after - 1);
    stderr_put(line, len + sizeof after - 1);
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);

    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *mem_zero(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory(SIZE_MAX);

    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *mem_grow(void *memory, size_t bytes)
{
    void *grown = realloc(memory, bytes ? bytes : 1);

    if (!grown)
        out_of_memory(bytes);
    return grown;
}

void *mem_copy(const void *source, size_t bytes)
{
    void *copy = mem_alloc(bytes);

    if (bytes)
        memcpy(copy, source, bytes);
    return copy;
}

char *mem_text(const char *text)
{
    return mem_copy(text, strlen(text) + 1);
}

void mem_free(void *memory)
{
    free(memory);
}

void *mem_map(size_t bytes)
{
    assert(bytes > 0);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        out_of_memory(bytes);
    return memory;
}

void mem_unmap(void *memory, size_t bytes)
{
    if (!memory)
        return;
    int status = munmap(memory, bytes);
    assert(status == 0); /* Only a wrong address or length can fail here. */
    (void)status;
}
