#include "util/place.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void look_up(const void *return_address, char *to, size_t size)
{
    /* A return address is behind its call, and may already belong to the next line or function. */
    uintptr_t at = (uintptr_t)return_address - 1;
    Dl_info info;
    struct link_map *map = NULL;
    if (return_address == NULL) {
        snprintf(to, size, "?");
        return;
    }
    if (dladdr1((const void *)at, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 ||
        info.dli_fname == NULL || map == NULL) {
        snprintf(to, size, "%p", return_address);
        return;
    }
    /* From the load address, not from where the module begins: for a program without PIE, whose file
     * has final addresses, that is 0 and the place is the address itself. */
    size_t offset = (size_t)(at - (uintptr_t)map->l_addr);
    if (info.dli_sname == NULL) {
        snprintf(to, size, "%s+0x%zx", file_name(info.dli_fname), offset);
    } else {
        snprintf(to, size, "%s+0x%zx (%s+0x%zx)", info.dli_sname,
                 (size_t)(at - (uintptr_t)info.dli_saddr), file_name(info.dli_fname), offset);
    }
}

/* A look-up goes through all exported symbols of its module: a millisecond in a large program, and a report of
 * a hundred thousand tasks has few places. */
enum {
    CACHED = 64
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the cache */
static struct {
    const void *address;
    char text[TUG__PLACE_SIZE];
} cache[CACHED];

void tug__place_describe(const void *return_address, char *to, size_t size)
{
    /* Whoever has it may be who was interrupted for this report. */
    if (pthread_mutex_trylock(&lock) != 0) {
        look_up(return_address, to, size);
        return;
    }
    size_t i = ((uintptr_t)return_address ^ (uintptr_t)return_address >> 6) % CACHED;
    if (cache[i].address != return_address || cache[i].text[0] == 0) {
        look_up(return_address, cache[i].text, sizeof cache[i].text);
        cache[i].address = return_address;
    }
    snprintf(to, size, "%s", cache[i].text);
    pthread_mutex_unlock(&lock);
}
