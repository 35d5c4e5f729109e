/*
 * Any bytes in the control file, shared words and durable marks: see partition.h.
 */
#include "partition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_partition(data, size, "control");
    return 0;
}
