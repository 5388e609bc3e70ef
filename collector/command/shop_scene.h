/* shop_scene.h - what the services of the demo's shop share while one trace is told: who visits,
 * what is still to go wrong or to be slow, and the pieces that every span is made of. Private to
 * the shop's files. */
#pragma once
#include "command/tale.h"

/* Places where something can go wrong. */
enum fault {
    FAULT_NONE,
    FAULT_SQL,
    FAULT_CART_STORE,
    FAULT_CARD,
    FAULT_RECOMMENDATION,
    FAULT_CURRENCY,
    FAULT_SHIPPING,
    FAULT_MAIL,
    FAULTS
};
#define FAULT_BIT(fault) (1u << (fault))

enum { SHOP_PRODUCTS = 10 };

struct shop {
    struct cast *cast;
    struct tale tale;
    enum fault fault, slow; /* what is still to happen in this trace */
    bool is_slow;
    struct str user, session, currency;
    struct shop_trace out;
};
#define SHOP_PICK(shop, array) ((array)[tale_below(&(shop)->tale, MG_COUNT(array))])

struct str shop_uuid(struct shop *shop);
struct str shop_product(struct shop *shop); /* the id of one of SHOP_PRODUCTS */
unsigned shop_port(struct shop *shop);      /* an ephemeral one */

/* The answer of the service where it happens. */
const struct failure *shop_failure(enum fault place);
/* True once, at the first place of its kind; the failure is then under way (tale.failed). */
bool shop_fails(struct shop *shop, enum fault place);
/* Moves the time on, by a long moment at the place that is to be slow. FAULT_NONE: no place. */
void shop_work(struct shop *shop, uint64_t *now, uint64_t median_us, enum fault place);

struct shop_span *shop_begin(struct shop *shop, const struct shop_span *parent, unsigned instance,
                             enum scope scope, int32_t kind, struct str name, uint64_t now);
void shop_put_peer(struct shop_span *span, struct str name, unsigned port);
void shop_put_network(struct shop_span *span, struct str address, unsigned port);
