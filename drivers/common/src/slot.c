#include "slot.h"

bool tug__slot_put_whole(const tug_slot *slot, bool is_negative, uint64_t magnitude)
{
    bool is_signed = slot->type == TUG_SLOT_INT;
    uint64_t most = UINT64_MAX >> (64 - 8 * slot->size + (is_signed ? 1 : 0));
    uint64_t limit = !is_negative ? most : is_signed ? most + 1 : 0;
    if (magnitude > limit) {
        return false;
    }
    uint64_t value = is_negative ? 0 - magnitude : magnitude;
    if (slot->to == NULL) {
        return true;
    }
    switch (slot->size) {
    case 1:
        *(uint8_t *)slot->to = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)slot->to = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)slot->to = (uint32_t)value;
        break;
    default:
        *(uint64_t *)slot->to = value;
        break;
    }
    return true;
}
