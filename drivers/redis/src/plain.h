/* What:      numbers as Redis writes them, whatever locale the program has set: with a point.
 * Ownership: the locale is shared: not freed. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_REDIS_PLAIN_H
#define TUG_REDIS_PLAIN_H

#include <locale.h>

/* "C", for uselocale and strtod_l. */
locale_t tug__redis_c_locale(void);

#endif
