/* endpoints.c - see endpoints.h. Addresses are compared as IPv6, an IPv4 address as the one that is mapped. */
#include "command/endpoints.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <string.h>
#include <unistd.h>
#include "http/url.h"

enum { HOST_BYTES_MAX = 256, ADDRESSES_MOST = 2 };

/* --- form --- */

static bool has_at(struct str text)
{
    return text.len > 0 && memchr(text.ptr, '@', text.len);
}

static enum mg_err check_form(const char *row, struct str endpoint, struct mg_why *why)
{
    struct http_url url;
    struct mg_why inner = { "" };

    if (endpoint.len == 0)
        return MG_OK;
    enum mg_err err = http_url_read(endpoint, &url, &inner);
    if (err == MG_OK && url.query.len) /* often a token */
        err = mg_fail(&inner, MG_E_FORMAT, "what stands behind '?' or '#' is not sent: a token belongs into exporters.*.headers");
    if (err == MG_OK)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT, "%s: is not of the form http[s]://[user:password@]host:port/path: %s", row, inner.text);
}

static enum mg_err check_brokers(const char *section, const struct conf_list *brokers, struct mg_why *why)
{
    for (size_t i = 0; i < brokers->n; i++)
        if (has_at(brokers->at[i]))
            return mg_fail(why, MG_E_FORMAT,
                           "%s.brokers %zu: must be host:port: user and password go into %s.properties, "
                           "as sasl.username=… and sasl.password=…",
                           section, i + 1, section);
    return MG_OK;
}

static enum mg_err check_origins(const struct conf_list *origins, struct mg_why *why)
{
    for (size_t i = 0; i < origins->n; i++)
        if (has_at(origins->at[i]))
            return mg_fail(why, MG_E_FORMAT, "cors.origins %zu: an origin has no user and no password: write scheme://host[:port]",
                           i + 1);
    return MG_OK;
}

static enum mg_err check_forms(const struct settings *settings, struct mg_why *why)
{
    MG_TRY(check_form("exporters.otlp.endpoint", settings->exporters.otlp.peer.endpoint, why));
    MG_TRY(check_form("exporters.zipkin.endpoint", settings->exporters.zipkin.peer.endpoint, why));
    MG_TRY(check_form("exporters.elasticsearch.endpoint", settings->exporters.elasticsearch.peer.endpoint, why));
    MG_TRY(check_brokers("kafka", &settings->kafka.brokers, why));
    MG_TRY(check_brokers("exporters.kafka", &settings->exporters.kafka.brokers, why));
    return check_origins(&settings->cors.origins, why);
}

/* --- places --- */

struct place {
    struct str host; /* without brackets */
    uint16_t port;
    struct in6_addr addresses[ADDRESSES_MOST];
    size_t n; /* of addresses; 0: a name */
};

static const struct in6_addr loopback6 = IN6ADDR_LOOPBACK_INIT, any6 = IN6ADDR_ANY_INIT;

static struct in6_addr mapped(in_addr_t v4)
{
    struct in6_addr v6 = { 0 };

    v6.s6_addr[10] = v6.s6_addr[11] = 0xff;
    memcpy(v6.s6_addr + 12, &v4, sizeof v4);
    return v6;
}

static bool is_same(const struct in6_addr *a, const struct in6_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_any4(const struct in6_addr *address)
{
    struct in6_addr any4 = mapped(htonl(INADDR_ANY));

    return is_same(address, &any4);
}

static bool is_v4(const struct in6_addr *address)
{
    return IN6_IS_ADDR_V4MAPPED(address);
}

static bool is_loopback(const struct in6_addr *address)
{
    return is_same(address, &loopback6) || (is_v4(address) && address->s6_addr[12] == 127);
}

static bool address_of(struct str host, struct in6_addr *out)
{
    char text[INET6_ADDRSTRLEN];
    struct str plain = host, scope;
    struct in_addr v4;

    (void)str_split_at(host, '%', &plain, &scope); /* none: all of it is the address */
    if (plain.len >= sizeof text)
        return false;
    memcpy(text, plain.ptr, plain.len);
    text[plain.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) != 1)
        return inet_pton(AF_INET6, text, out) == 1;
    *out = mapped(v4.s_addr);
    return true;
}

static void find_addresses(struct place *place)
{
    place->n = 0;
    if (str_eq_nocase(place->host, STR("localhost"))) {
        place->addresses[place->n++] = mapped(htonl(INADDR_LOOPBACK));
        place->addresses[place->n++] = loopback6;
    } else if (address_of(place->host, &place->addresses[0])) {
        place->n = 1;
    }
}

/* False: it is off, or has port 0, which becomes one that nobody can have configured. */
static bool door_read(struct str address, struct place *out)
{
    if (http_host_read(address, 0, &out->host, &out->port, NULL) != MG_OK)
        return false;
    find_addresses(out);
    return true;
}

static struct place place_of(const struct http_url *url)
{
    struct place place = { .host = url->host, .port = url->port };

