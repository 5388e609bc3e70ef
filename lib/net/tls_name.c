/* tls_name.c - subject alternative names against an allow-list.
 *
 * What an entry of the list is, its text decides: with "://" a URI, an address an IP, else a DNS
 * name. It is compared with names of its own kind only, so a DNS name that looks like an address
 * matches no address. Wildcards count in the list alone, never in a certificate: an entry says what
 * is allowed, and a certificate for "*.example.com" must not pass as everybody below it. */
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include "net/tls_private.h"

#define IP_BYTES_MAX 16

static struct str text_of(const ASN1_STRING *string)
{
    return str_n(ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

/* "*.example.com" allows exactly one label, and that one must be real. */
static bool dns_matches(struct str name, struct str entry)
{
    struct str label, rest;

    if (str_eq_nocase(name, entry))
        return true;
    if (!str_starts(entry, STR("*.")) || !str_split_at(name, '.', &label, &rest))
        return false;
    return label.len > 0 && !memchr(label.ptr, '*', label.len) &&
           str_eq_nocase(rest, str_n(entry.ptr + 2, entry.len - 2));
}

/* Whoever resolves "a/../b" leaves the path that the entry allows. */
static bool has_dot_segment(struct str path)
{
    struct str segment;

    while (str_cut(&path, '/', &segment))
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return true;
    return false;
}

/* The '*' at the end stands for the rest of a path, not of an authority: "spiffe://mesh*" would
 * allow "spiffe://mesh.attacker". */
static bool uri_matches(struct str name, struct str entry)
{
    size_t authority;

    if (str_eq(name, entry))
        return true;
    if (!str_ends(entry, STR("*")) || !str_find(entry, STR("://"), &authority))
        return false;
    struct str prefix = str_n(entry.ptr, entry.len - 1);
    return memchr(entry.ptr + authority + 3, '/', entry.len - authority - 3) &&
           name.len > prefix.len && str_starts(name, prefix) && !has_dot_segment(name);
}

/* Bytes of the address; 0: the text is none. */
static size_t parse_ip(struct str text, unsigned char out[IP_BYTES_MAX])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof copy)
        return 0;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, out) == 1)
        return 4;
    return inet_pton(AF_INET6, copy, out) == 1 ? 16 : 0;
}

static bool entry_matches(const GENERAL_NAME *name, struct str entry)
{
    unsigned char ip[IP_BYTES_MAX];
    size_t at, ip_len = parse_ip(entry, ip);
    bool is_uri = str_find(entry, STR("://"), &at);

    if (entry.len == 0)
        return false;
    switch (name->type) {
    case GEN_DNS:
        return !is_uri && !ip_len && dns_matches(text_of(name->d.dNSName), entry);
    case GEN_URI:
        return is_uri && uri_matches(text_of(name->d.uniformResourceIdentifier), entry);
    case GEN_IPADD:
        return ip_len && str_eq(text_of(name->d.iPAddress), str_n(ip, ip_len));
    default:
        return false;
    }
}

static bool name_matches(const GENERAL_NAME *name, const struct conf_list *allowed)
{
    for (size_t i = 0; i < allowed->n; i++)
        if (entry_matches(name, allowed->at[i]))
            return true;
    return false;
}

bool tls_name_matches(const X509 *certificate, const struct conf_list *allowed)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool matches = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !matches; i++) /* NULL: -1 */
        matches = name_matches(sk_GENERAL_NAME_value(names, i), allowed);
    GENERAL_NAMES_free(names);
    return matches;
}
