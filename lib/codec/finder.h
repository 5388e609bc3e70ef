/* finder.h - regular expressions looked for inside a text. The language is codec/regex.h's (RE2's habits, refused by name what is not
 * RE2); the anchors are only those of the pattern.
 *
 * Texts come from peers, so a text has a budget of work that grows with its length alone: a quick try, a counted one, and at last an
 * automaton that sees only whether there is a match. What none of them can tell in its budget is given up; the caller decides
 * what that means. The last two also take from a budget of the scratch, which all texts of a request share. The verdict depends on
 * pattern, text and what is left of that budget, never on time. */
#pragma once
#include "base/buf.h"
#include "base/str.h"

struct finder;         /* immutable, any thread */
struct finder_scratch; /* memory of searches, kept between them; one a thread */
enum finder_verdict { FINDER_ABSENT, FINDER_FOUND, FINDER_GAVE_UP };

/* E_FORMAT, E_TOO_BIG as regex_compile. */
enum mg_err finder_compile(struct finder **out, struct str pattern, struct mg_why *why) MG_MUST_USE;
void finder_free(struct finder **finder);
struct finder_scratch *finder_scratch_new(void);
void finder_scratch_free(struct finder_scratch **scratch);
/* From now on; a new scratch has no such bound. A step is some 15 ns. Once they are spent, a text for which the quick try does not do
 * (long, or tedious) is given up at once. */
void finder_scratch_budget(struct finder_scratch *scratch, uint64_t steps);
bool finder_scratch_is_spent(const struct finder_scratch *scratch);

/* Is there a match, an empty one included? A bad sequence counts as U+FFFD. */
enum finder_verdict finder_search(const struct finder *finder, struct finder_scratch *scratch, struct str text);
/* FOUND: *out is the text with every match that is not empty replaced by `with`, matches that touch by one; bytes beside the
 * matches stay as they are, bad ones too. ABSENT, GAVE_UP: *out is empty. *out is cleared first. */
enum finder_verdict finder_replace(const struct finder *finder, struct finder_scratch *scratch, struct str text, struct str with,
                                   struct buf *out);
