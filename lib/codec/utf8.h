/* utf8.h - strict UTF-8 (no surrogates, no overlong forms, ≤ U+10FFFF). Any thread. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
bool utf8_valid(const void *bytes, size_t len); /* fast on ASCII: 8 bytes a step */
/* Appends s with every maximal bad sequence replaced by U+FFFD. */
void utf8_sanitize(struct buf *out, struct str s);
struct str utf8_clean(struct str s, struct arena *arena); /* s itself when it is valid, else sanitised, in the arena */
/* Looks at the sequence at the front of non-empty bytes: returns its length and whether it is valid;
 * when it is not, the length of the maximal bad sequence (1-3), which one U+FFFD stands for. */
size_t utf8_sequence(const void *bytes, size_t len, bool *valid);
/* The longest prefix of at most `bytes` bytes that does not cut a character. */
struct str utf8_cut(struct str s, size_t bytes);
/* Encodes one code point (≤ U+10FFFF, no surrogate); returns 1-4 bytes written. */
size_t utf8_encode(uint32_t code_point, char out[4]);
