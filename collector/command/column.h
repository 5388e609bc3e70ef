/* column.h - text that strangers wrote, in the columns of a terminal. Private to the module.
 *
 * Names of services, operations and policies come from the network or a file: control characters (C0, C1, DEL) and what is
 * no UTF-8 are shown as '?', one for each, so that no name can steer the terminal or break a line. Any thread. */
#pragma once
#include "base/buf.h"

/* Characters, each taken as one column wide. */
size_t column_width(struct str text);
/* Appends the text, then spaces up to `width`; longer text stays whole. */
void column_put(struct buf *out, struct str text, size_t width);
