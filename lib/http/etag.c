/* etag.c - the header is "*" or a list, compared weakly: whether a tag has W/ in front does not
 * matter. It is cut at every comma, since the tags it is compared with have none. */
#include "http/etag.h"

bool etag_is_known(struct str if_none_match, struct str etag)
{
    struct str tag;

    while (str_cut(&if_none_match, ',', &tag)) {
        tag = str_trim(tag);
        if (str_starts(tag, STR("W/")))
            tag = str_n(tag.ptr + 2, tag.len - 2);
        if (str_eq(tag, etag) || str_eq(tag, STR("*")))
            return true;
    }
    return false;
}
