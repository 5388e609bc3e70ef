/* dead_file.h - the dead-letter file: one JSON object a line, on disk before a letter counts as kept. Blocks; one thread.
 *
 *   {"topic":"otlp_spans","partition":0,"offset":17,"timestamp":1700000000000,"key":"…","value":"…","error":"…"}
 *
 * key and value are base64, key is null when there is none; timestamp is Kafka's, in ms since 1970, null when there is none.
 * A file that was renamed or removed (rotation) is made anew. A line is never left half written. */
#pragma once
#include "base/buf.h"

struct dead_letter {
    struct str topic, key, value;
    bool has_key;
    int32_t partition;
    int64_t offset, timestamp_ms; /* -1: none */
    struct str error;
};
void dead_letter_line(struct buf *out, const struct dead_letter *letter); /* appends, with its line end */

struct dead_file;
struct dead_file *dead_file_new(struct str path); /* not opened before the first write */
void dead_file_free(struct dead_file **file);
/* Appends whole lines and waits until they are on disk. On failure the file holds nothing of them. */
enum mg_err dead_file_write(struct dead_file *file, struct str lines, struct mg_why *why) MG_MUST_USE;
