/* sealed.h - what sealing adds to a partition (FORMAT.md 5): the merged run and the index. Private to store.
 *
 * Readers take bytes of a file: lengths are checked before anything is read, and a value that does not fit together
 * is E_FORMAT or "not there"; the per-block runs and summaries stay and serve instead. Any thread. */
#pragma once
#include "store/partition.h"

#define RUN_MERGED UINT32_MAX /* key of the merged run */

/* Writes both and `sealed`, in one transaction. Block thread (or opener). */
enum mg_err sealed_write(struct partition *partition, struct mg_why *why) MG_MUST_USE;

/* A merged run whose length fits; its checksum is not looked at. */
struct merged_run { const uint8_t *pairs; uint32_t n; };
bool merged_run_open(struct str value, struct merged_run *out);
/* The merged run of a partition; false: it has none that is sound in form. */
bool merged_run_get(struct kv_txn *txn, struct merged_run *out);
/* Index of the first pair that is not below the fingerprint; n: none. */
uint32_t merged_run_seek(const struct merged_run *run, uint32_t fingerprint);
uint32_t merged_run_fingerprint(const struct merged_run *run, uint32_t at);
uint32_t merged_run_block(const struct merged_run *run, uint32_t at);
/* Its form and its checksum; and, when txn is not NULL, whether it is what the blocks' runs give. */
enum mg_err merged_run_check(struct str value, struct kv_txn *txn, struct mg_why *why) MG_MUST_USE;

/* Fills blocks, names and sums of the partition from its index. On failure they are as before. */
enum mg_err sealed_index_read(struct str value, struct partition *partition) MG_MUST_USE;
/* As sealed_write would make it, for the check. */
void sealed_index_make(const struct partition *partition, struct buf *out);
