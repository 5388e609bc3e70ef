/* field.c - see field.h. */
#include "http/field.h"

bool http_is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!is_alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return text.len > 0;
}

bool http_is_field_value(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

struct str http_field_name(struct arena *arena, struct str name)
{
    struct str copy = arena_str(arena, name);
    char *c = (char *)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if (c[i] >= 'A' && c[i] <= 'Z')
            c[i] |= 0x20;
    return copy;
}

bool http_is_hop_field(struct str name)
{
    static const struct str names[] = {
        STR_INIT("host"),       STR_INIT("content-length"),    STR_INIT("te"),
        STR_INIT("expect"),     STR_INIT("connection"),        STR_INIT("keep-alive"),
        STR_INIT("upgrade"),    STR_INIT("transfer-encoding"), STR_INIT("trailer"),
        STR_INIT("proxy-connection"),
    };

    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}
