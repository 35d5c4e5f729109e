/*
 * base/error.c - see base/error.h.
 *
 * The only state is one buffer per thread, and the handler that the host may
 * install once for the process.
 */
#include "base/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[MESSAGE_SIZE];
static _Thread_local int message_errno; /* that it is about; 0: none */
static _Atomic(rill_bug_fn) bug_handler;

int rill__fail(int code, const char *format, ...)
{
    char text[MESSAGE_SIZE]; /* an argument may be the old message */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof message);
    message_errno = 0;
    return code;
}

int rill__code_of_errno(int errno_value)
{
    switch (errno_value) {
    case 0: return 0;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return RILL_ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS: return RILL_ERR_PERMISSION;
    case ENOENT:
    case ENOTDIR: return RILL_ERR_NOT_FOUND;
    case EEXIST: return RILL_ERR_EXISTS;
    case ENOMEM: return RILL_ERR_NO_MEMORY;
    case EINVAL:
    case ENAMETOOLONG: return RILL_ERR_INVALID;
    case ENOSYS:
    case EOPNOTSUPP: return RILL_ERR_UNSUPPORTED;
    default: return RILL_ERR_IO;
    }
}

int rill__fail_os(int errno_value, const char *format, ...)
{
    char text[MESSAGE_SIZE];
    const char *reason;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* not strerror: its buffer is shared by all threads */
    reason = strerrordesc_np(errno_value);
    rill__fail(0, "%s: %s", text, reason != NULL ? reason : "unknown error");
    message_errno = errno_value;
    return rill__code_of_errno(errno_value);
}

bool rill__is_of_medium(int code)
{
    if (code == RILL_ERR_CORRUPT) return true;
    return code == RILL_ERR_IO && message_errno != EMFILE && message_errno != ENFILE;
}

int rill__fail_prefix(int code, const char *format, ...)
{
    char text[MESSAGE_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return rill__fail(code, "%s: %s", text, message);
}

const char *rill__message(void)
{
    return message;
}

void rill__message_save(struct saved_message *saved)
{
    memcpy(saved->text, message, sizeof saved->text);
}

void rill__message_restore(const struct saved_message *saved)
{
    memcpy(message, saved->text, sizeof message);
}

const char *rill__error_text(int code)
{
    switch (code) {
    case RILL_OK: return "success";
#define X(name, value, text)                                                                     \
    case name: return text;
        RILL_ERRORS(X)
#undef X
    default: return "unknown error code";
    }
}

bool rill__broken(const char *file, int line, const char *rule)
{
    rill_bug_fn handler = atomic_load(&bug_handler);

    rill__fail(RILL_ERR_BUG, "%s:%d: broken rule: %s", file, line, rule);
    if (handler != NULL) handler(file, line, rule);
    return false;
}

void rill__set_bug_handler(rill_bug_fn handler)
{
    atomic_store(&bug_handler, handler);
}
