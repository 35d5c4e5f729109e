/*
 * base/error.h - how a call fails: a code, and a message beside it.
 *
 * Where an error is born, rill__fail() writes the message with its numbers
 * into this thread's buffer and returns the code; where it passes through, the
 * code is passed on untouched. No allocation, so it works when memory is out.
 */
#ifndef RILL_BASE_ERROR_H
#define RILL_BASE_ERROR_H
#include <rill.h>
#include <stdbool.h>

/* Records the message (cut to 511 bytes) and returns code. */
int rill__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As rill__fail with a code that fits errno_value, and with its text appended:
 * "FORMAT: No space left on device". Call with errno itself. */
int rill__fail_os(int errno_value, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of the code that the call before has returned: does it say that the bytes are bad, or that
 * the device does not give them? Else what it looked at may be well: there was no memory, no
 * descriptor, no permission. */
bool rill__is_of_medium(int code);

/* The code that stands for an errno value. */
int rill__code_of_errno(int errno_value);

/* Puts "FORMAT: " before the message that is there already; returns code. */
int rill__fail_prefix(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of a code; never NULL. */
const char *rill__error_text(int code);

/* This thread's message. */
const char *rill__message(void);

/* Keeps the message over work that may fail on its own, and brings it back. */
#define MESSAGE_SIZE 512
struct saved_message {
    char text[MESSAGE_SIZE];
};
void rill__message_save(struct saved_message *saved);
void rill__message_restore(const struct saved_message *saved);

/* True if the rule holds. If not, a rill programmer was wrong: tells the bug
 * handler, leaves a message and is false; the caller stops and returns
 * RILL_ERR_BUG. Stays on in release builds; costs a compare. */
#define rill_assert(rule)                                                                        \
    (__builtin_expect(!!(rule), 1) ? true : rill__broken(__FILE__, __LINE__, #rule))
bool rill__broken(const char *file, int line, const char *rule);
void rill__set_bug_handler(rill_bug_fn handler);

#endif
