/*
 * coverage.h - included before everything else when coverage is measured: children
 * that end by _exit keep what they have counted.
 */
#ifndef RILL_TEST_COVERAGE_H
#define RILL_TEST_COVERAGE_H
#include <unistd.h>

void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))

#endif
