/*
 * catalogues.c - see catalogues.h.
 */
#include "catalogues.h"
#include <sys/stat.h>

struct heap heap;
struct meta *meta;

int catalogue_set_up(void **state)
{
    (void)state;
    test_directory();
    rill__heap_init(&heap, NULL, 0);
    assert_int_equal(mkdir(test_path("meta"), 0700), 0);
    OK(rill__meta_open(&heap, test_path("meta"), true, &meta));
    return 0;
}

int catalogue_tear_down(void **state)
{
    (void)state;
    rill__meta_close(meta);
    meta = NULL;
    test_directory_remove();
    return heap.bytes == 0 ? 0 : -1;
}

void catalogue_reopen(void)
{
    rill__meta_close(meta);
    meta = NULL;
    OK(rill__meta_open(&heap, test_path("meta"), false, &meta));
}
