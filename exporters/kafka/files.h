/* files.h - the TLS files that rows of librdkafka's name, and whether they are others than those in force: librdkafka reads them once,
 * when a client is made. For the producer here and for the consumer (collector/consume). One thread.
 *
 * Who finds them changed makes a new client, and then says how that went. Files that were refused are still changed, and tried again at
 * every look: what stood in the way may pass without a change of theirs. */
#pragma once
#include "base/err.h"
#include "conf/conf.h"

struct kafka_files;
struct kafka_files *kafka_files_new(const struct conf_list *properties); /* looks; reads no file: they are in force */
/* Since they were taken: in time, size, or which file it is, also one that comes or goes. Looks at most once a second; else false. */
bool kafka_files_changed(struct kafka_files *files, uint64_t now_ns);
void kafka_files_taken(struct kafka_files *files); /* as kafka_files_changed saw them: a later change is one */
/* Logs it, unless it did last time, of the same files with the same reason. */
void kafka_files_refused(struct kafka_files *files, const struct mg_why *why);
void kafka_files_free(struct kafka_files **files);
