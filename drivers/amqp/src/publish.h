/* What:      publishing with confirms: messages go out in the order of the calls while there is room, the broker's
 *            acks settle their futures.
 * Ownership: embedded in the handle. Jobs live in their futures; the ring borrows them until they are settled.
 * Context:   the loop's thread. A message is encoded where the call stands: straight into the output.
 * Callbacks: none.
 * Errors:    in the futures. */
#ifndef TUG_AMQP_PUBLISH_H
#define TUG_AMQP_PUBLISH_H

#include "channel.h"

struct publish_job;

/* What is known of a message that was sent and not confirmed. */
typedef struct tug__amqp_unconfirmed {
    struct publish_job *job; /* NULL: cancelled or returned, or settled out of order */
    uint64_t return_id;      /* of a mandatory message; 0 */
    bool is_settled;         /* confirmed before an older one */
} tug__amqp_unconfirmed;

typedef struct tug__amqp_publisher {
    tug__amqp_channel channel;
    bool is_selected;            /* confirm.select-ok came: the channel counts */
    bool is_held;                /* channel.flow asked to send nothing */
    tug__amqp_unconfirmed *ring; /* by sequence number; a power of two */
    size_t ring_size;
    uint64_t oldest; /* first number in the ring */
    uint64_t next;   /* number of the next message: the broker counts along, from 1 */
    uint64_t return_ids;
    struct publish_job *first, *last; /* started and not sent yet */
    size_t waiting_bytes;
    size_t n_jobs;    /* futures that are pending */
    tug_waiters room; /* awaiting forms that have not copied anything yet */
    size_t granted;   /* of them: told to go, not gone yet */
    struct {          /* the basic.return whose content is coming */
        uint64_t id;
        unsigned code;
        char words[64];
        char route[128];
    } returned;
} tug__amqp_publisher;

void tug__amqp_publisher_init(tug__amqp_publisher *p, tug__amqp_conn *c);
/* Sends what may be sent now: the connection has opened, room came, the block is over. */
void tug__amqp_publisher_go(tug__amqp_publisher *p);
/* Everything pending fails. */
void tug__amqp_publisher_end(tug__amqp_publisher *p, const tug_error *why);
void tug__amqp_publisher_free(tug__amqp_publisher *p);

#endif
