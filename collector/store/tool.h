/* tool.h - what the store's tools share; private to tools.c and tools_decisions.c. One thread. */
#pragma once
#include "store/partition.h"
#include "store/tools.h"

struct tool {
    store_line_fn *on_line;
    void *owner;
    struct mg_why *why;      /* of the first fault */
    uint64_t faults;
    const char *dir;
};
/* One readable partition. A failure is told and counted by the caller. */
typedef enum mg_err partition_fn(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why);
/* One block. */
typedef enum mg_err block_fn(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why);

void tool_say(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3))); /* a line */
void tool_fault(struct tool *tool, const struct mg_why *why); /* counts; the first one is the tool's result */
/* Calls back for every partition, the archive last; files that were never committed to are no fault. on_fault may be NULL. */
enum mg_err tool_each_partition(struct tool *tool, partition_fn *on_partition, partition_fn *on_fault) MG_MUST_USE;
/* Calls back for every block, also those after a bad one; the first failure is the result. */
enum mg_err tool_each_block(struct tool *tool, const struct partition *partition, struct kv_txn *txn, block_fn *on_block, struct mg_why *why) MG_MUST_USE;

/* tools_decisions.c. `length` is tag 10 of the state. */
typedef void tool_fault_fn(void *owner, const struct mg_why *why);
struct decisions_found { uint64_t decisions, bytes, faults; bool is_there, is_merged; };
/* Every fault of a partition's decisions; `commit` is that of its state. */
void tool_check_decisions(struct partition *partition, uint64_t length, uint64_t commit, tool_fault_fn *on_fault, void *owner,
                          struct decisions_found *found);
/* Tag 10 of the partition's state; 0 when that cannot be read. */
uint64_t tool_decisions_length(struct kv_txn *txn);
