/* block_fuzz.c - foreign bytes as a block: opened, checked, decoded and searched.
 *
 * Checksums would stop nearly every input at the door, so they are made right first; what is left
 * to the reader is everything that a checksum does not promise. The summary reader gets the same
 * bytes. */
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "store/block.h"
#include "store/block_format.h"
#include "store/summary.h"

#define INPUT_MAX 16384 /* bytes; what a run-length block could unpack to stays small */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reseal(uint8_t *block, size_t len)
{
    uint32_t n = get_le32(block + 20);
    struct hash64_stream *stream = hash64_new();

    if (n <= (len - BLOCK_HEADER_BYTES) / BLOCK_ENTRY_BYTES) {
        for (uint32_t i = 0; i < n; i++) {
            uint8_t *entry = block + BLOCK_HEADER_BYTES + i * BLOCK_ENTRY_BYTES;
            uint32_t offset = get_le32(entry + 8), packed = get_le32(entry + 12);
            if (offset <= len && packed <= len - offset)
                put_le64(entry + 24, hash64(block + offset, packed, BLOCK_SEED_SEGMENT));
        }
        hash64_begin(stream, BLOCK_SEED_HEAD);
        hash64_add(stream, block, 24);
        hash64_add(stream, block + BLOCK_HEADER_BYTES, (size_t)n * BLOCK_ENTRY_BYTES);
        put_le64(block + 24, hash64_end(stream));
    }
    hash64_free(&stream);
}

static bool on_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    *(uint64_t *)owner += trace_id[0] + start_ns;
    return true;
}

static void on_operation(void *owner, struct str service, struct str operation, int kind)
{
    *(uint64_t *)owner += service.len + operation.len + (uint64_t)kind;
}

static const struct filter_tag tags[] = {
    { .key = STR_INIT("http.method"), .value = STR_INIT("GET") },
    { .key = STR_INIT("k"), .value = STR_INIT("42") },
    { .key = STR_INIT("k"), .value = STR_INIT("0") },
    { .key = STR_INIT("user.id"), .value = STR_INIT("d9428888-122b-11e1-b85c-61cd3cbb3210") },
    { .key = STR_INIT("error"), .value = STR_INIT("true") },
    { .key = STR_INIT("otel.status_description"), .value = STR_INIT("ok") },
    { .key = STR_INIT("resource.x"), .value = STR_INIT("true") },
    { .key = STR_INIT("x"), .value = STR_INIT("") },
};

static void search(struct str block)
{
    struct block_reader *reader = NULL;
    uint64_t sum = 0;

    if (block_open(&reader, block, NULL) != MG_OK)
        return;
    for (size_t i = 0; i < MG_COUNT(tags); i++) {
        struct span_filter filter = { .start_max_ns = UINT64_MAX,
                                      .duration_max_ns = UINT64_MAX - 1,
                                      .tags = &tags[i],
                                      .n_tags = 1 };
        sum += block_search(reader, &filter, on_hit, &sum, NULL); /* any answer is fine */
        filter.operation = STR("GET");
        filter.service = STR("missing-service-name");
        filter.n_tags = 0;
        sum += block_search(reader, &filter, on_hit, &sum, NULL);
    }
    block_close(&reader);
}

static void ask_summary(struct str bytes, uint64_t *sum)
{
    struct summary summary;

    if (summary_read(bytes, &summary) != MG_OK)
        return;
    *sum += summary_operations(&summary, on_operation, sum);
    for (size_t i = 0; i < MG_COUNT(tags); i++)
        for (int op = TAG_EQUALS; op <= TAG_IS; op++) {
            const struct filter_tag tag = { .key = tags[i].key, .value = tags[i].value, .op = (enum filter_op)op, .number = 42 };
            const struct span_filter filter = { .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX, .tags = &tag, .n_tags = 1 };
            *sum += summary_may_match(&summary, &filter);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;

    ask_summary(str_n(data, size), &sum);
    if (size < BLOCK_HEADER_BYTES || size > INPUT_MAX)
        return 0;
    uint8_t *block = mem_copy(data, size);
    reseal(block, size);
    sum += block_check(str_n(block, size), STR(""), STR(""), NULL);
    search(str_n(block, size));
    mem_free(block);
    return 0;
}
