/* scalar.h - one string as a YAML scalar on one line, and what a configuration takes as text. Used by
 * value.c, yaml.c and conf.c only. Any thread; no state. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

/* UTF-8 without control characters other than tab and newline; else E_FORMAT without a place. */
enum mg_err scalar_check(struct str text, struct mg_why *why) MG_MUST_USE;
bool scalar_is_word_char(char c); /* ASCII letters and digits, '-', '.', '_' */

/* A URL, or what should be one, with *** for user and password: from SCHEME:// to the last '@', for
 * a password may hold any character, also those that must not stand there. Any other text as it is;
 * the new one is in the arena. */
struct str scalar_hide_password(struct str text, struct arena *arena);
/* For an error that quotes a text, as printf arguments of "'%s%.*s'": *** for all before the last '@'. */
#define SCALAR_QUOTED(text) scalar_at(text) > 0 ? "***" : "", (int)((text).len - scalar_at(text)), (text).ptr + scalar_at(text)
size_t scalar_at(struct str text); /* of the last '@'; 0: nothing stands before one */

/* As the value of a key: plain where nothing else can be read from it, else in double quotes. */
void scalar_print(struct str s, struct buf *out);
/* The same between the brackets of a flow list or map. */
void scalar_print_in_flow(struct str s, struct buf *out);
void scalar_print_quoted(struct str s, struct buf *out);
