/*
 * samples.c - see samples.h.
 */
#include "samples.h"
#include <fcntl.h>
#include <ftw.h>

rill *store;

int sample_set_up(void **state)
{
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position position = {.topic = "t", .offset = 7, .leader_epoch = -1};
    rill_consumer *consumer;

    (void)state;
    test_directory();
    store = test_store_open();
    test_topic(store, "t", 2);
    test_topic(store, "other", 1);
    test_store_append(store, "t", 0, RECORDS, VALUE);
    test_store_append(store, "other", 0, 3, 10);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    return 0;
}

int sample_tear_down(void **state)
{
    (void)state;
    if (store != NULL) rill_close(store);
    store = NULL;
    test_directory_remove();
    return 0;
}

void sample_close(void)
{
    OK(rill_close(store));
    store = NULL;
}

const char *path_in(const char *topic, int partition, const char *name)
{
    static char path[1500];
    static char ids[2][33];
    char *id = ids[topic[0] == 't'];

    if (store != NULL) {
        rill_topic_info info;
        OK(rill_topic_describe(store, topic, &info));
        for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    }
    snprintf(path, sizeof path, "%s/%s/%d/%s", test_path("store"), id, partition, name);
    return path;
}

const char *closed(const char *name)
{
    static char path[1500];

    snprintf(path, sizeof path, "%s", path_in("t", 0, name));
    path_in("other", 0, name);
    if (store != NULL) sample_close();
    return path;
}

void change(const char *path, long at, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

static int forget(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    char zeros[4096] = {0};
    int fd;

    (void)st, (void)where;
    if (kind != FTW_F || strcmp(strrchr(path, '/'), "/control") != 0 ||
        strstr(path, "quarantine") != NULL)
        return 0;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
    close(fd);
    return 0;
}

void forget_boot(void)
{
    assert_int_equal(nftw(test_path("store"), forget, 16, FTW_PHYS), 0);
}
