/* etag.h - whether a client has what it asks for already (RFC 9110 13.1.2). Pure, any thread. */
#pragma once
#include "base/str.h"

/* Does If-None-Match (empty: it was not sent) name this tag, or any? Then the answer is 304 without
 * the body. The tag is strong, with its quotes, and without a comma. */
bool etag_is_known(struct str if_none_match, struct str etag) MG_MUST_USE;
