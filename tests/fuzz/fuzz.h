/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target is a file with LLVMFuzzerTestOneInput: bytes in, abort() if rill does
 * with them what it must not. libFuzzer makes the bytes, or driver.c, which runs
 * files and mutations of them with any compiler. The inputs kept are in
 * corpus/TARGET.
 */
#ifndef RILL_FUZZ_H
#define RILL_FUZZ_H
#include "testing.h"
#include <rill.h>
#include <stdbool.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* It holds, or the input is a finding. */
#define MUST(condition)                                                                          \
    do {                                                                                         \
        if (!(condition)) fuzz_failed(__FILE__, __LINE__, #condition);                           \
    } while (0)
_Noreturn void fuzz_failed(const char *file, int line, const char *what);

/* Numbers from the input; zeros when it is used up. */
struct input {
    const uint8_t *at;
    const uint8_t *end;
};
bool input_left(const struct input *in);
uint64_t input_take(struct input *in, size_t bytes); /* 1 to 8 */

/* Changes bytes as the input says: a place (3 bytes, modulo size), how (1), and
 * what (1 to 8), again and again until it is used up. */
void input_patch(struct input *in, uint8_t *bytes, size_t size);

/* A directory that lives as long as the process, in memory if it can be. */
const char *fuzz_directory(void);

#endif
