#include "group/inner.h"
int rill__assign_sticky(struct heap *heap, struct member **members, size_t count)
{
    return rill__assign_round_robin(heap, members, count);
}
