/* block_tags.h - what a block tells of its attributes (summary_tags.h), while it is built and again
 * from its bytes; private to the block codec. Both say the same, which is what a check compares. */
#pragma once
#include "store/block_builder.h"
#include "store/block_read.h"
#include "store/summary_tags.h"

/* Of one attribute column, EMPTY ones too; of a text column `form`, and b->touched its distinct
 * texts. */
void builder_tell_column(struct block_builder *b, const struct attr_column *column, unsigned form);
/* Of resources, scopes and what is nested; their columns hold blob numbers, b->nested_keys still
 * text numbers. */
void builder_tell_rest(struct block_builder *b);
/* All of it, into an empty one. E_FORMAT: the block is damaged. */
enum mg_err reader_tell(struct block_reader *r, struct told *told, struct mg_why *why) MG_MUST_USE;
