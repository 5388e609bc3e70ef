/* regex.h - regular expressions with RE2's habits: always anchored at both ends, no back-references
 * or look-around (refused at compile), match and depth limits so that no pattern can hang a thread.
 * Patterns are UTF-8 of at most 4 KiB. A bad sequence in a text counts as U+FFFD, as which it is
 * shown. */
#pragma once
#include "base/str.h"
struct regex;
/* E_FORMAT, or E_TOO_BIG for the length; why names the byte and what is not supported. */
enum mg_err regex_compile(struct regex **out, struct str pattern, struct mg_why *why) MG_MUST_USE;
void regex_free(struct regex **regex);
/* Any thread. A limit hit counts as no match. */
bool regex_match(const struct regex *regex, struct str text);
