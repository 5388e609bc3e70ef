/* attribute_list.h - the attributes of one span or resource while rules change them; private to attribute. One thread.
 *
 * Borrowed until the first change, which copies the array (not the texts). Memory of the array is kept between spans. */
#pragma once
#include "attribute/attribute_rules.h"

struct attr_list {
    const struct attr *at;
    size_t n;
    uint64_t bits;          /* of the keys of rules that may be here: those that are, and perhaps more */
    bool is_changed;
    VEC(struct attr) own;   /* where `at` points once something is changed */
};

void attr_list_borrow(struct attr_list *list, const struct attribute_rules *rules, const struct attr *at, size_t n);
void attr_list_fini(struct attr_list *list);
/* The attributes, to be changed in place; counts as a change. */
struct attr *attr_list_change(struct attr_list *list);
/* The last attribute of that key; NULL: none. */
const struct attr *attr_list_find(const struct attr_list *list, const struct rule_key *key);
void attr_list_append(struct attr_list *list, const struct rule_key *key, const struct value *value);
void attr_list_remove(struct attr_list *list, const struct rule_key *key); /* all of that key; the order stays */
