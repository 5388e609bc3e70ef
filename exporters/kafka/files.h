/* files.h - the TLS files that rows of librdkafka's name, and whether one has changed: librdkafka reads them once, when a client is made.
 * Module-private; one thread. */
#pragma once
#include "conf/conf.h"

struct kafka_files;
struct kafka_files *kafka_files_new(const struct conf_list *properties); /* looks; reads no file */
/* True once a change: of time, size, or which file it is, of one that comes, and of one that goes. */
bool kafka_files_changed(struct kafka_files *files);
void kafka_files_free(struct kafka_files **files);
