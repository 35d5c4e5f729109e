/*
 * Any bytes in an index, which nobody may believe: see partition.h. What the log
 * holds is not changed, so nothing is missing.
 */
#include "partition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_partition(data, size, ".index");
    return 0;
}
