#include "mailbox.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/alloc.h>

static bool is_loss(const tug__pg_mail *m)
{
    return m != NULL && m->item.kind == TUG_PG_LOST;
}

static void release(tug__pg_mailbox *box, tug__pg_mail *m)
{
    if (m->item.kind == TUG_PG_LOST && box->spare == NULL) {
        memset(&m->item, 0, sizeof m->item);
        box->spare = m;
        return;
    }
    tug_free(m);
}

/* Takes what stands behind m (NULL: the first) out of the list. */
static tug__pg_mail *unlink_behind(tug__pg_mailbox *box, tug__pg_mail *m)
{
    tug__pg_mail **at = m != NULL ? &m->next : &box->first;
    tug__pg_mail *taken = *at;
    assert(taken != NULL && "something stands there");
    *at = taken->next;
    if (box->last == taken) {
        box->last = m;
    }
    if (taken->item.kind == TUG_PG_NOTIFICATION) {
        box->n--;
        box->bytes -= taken->bytes;
    }
    return taken;
}

static void append(tug__pg_mailbox *box, tug__pg_mail *m)
{
    m->next = NULL;
    *(box->last != NULL ? &box->last->next : &box->first) = m;
    box->last = m;
}

/* Two words of loss side by side are one. */
static void merge_behind(tug__pg_mailbox *box, tug__pg_mail *m)
{
    if (!is_loss(m) || !is_loss(m->next)) {
        return;
    }
    tug__pg_mail *second = unlink_behind(box, m);
    m->item.dropped += second->item.dropped;
    if (second->item.outages > 0) {
        if (m->item.outages == 0) {
            m->item.since = second->item.since;
        }
        m->item.until = second->item.until;
        m->item.outages += second->item.outages;
    }
    if (box->open == second) {
        box->open = m;
    }
    release(box, second);
}

/* The oldest notification becomes a count in the word of loss at the head, and where there is none
 * yet, that word: so dropping needs no memory. */
static void drop_oldest(tug__pg_mailbox *box)
{
    tug__pg_mail *head = box->first;
    box->dropped++;
    if (is_loss(head)) {
        assert(head->next != NULL && !is_loss(head->next) &&
               "two words of loss never stand side by side");
        tug_free(unlink_behind(box, head));
        head->item.dropped++;
    } else {
        box->n--;
        box->bytes -= head->bytes;
        memset(&head->item, 0, sizeof head->item);
        head->item.kind = TUG_PG_LOST;
        head->item.dropped = 1;
    }
    merge_behind(box, head);
}

int tug__pg_mailbox_prepare(tug__pg_mailbox *box)
{
    if (box->spare == NULL) {
        box->spare = tug_calloc(1, sizeof *box->spare);
    }
    return box->spare != NULL ? 0 : tug_fail(TUG_ENOMEM, "out of memory for a listener");
}

int tug__pg_mailbox_put(tug__pg_mailbox *box, const char *channel, const char *payload, int sender)
{
    size_t channel_size = strlen(channel);
    size_t payload_size = strlen(payload);
    size_t size = sizeof(tug__pg_mail) + channel_size + payload_size + 2;
    tug__pg_mail *m = tug_alloc(size);
    if (m == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a notification");
    }
    m->bytes = size;
    m->item = (tug_pg_notification){.kind = TUG_PG_NOTIFICATION,
                                    .channel = m->text,
                                    .payload = m->text + channel_size + 1,
                                    .payload_size = payload_size,
                                    .sender = sender};
    memcpy(m->text, channel, channel_size + 1);
    memcpy(m->text + channel_size + 1, payload, payload_size + 1);
    append(box, m);
    box->n++;
    box->bytes += size;
    while (box->n > box->max_n || (box->bytes > box->max_bytes && box->n > 1)) {
        drop_oldest(box);
    }
    return 0;
}

void tug__pg_mailbox_gap_begin(tug__pg_mailbox *box, struct tug_timestamp since)
{
    assert(box->open == NULL && "an outage begins when the one before has ended");
    tug__pg_mail *m = box->last;
    if (!is_loss(m)) {
        assert(box->spare != NULL && "room for an outage was made before");
        m = box->spare;
        box->spare = NULL;
        m->item.kind = TUG_PG_LOST;
        append(box, m);
    }
    if (m->item.outages++ == 0) {
        m->item.since = since;
    }
    box->open = m;
}

void tug__pg_mailbox_gap_end(tug__pg_mailbox *box, struct tug_timestamp until)
{
    if (box->open != NULL) {
        box->open->item.until = until;
        box->open = NULL;
    }
}

tug__pg_mail *tug__pg_mailbox_take(tug__pg_mailbox *box)
{
    if (box->first == NULL || box->first == box->open) {
        return NULL;
    }
    return unlink_behind(box, NULL);
}

void tug__pg_mailbox_forget(tug__pg_mailbox *box, const char *channel)
{
    tug__pg_mail *before = NULL;
    while ((before != NULL ? before->next : box->first) != NULL) {
        tug__pg_mail *m = before != NULL ? before->next : box->first;
        if (is_loss(m) || strcmp(m->item.channel, channel) != 0) {
            before = m;
            continue;
        }
        tug_free(unlink_behind(box, before));
        merge_behind(box, before);
    }
}

void tug__pg_mailbox_free(tug__pg_mailbox *box)
{
    while (box->first != NULL) {
        tug_free(unlink_behind(box, NULL));
    }
    tug_free(box->spare);
    box->spare = NULL;
    box->open = NULL;
}
