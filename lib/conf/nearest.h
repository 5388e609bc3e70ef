/* nearest.h - which known key was meant by one that is not known. Used by conf.c only. Any thread;
 * no state. */
#pragma once
#include "conf/entry.h"

/* The first of these that there is; among several, the nearest:
 *   a row of the same section, when its last part is near or one begins with the other
 *   a row anywhere whose last part is the same
 *   a section beside it that is near, when with_sections
 *   the nearest row of all
 * Borrows from the conf. Empty: it has no rows. */
struct str nearest_key(const struct conf *conf, struct str key, bool with_sections);
