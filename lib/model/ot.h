/* ot.h - consistent probability sampling as OpenTelemetry writes it: randomness, rejection thresholds, and the `ot` member of a W3C
 * tracestate (reference: OpenTelemetry "TraceState: Probability Sampling", W3C Trace Context Level 2).
 *
 * A trace has 56 random bits R: `rv` when its tracestate names one, else the low 56 bits of the trace id. A stage with threshold T keeps it
 * when R >= T. T = 0 keeps all; OT_NEVER keeps none and is never written. Thresholds here always have at most four significant hex
 * digits after their leading f's, which is what is written; so what is compared and what is told never differ. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

#define OT_NEVER (UINT64_C(1) << 56)

/* Probabilities beyond 0..1 are cut; below 2^-56: OT_NEVER. NaN: OT_NEVER. */
uint64_t ot_threshold(double probability);
uint64_t ot_rounded(uint64_t threshold);          /* to four significant digits after the leading f's; OT_NEVER stays */
double ot_probability(uint64_t threshold);        /* OT_NEVER: 0 */
/* For people: the number with the fewest decimal digits whose threshold is ot_rounded(threshold), never more than six. 5 % reads 0.05 and
 * not 0.0500002. Everything that shows a probability of a threshold shows this one; sums are made of ot_probability(). OT_NEVER: 0 */
double ot_probability_shown(uint64_t threshold);

struct ot_state { bool has_th, has_rv; uint64_t th, rv; };
/* Reads the `ot` member. Absent, malformed or out of range: as if it were not there, each sub-key for itself. */
void ot_read(struct str trace_state, struct ot_state *out);
uint64_t ot_randomness(const uint8_t trace_id[16], const struct ot_state *state); /* state NULL: no tracestate */
static inline bool ot_keeps(uint64_t threshold, uint64_t randomness) { return randomness >= threshold; }

#define OT_TH_MAX 16
size_t ot_th_text(uint64_t threshold, char out[OT_TH_MAX]);  /* "0", "e666"; NUL-terminated; threshold < OT_NEVER */
/* The tracestate with th set to `threshold`, or without th for OT_NEVER. Other sub-keys of `ot` and other members stay as
 * they were, in their order (what is no sub-key by the specification's grammar goes, and so does a second `ot`); a changed `ot` becomes
 * the first member, and one without sub-keys goes. When nothing has to change the text itself is returned. At most 32 members and
 * 512 bytes: members are left out by the W3C's rule, never `ot`; sub-keys from the end when it would pass 256 bytes, never rv. */
struct str ot_write_th(struct str trace_state, uint64_t threshold, struct arena *arena);
