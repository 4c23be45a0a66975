/* What:      listening sockets and the files of Unix ones.
 * Ownership: the descriptor is the caller's until tug__listen_end. Context: any. Callbacks: none.
 * Errors:    TUG_EINVAL, -errno with address and reason. */
#ifndef TUG_KIT_LISTEN_H
#define TUG_KIT_LISTEN_H

#include <tug/listener.h>

#include "kit/address.h"
#include "kit/socket.h"

struct tug__listening {
    int fd;
    bool has_file;
    uint64_t device, inode; /* of the file: is it still ours at the end? */
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    char address[TUG__ADDRESS_BYTES]; /* as it can be connected to */
};

int tug__listen(const char *text, const struct tug__address *a, const tug_listener_options *o,
                const struct tug__socket_options *socket_options,
                struct tug__listening *ret_listening);
/* Closes the descriptor and removes the file. Twice is fine. */
void tug__listen_end(struct tug__listening *l);

#endif
