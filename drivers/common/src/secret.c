#include "secret.h"

#include <string.h>
#include <tug/sys/alloc.h>

struct tug__secret {
    size_t size;
    char text[];
};

tug__secret *tug__secret_new(const char *text, size_t size)
{
    tug__secret *s = tug_alloc(sizeof *s + size + 1);
    if (s == NULL) {
        return NULL;
    }
    s->size = size;
    memcpy(s->text, text, size);
    s->text[size] = 0;
    return s;
}

struct tug_bytes tug__secret_reveal(const tug__secret *s)
{
    return tug_bytes(s->text, s->size);
}

void tug__secret_free(tug__secret *s)
{
    if (s != NULL) {
        tug_wipe(s->text, s->size);
        tug_free(s);
    }
}
