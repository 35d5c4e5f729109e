/*
 * table.c - columns that people read.
 *
 * All cells are kept until the end, because each column is as wide as its widest
 * cell. The last column is not padded, so no line ends with blanks.
 */
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

static struct {
    bool right;
    size_t width;
} columns[COLUMNS_MAX];
static size_t column_count;
static char **cells; /* row by row; the first row has the titles */
static size_t cell_count, cell_room;

static void add(char *text)
{
    size_t column = cell_count % column_count, width = text_width(text);

    if (cell_count == cell_room) {
        cell_room = cell_room * 2 + 64;
        cells = must_grow(cells, cell_room * sizeof *cells);
    }
    cells[cell_count++] = text;
    if (width > columns[column].width) columns[column].width = width;
}

void table_begin(const char *titles)
{
    char *copy = must_alloc(strlen(titles) + 1), *rest = copy, *title;

    strcpy(copy, titles);
    for (const char *at = titles; *at != 0; at++) column_count += *at == ' ';
    column_count++;
    for (size_t i = 0; (title = strsep(&rest, " ")) != NULL; i++) {
        size_t size = strlen(title);

        columns[i].right = title[size - 1] == '>';
        columns[i].width = 0;
        if (columns[i].right) title[size - 1] = 0;
        for (char *at = title; *at != 0; at++)
            if (*at == '_') *at = ' ';
        add(strdup(title));
    }
    free(copy);
}

void table_cell(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) exit(fail(FAILED, "out of memory"));
    va_end(args);
    add(text);
}

void table_end(void)
{
    for (size_t i = 0; i < cell_count; i++) {
        size_t column = i % column_count;
        bool last = column == column_count - 1;
        size_t blanks = columns[column].width - text_width(cells[i]);

        if (i < column_count) put(colour(BOLD));
        if (columns[column].right) put_repeated(' ', blanks);
        put(cells[i]);
        if (i < column_count) put(colour(PLAIN));
        if (last) put("\n");
        else put_repeated(' ', 2 + (columns[column].right ? 0 : blanks));
        free(cells[i]);
    }
    free(cells);
    cells = NULL;
    cell_count = cell_room = column_count = 0;
}
