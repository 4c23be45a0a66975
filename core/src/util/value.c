#include <string.h>
#include <tug/value.h>

/* One byte over the limit stands for "longer": whoever takes the value refuses it by its size. */
size_t tug__text_size(const char *text)
{
    return strnlen(text, TUG_TEXT_MAX + 1);
}
