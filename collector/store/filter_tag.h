/* filter_tag.h - the parts of a tag comparison, shared by filter.c and block_search.c so that both
 * mean the same; private to the store. `scratch` is any buffer: it is cleared and its limit is set.
 */
#pragma once
#include "store/filter.h"

bool filter_text_eq(struct str text, struct str wanted); /* text is sanitised first */
bool filter_value_eq(const struct value *value, struct str wanted, struct buf *scratch);
/* Does a value of the tag's key satisfy the tag, by its op? */
bool filter_value_holds(const struct value *value, const struct filter_tag *tag,
                        struct buf *scratch);
bool filter_number_holds(double have, const struct filter_tag *tag);
bool filter_text_holds(struct str text, const struct filter_tag *tag); /* ops other than equals */
/* KeyValue fields with that number in a message: does one match? A malformed rest is not looked at.
 */
bool filter_attributes(struct str message, uint32_t field, const struct filter_tag *tag,
                       struct buf *scratch);
bool filter_operation(struct str name, struct str wanted);
bool filter_service(struct str resource, struct str wanted);

/* Where a tag can hold: derived tags of kind and status; two optional strings; the wire-form parts.
 */
bool filter_kind_status(const struct filter_tag *tag, int32_t kind, int32_t status);
bool filter_wants_description(const struct filter_tag *tag);
bool filter_wants_trace_state(const struct filter_tag *tag);
bool filter_resource(struct str resource, const struct filter_tag *tag, struct buf *scratch);
bool filter_scope(struct str scope, const struct filter_tag *tag, struct buf *scratch);
bool filter_events(struct str events, const struct filter_tag *tag, struct buf *scratch);
bool filter_links(struct str links, const struct filter_tag *tag, struct buf *scratch);
