/* journal.h - one record of the log as a line of JSON. Private to the module. */
#pragma once
#include "base/buf.h"
#include "journal/journal.h"

/* Appends the line, without its end:
 *   {"position":7,"kind":"body","log_ns":…,"wall_time":"…Z","wall_ns":…,"protocol":"otlp_proto","encoding":"gzip",
 *    "body_bytes":1234,"refused":0}
 *   {"position":8,"kind":"decisions",…,"decisions":[{"trace_id":"…","through":7,"verdict":"kept","reason":"root","rules":0}]}
 * A part that cannot be read becomes "error" with a sentence, and false is returned. */
bool journal_line(const struct journal_record *record, struct buf *out);
