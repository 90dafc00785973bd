/* Runs one kernel: reads a job from standard input, writes every buffer to standard output.

   A job is int64 numbers: buffers, symbols, bytes of scratch, threads; then the bytes of each
   buffer, the symbols, and the contents of the buffers one after another. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE = 64 };

void kernel(void **table, int32_t *ids, int64_t *symbols, void *scratch, int64_t thread,
            int64_t threads);

static int64_t number(void) {
    int64_t value;
    if (fread(&value, sizeof value, 1, stdin) != 1)
        exit(3);
    return value;
}

static void *room(int64_t bytes) {
    void *made = aligned_alloc(LINE, (bytes / LINE + 1) * LINE);
    if (!made)
        exit(4);
    return made;
}

int main(void) {
    int64_t buffers = number(), symbols = number(), scratch = number(), threads = number();
    int64_t halt = 0;
    void **table = 1 + (void **)calloc(buffers + 2, sizeof *table);
    int64_t *sizes = calloc(buffers + 1, sizeof *sizes);
    int64_t *values = calloc(symbols + 1, sizeof *values);
    int32_t *ids = calloc(buffers + 1, sizeof *ids);
    for (int64_t n = 0; n < buffers; n++) {
        ids[n] = (int32_t)n;
        sizes[n] = number();
    }
    for (int64_t n = 0; n < symbols; n++)
        values[n] = number();
    for (int64_t n = 0; n < buffers; n++) {
        table[n] = room(sizes[n]);
        if (fread(table[n], 1, sizes[n], stdin) != (size_t)sizes[n])
            return 5;
    }
    table[-1] = &halt; /* a word that would end a kernel early */
    void *memory = room(scratch);
    for (int64_t thread = 0; thread < threads; thread++)
        kernel(table, ids, values, memory, thread, threads);
    for (int64_t n = 0; n < buffers; n++)
        fwrite(table[n], 1, sizes[n], stdout);
    return 0;
}
