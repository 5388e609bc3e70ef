/* field.h - what a header field may be made of (RFC 9110 5), for those who read fields and those who
 * write them. Pure functions, any thread. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

bool http_is_token(struct str text);       /* RFC 9110 5.6.2: methods and names */
bool http_is_field_value(struct str text); /* RFC 9110 5.5: no control characters but tabs */
/* The copy of a name in small letters, in which names are compared; also of what is no token. */
struct str http_field_name(struct arena *arena, struct str name);
/* Fields that say how a request travels, by their name in small letters: host, content-length, te,
 * expect, and those of RFC 9110 7.6.1. The client writes them: a second one would contradict it. */
bool http_is_hop_field(struct str name);
