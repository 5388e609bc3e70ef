/* go_text.h - numbers, booleans and durations in a query, read as Go's strconv and time read them.
 *
 * Clients were written against Jaeger, which hands what these packages say to the user word for
 * word: the UI shows `strconv.ParseInt: parsing "x": invalid syntax`. Accepted is exactly what Go
 * accepts (a sign, no spaces, no digits grouped), so that a query means the same here. E_FORMAT,
 * with Go's sentence in why. Pure functions, any thread. */
#pragma once
#include "base/buf.h"

/* ParseInt in base 10; `bits` 32 or 64 is the range that counts. */
enum mg_err go_int_parse(struct str text, unsigned bits, int64_t *out,
                         struct mg_why *why) MG_MUST_USE;
/* ParseUint in base 16, 64 bits. */
enum mg_err go_hex_parse(struct str text, uint64_t *out, struct mg_why *why) MG_MUST_USE;
/* ParseBool: 1 t T TRUE true True 0 f F FALSE false False. */
enum mg_err go_bool_parse(struct str text, bool *out, struct mg_why *why) MG_MUST_USE;
/* time.ParseDuration: "1.2s", "1h30m", "-5ms", "0"; units ns us µs μs ms s m h. Nanoseconds. */
enum mg_err go_duration_parse(struct str text, int64_t *ns, struct mg_why *why) MG_MUST_USE;
/* strconv.Quote; appends. */
void go_quote(struct buf *out, struct str text);
