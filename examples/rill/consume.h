/*
 * consume.h - what rill consume and its formats share.
 */
#ifndef CONSUME_H
#define CONSUME_H

#include "tool.h"

struct format {
    bool json;
    bool escape;
    rill_bytes pattern; /* data NULL: key, if there is a separator, and value */
    rill_bytes key_separator;
    rill_bytes delimiter;
    rill_bytes null; /* what stands for null */
};

/* NULL, or what a pattern may have, because this one has something else. */
const char *format_check(rill_bytes pattern);
void format_record(const struct format *format, const rill_record *record);

#endif