    find_addresses(&place);
    for (size_t i = 0; i < place.n; i++) /* Linux connects to the loopback instead */
        if (is_any4(&place.addresses[i]))
            place.addresses[i] = mapped(htonl(INADDR_LOOPBACK));
        else if (is_same(&place.addresses[i], &any6))
            place.addresses[i] = loopback6;
    return place;
}

/* --- is it this machine? --- */

static bool is_address_of(const struct in6_addr *address, const struct sockaddr *interface)
{
    struct in6_addr own;

    if (interface && interface->sa_family == AF_INET)
        own = mapped(((const struct sockaddr_in *)interface)->sin_addr.s_addr);
    else if (interface && interface->sa_family == AF_INET6)
        own = ((const struct sockaddr_in6 *)interface)->sin6_addr;
    else
        return false;
    return is_same(address, &own);
}

static bool is_of_this_machine(const struct in6_addr *address)
{
    struct ifaddrs *all = NULL;
    bool is_found = is_loopback(address);

    if (!is_found && getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one && !is_found; one = one->ifa_next)
        is_found = is_address_of(address, one->ifa_addr);
    freeifaddrs(all);
    return is_found;
}

static bool is_name_of_this_machine(struct str host)
{
    char name[HOST_BYTES_MAX];

    if (gethostname(name, sizeof name) != 0)
        return false;
    name[sizeof name - 1] = '\0';
    return str_eq_nocase(host, str_of(name));
}

/* A door at 0.0.0.0 has every IPv4 address of the machine, one at [::] all of them. */
static bool has_address(const struct in6_addr *door, const struct in6_addr *address)
{
    if (is_same(door, &any6) || (is_any4(door) && is_v4(address)))
        return is_of_this_machine(address);
    return is_same(door, address);
}

static bool is_beyond_loopback(const struct place *door)
{
    for (size_t i = 0; i < door->n; i++)
        if (is_loopback(&door->addresses[i]))
            return false;
    return door->n > 0;
}

static bool leads_to(const struct place *endpoint, const struct place *door)
{
    if (endpoint->port != door->port)
        return false;
    if (str_eq_nocase(endpoint->host, door->host) || (is_beyond_loopback(door) && is_name_of_this_machine(endpoint->host)))
        return true;
    for (size_t i = 0; i < endpoint->n; i++)
        for (size_t k = 0; k < door->n; k++)
            if (has_address(&door->addresses[k], &endpoint->addresses[i]))
                return true;
    return false;
}

/* --- circles --- */

/* User and password are no part of the sentence. */
static enum mg_err own_door(const char *row, const struct http_url *url, enum door door, struct mg_why *why)
{
    return mg_fail(why, MG_E_FORMAT, "%s: http%s://%s%.*s%.*s is this collector's own door listen.%s: its spans would go round for ever", row,
                   url->is_tls ? "s" : "", url->user_info.ptr ? "***@" : "", STR_ARG(url->authority), STR_ARG(url->path), door_names[door]);
}

static enum mg_err check_endpoint(const struct settings *settings, const char *row, struct str endpoint, struct mg_why *why)
{
    static const enum door doors[] = { DOOR_OTLP_GRPC, DOOR_OTLP_HTTP, DOOR_ZIPKIN };
    struct http_url url;
    struct place door;

    if (http_url_read(endpoint, &url, NULL) != MG_OK)
        return MG_OK; /* off: its form was looked at */
    struct place place = place_of(&url);
    for (size_t i = 0; i < MG_COUNT(doors); i++)
        if (door_read(settings->listen[doors[i]], &door) && leads_to(&place, &door))
            return own_door(row, &url, doors[i], why);
    return MG_OK;
}

static bool share_one(const struct conf_list *a, const struct conf_list *b)
{
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++)
            if (str_eq(a->at[i], b->at[k]))
                return true;
    return false;
}

static enum mg_err check_kafka(const struct settings *settings, struct mg_why *why)
{
    const struct kafka_export_conf *out = &settings->exporters.kafka;
    const struct conf_list topic = { (struct str *)&out->topic, 1 }; /* read only */

    if (share_one(&out->brokers, &settings->kafka.brokers) && share_one(&topic, &settings->kafka.topics))
        return mg_fail(why, MG_E_FORMAT,
                       "exporters.kafka.topic: '%.*s' is one of kafka.topics on the same brokers, so spans would go round for ever",
                       STR_ARG(out->topic));
    return MG_OK;
}

enum mg_err endpoints_check(const struct settings *settings, struct mg_why *why)
{
    MG_TRY(check_forms(settings, why));
    MG_TRY(check_endpoint(settings, "exporters.otlp.endpoint", settings->exporters.otlp.peer.endpoint, why));
    MG_TRY(check_endpoint(settings, "exporters.zipkin.endpoint", settings->exporters.zipkin.peer.endpoint, why));
    return check_kafka(settings, why);
}
