/* go_time.h - times of day in a query, read as Go's time.Parse(time.RFC3339Nano) reads them, with
 * its sentences (see go_text.h): "2026-11-25T16:30:00.123456789+01:00". Pure, any thread. */
#pragma once
#include "base/str.h"

/* Nanoseconds since 1970; a time before is 0, one that does not fit is UINT64_MAX. Digits behind
 * the ninth of a fraction do not count. A space where a sign belongs is a plus that its sender did
 * not encode. E_FORMAT. */
enum mg_err go_time_parse(struct str text, uint64_t *ns, struct mg_why *why) MG_MUST_USE;
