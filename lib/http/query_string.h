/* query_string.h - percent decoding, for path parameters and query strings. Pure functions, any
 * thread. */
#pragma once
#include "base/str.h"

/* Writes the decoded text to out[text.len] (it never grows) and its length to *len; out may be
 * text.ptr. E_FORMAT: '%' without two hex digits behind it. */
enum mg_err percent_decode(struct str text, bool plus_is_space, char *out, size_t *len) MG_MUST_USE;
