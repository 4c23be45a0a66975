#include "task/layout.h"

#include <stddef.h>

#include "task/task.h"

enum {
    VERSION = 1 /* of the names below: a script refuses what it does not know */
};

#define AT(name, type, member)                                                                     \
    {                                                                                              \
        name, offsetof(type, member)                                                               \
    }
#define REGISTER(name, member)                                                                     \
    {                                                                                              \
        "reg." name, offsetof(struct tug_task, context) + offsetof(struct tug__context, member)    \
    }

const struct tug__layout tug__layout[] = {
    {"version", VERSION},
    {"loop.size", sizeof(struct tug_loop) - sizeof(struct tug__calendar)},
    AT("loop.next", struct tug_loop, next),
    AT("loop.thread_id", struct tug_loop, thread_id),
    AT("loop.current", struct tug_loop, current),
    AT("loop.now", struct tug_loop, now),
    AT("loop.fake_now", struct tug_loop, fake_now),
    AT("loop.runtime", struct tug_loop, slots[TUG__SLOT_TASKS].value),
    AT("runtime.stacks", struct tug__runtime, stacks),
    AT("runtime.user", struct tug__runtime, user),
    AT("runtime.service", struct tug__runtime, service),
    AT("group.first_child", struct tug__group, first_child),
    {"scope.size", sizeof(struct tug__scope)},
    AT("scope.parent", struct tug__scope, parent),
    AT("scope.kind", struct tug__scope, kind),
    {"scope.is_group", TUG__SCOPE_GROUP},
    {"task.size", offsetof(struct tug_task, error)},
    AT("task.number", struct tug_task, number),
    AT("task.name", struct tug_task, name),
    AT("task.state", struct tug_task, state),
    AT("task.interrupted", struct tug_task, interrupted),
    AT("task.what", struct tug_task, wait.what),
    AT("task.waiting_since", struct tug_task, waiting_since),
    AT("task.spawned_at", struct tug_task, spawned_at),
    AT("task.scope", struct tug_task, scope),
    AT("task.base_parent", struct tug_task, base.parent),
    AT("task.next", struct tug_task, next),
#if defined(TUG__SWITCH_UCONTEXT) && defined(__x86_64__)
    REGISTER("rsp", uc.uc_mcontext.gregs[REG_RSP]),
    REGISTER("rbp", uc.uc_mcontext.gregs[REG_RBP]),
    REGISTER("rbx", uc.uc_mcontext.gregs[REG_RBX]),
    REGISTER("r12", uc.uc_mcontext.gregs[REG_R12]),
    REGISTER("r13", uc.uc_mcontext.gregs[REG_R13]),
    REGISTER("r14", uc.uc_mcontext.gregs[REG_R14]),
    REGISTER("r15", uc.uc_mcontext.gregs[REG_R15]),
    REGISTER("rip", uc.uc_mcontext.gregs[REG_RIP]),
#elif defined(TUG__SWITCH_UCONTEXT) && defined(__aarch64__)
    REGISTER("sp", uc.uc_mcontext.sp),
    REGISTER("pc", uc.uc_mcontext.pc),
    REGISTER("x29", uc.uc_mcontext.regs[29]),
    REGISTER("x30", uc.uc_mcontext.regs[30]),
    REGISTER("x19", uc.uc_mcontext.regs[19]),
    REGISTER("x20", uc.uc_mcontext.regs[20]),
    REGISTER("x21", uc.uc_mcontext.regs[21]),
    REGISTER("x22", uc.uc_mcontext.regs[22]),
    REGISTER("x23", uc.uc_mcontext.regs[23]),
    REGISTER("x24", uc.uc_mcontext.regs[24]),
    REGISTER("x25", uc.uc_mcontext.regs[25]),
    REGISTER("x26", uc.uc_mcontext.regs[26]),
    REGISTER("x27", uc.uc_mcontext.regs[27]),
    REGISTER("x28", uc.uc_mcontext.regs[28]),
#elif defined(__x86_64__)
    REGISTER("rsp", sp),
    REGISTER("rbp", fp),
    REGISTER("rbx", saved),
    REGISTER("rip", pc),
#elif defined(__aarch64__)
    REGISTER("sp", sp),
    REGISTER("x29", fp),
    REGISTER("x19", saved),
    REGISTER("pc", pc),
#endif
    {"", 0},
};
