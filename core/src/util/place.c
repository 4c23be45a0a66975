#include "util/place.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void tug__place_describe(const void *return_address, char *to, size_t size)
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
