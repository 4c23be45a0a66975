"""gdb commands for programs that use tug: all tasks of a live process or of a core, and the backtrace of
each of them.

    gdb -x scripts/gdb/tug-gdb.py PROGRAM [CORE | -p PID]
    (or "source scripts/gdb/tug-gdb.py" in a session, or in ~/.gdbinit)

    tug-ps              all tasks of all loops: number, name, state, what it waits for and since when,
                        where it was spawned
    tug-bt N | all      the backtrace of a task, by its number in tug-ps; of all tasks
    tug-task N          from now on bt, frame, up, info locals ... are about this task
    tug-task off        and again about the thread
    tug-core FILE       writes a core that has the tasks' stacks. gdb's own generate-core-file and gcore leave
                        out what lies behind the lightweight guards of newer kernels; cores that the kernel
                        writes (kill -ABRT, coredumpctl) have it all

Nothing of the program is run (but by tug-core), and no register is written: so a core serves as well as a
process. Debug information for tug itself is not needed (tug carries a table of its own layout), only symbols; the
program's debug information gives lines, arguments and locals.
"""

import re
import struct
import time

import gdb
from gdb.unwinder import Unwinder, register_unwinder

NAME_BYTES = 32  # of a task's name
ENTRY = struct.Struct("28sI")  # struct tug__layout
MOST_TASKS = 2000000  # more than that is a loop in a broken core

FIRED = ((1, "cancelled"), (2, "expired"))
STATES = ("ready", "waiting", "held", "ended")


# --- reading memory ------------------------------------------------------------------------------


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def pointer(data, offset):
    return struct.unpack_from("Q", data, offset)[0]


def read_pointer(address):
    return pointer(read(address, 8), 0)


def read_text(address, most=80):
    if address == 0:
        return None
    try:
        return gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string("utf-8", "replace", length=-1)[:most]
    except gdb.error:
        return "?"


def address_of(symbol):
    try:
        return int(gdb.parse_and_eval("(unsigned long)&%s" % symbol))
    except gdb.error:
        raise gdb.GdbError("no %s: tug is not linked here, or its symbols are stripped" % symbol)


class Layout:
    """The table that tug carries: names and offsets."""

    def __init__(self):
        at = address_of("tug__layout")
        self.values = {}
        while True:
            name, value = ENTRY.unpack(read(at, ENTRY.size))
            name = name.split(b"\0")[0].decode()
            if not name:
                break
            self.values[name] = value
            at += ENTRY.size
        if self.values.get("version") != 1:
            raise gdb.GdbError("this script does not know version %s of tug's layout" % self.values.get("version"))
        self.registers = {n[4:]: v for n, v in self.values.items() if n.startswith("reg.")}

    def __getitem__(self, name):
        return self.values[name]


# --- loops and tasks -----------------------------------------------------------------------------


class Loop:
    def __init__(self, layout, address, index):
        data = read(address, layout["loop.size"])
        self.index = index
        self.address = address
        self.thread_id = struct.unpack_from("i", data, layout["loop.thread_id"])[0]
        self.current = pointer(data, layout["loop.current"])
        self.now = pointer(data, layout["loop.now"])
        self.fake_now = pointer(data, layout["loop.fake_now"])
        self.runtime = pointer(data, layout["loop.runtime"])
        self.next = pointer(data, layout["loop.next"])
        self.roots = []
        if self.runtime != 0:
            self.stacks = read_pointer(self.runtime + layout["runtime.stacks"])
            self.roots = [("user", self.runtime + layout["runtime.user"]),
                          ("service", self.runtime + layout["runtime.service"])]

    def clock(self):
        """Now, on the loop's clock; a core has only what the loop read last."""
        is_live = gdb.selected_inferior().pid != 0 and not is_core()
        if self.fake_now == 0 and is_live:
            return max(self.now, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        return self.now

    def thread(self):
        for thread in gdb.selected_inferior().threads():
            if self.thread_id == thread.ptid[1]:
                return thread
        return None


class Task:
    def __init__(self, layout, loop, address, root, depth):
        data = read(address, layout["task.size"])
        self.loop, self.address, self.root, self.depth = loop, address, root, depth
        self.data = data
        self.number = pointer(data, layout["task.number"])
        at = layout["task.name"]
        self.name = data[at:at + NAME_BYTES].split(b"\0")[0].decode("utf-8", "replace")
        self.state = STATES[data[layout["task.state"]] & 3]
        if address == loop.current:
            self.state = "running"
        self.interrupted = data[layout["task.interrupted"]] != 0
        self.waits = self.state in ("waiting", "held")
        self.what = read_text(pointer(data, layout["task.what"])) if self.waits else None
        self.since = pointer(data, layout["task.waiting_since"])
        self.spawned_at = pointer(data, layout["task.spawned_at"])
        self.scope = pointer(data, layout["task.scope"])
        self.end_of_scopes = pointer(data, layout["task.base_parent"])
        self.next = pointer(data, layout["task.next"])

    def registers(self, layout):
        return {name: pointer(self.data, offset) for name, offset in layout.registers.items()}

    def label(self, several_loops):
        return "%d.%d" % (self.loop.index, self.number) if several_loops else "%d" % self.number


def is_core():
    target = gdb.execute("info target", to_string=True)
    return "Local core dump file" in target and "process" not in target.split("Local core dump file")[0]


def loops(layout):
    found, at = [], read_pointer(address_of("tug__loops"))
    while at != 0 and len(found) < 10000:
        found.append(Loop(layout, at, 0))
        at = found[-1].next
    found.reverse()  # the list has the newest first
    for i, loop in enumerate(found):
        loop.index = i + 1
    return found


def groups_of(layout, task):
    """The groups that a task has entered, the innermost first."""
    at, found = task.scope, []
    while at not in (0, task.end_of_scopes) and len(found) < 100000:
        data = read(at, layout["scope.size"])
        if data[layout["scope.kind"]] == layout["scope.is_group"]:
            found.append(at)
        at = pointer(data, layout["scope.parent"])
    return found


def tasks_of(layout, loop):
    """All of them, each behind the one that spawned its group."""
    seen = 0
    for root, group in loop.roots:
        stack = [(read_pointer(group + layout["group.first_child"]), 0)]
        while stack and seen < MOST_TASKS:
            at, depth = stack.pop()
            if at == 0:
                continue
            task = Task(layout, loop, at, root, depth)
            seen += 1
            yield task
            stack.append((task.next, depth))
            for group in reversed(groups_of(layout, task)):
                stack.append((read_pointer(group + layout["group.first_child"]), depth + 1))


# --- words ---------------------------------------------------------------------------------------


def place(return_address):
    """The line of the call, or the function, or the number."""
    if return_address == 0:
        return "?"
    at = return_address - 1
    function = gdb.execute("info symbol 0x%x" % at, to_string=True).strip()
    function = "0x%x" % at if function.startswith("No symbol") else re.sub(r" in section .*", "", function)
    line = gdb.find_pc_line(at)
    if line.symtab is not None and line.line > 0:
        return "%s (%s:%d)" % (function.split(" ")[0], line.symtab.filename, line.line)
    return function


def describe(task, clock):
    words = ["task %d \"%s\"" % (task.number, task.name), task.state]
    if task.waits:
        words.append("for %s since %.3f s" % (task.what or "?", max(0, clock - task.since) / 1e9))
    if task.interrupted:
        words.append("(cancelled)")
    if task.root == "service":
        words.append("(service)")
    words.append("spawned at " + place(task.spawned_at))
    return " ".join(words)


# --- unwinding -----------------------------------------------------------------------------------


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class TaskUnwinder(Unwinder):
    """Puts a task's frames behind frame 0 of the selected thread: what frame 0 returns to are the registers
    that the task saved when it left the CPU. Nothing is written, so a core will do."""

    def __init__(self):
        super().__init__("tug-task")
        self.saved = None

    def __call__(self, pending):
        if self.saved is None or pending.level() != 0:
            return None
        names = self.saved
        sp = names.get("rsp", names.get("sp"))
        pc = pending.read_register("rip" if "rip" in names else "pc")
        # Below the task's stack: gdb refuses a caller whose frame lies further inside than the callee's.
        info = pending.create_unwind_info(FrameId(gdb.Value(sp - 16), pc))
        for name, value in names.items():
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info

    def enter(self, registers):
        self.saved = registers
        gdb.invalidate_cached_frames()

    def leave(self):
        self.saved = None
        gdb.invalidate_cached_frames()


unwinder = TaskUnwinder()
register_unwinder(None, unwinder, replace=True)


# The null return address at the end of a task's stack.
END_OF_STACK = re.compile(r"#\d+\s+0x0+ in \?\? \(\)")


def print_numbered(text, first_dropped):
    """Frame 0 is the thread's own; the task's begin at 0 behind it."""
    keep = not first_dropped
    for line in text.splitlines():
        match = re.match(r"#(\d+)(\s+)(.*)", line)
        if match and first_dropped:
            number = int(match.group(1)) - 1
            keep = number >= 0
            line = "#%-2d %s" % (number, match.group(3))
        if END_OF_STACK.match(line):
            break
        if keep:
            print(line)


def backtrace(layout, task):
    if task.state == "running":
        thread, before = task.loop.thread(), gdb.selected_thread()
        if thread is None:
            print("it runs, in a thread that is not here (%d)" % task.loop.thread_id)
            return
        thread.switch()
        print_numbered(gdb.execute("bt", to_string=True), False)
        before.switch()
        return
    outer = unwinder.saved
    unwinder.enter(task.registers(layout))
    try:
        text = gdb.execute("bt", to_string=True)
    finally:
        unwinder.enter(outer)
    print_numbered(text, True)


# --- commands ------------------------------------------------------------------------------------


def all_tasks():
    layout = Layout()
    found = loops(layout)
    return layout, found, [task for loop in found for task in tasks_of(layout, loop)]


def tasks_named(argument):
    """By "N", or by "LOOP.N" where several loops have one."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+)", argument)
    if not match:
        raise gdb.GdbError("which task? Its number, as tug-ps shows it")
    layout, found, tasks = all_tasks()
    number, index = int(match.group(2)), match.group(1)
    wanted = [t for t in tasks if t.number == number and (index is None or t.loop.index == int(index))]
    if not wanted:
        raise gdb.GdbError("there is no task %s" % argument)
    return layout, wanted


class Ps(gdb.Command):
    """tug-ps: all tasks of all loops: number, name, state, what each waits for, since when, where it was
spawned. Indented: tasks of a group that the one above has entered."""

    def __init__(self):
        super().__init__("tug-ps", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        del argument, from_tty
        _, found, tasks = all_tasks()
        for loop in found:
            own = [t for t in tasks if t.loop is loop]
            print("loop %d of thread %d: %d tasks" % (loop.index, loop.thread_id, len(own)))
            clock = loop.clock()
            for task in own:
                print("  " * (task.depth + 1) + describe(task, clock))
        if not found:
            print("no loop runs")


class Bt(gdb.Command):
    """tug-bt N: the backtrace of task N. tug-bt all: of all tasks. LOOP.N where several loops have an N."""

    def __init__(self):
        super().__init__("tug-bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        del from_tty
        if argument.strip() == "all":
            layout, _, tasks = all_tasks()
        else:
            layout, tasks = tasks_named(argument.strip())
        for i, task in enumerate(tasks):
            print(("\n" if i > 0 else "") + describe(task, task.loop.clock()))
            backtrace(layout, task)


class Select(gdb.Command):
    """tug-task N: bt, frame, up, info locals are about task N (its frames are 1 and up). tug-task off: about
the thread again. Do not let the program run in between."""

    def __init__(self):
        super().__init__("tug-task", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        del from_tty
        if argument.strip() == "off":
            unwinder.leave()
            return
        layout, tasks = tasks_named(argument.strip())
        if len(tasks) > 1:
            raise gdb.GdbError("several loops have a task %s: say LOOP.N" % argument)
        if tasks[0].state == "running":
            raise gdb.GdbError("it runs: its frames are those of thread %d" % tasks[0].loop.thread_id)
        unwinder.enter(tasks[0].registers(layout))
        gdb.execute("frame 1")


class Core(gdb.Command):
    """tug-core FILE: a core of the live process, with the stacks of all tasks: their guards are taken away while
gdb copies the memory. Runs a function of tug in the process for that."""

    def __init__(self):
        super().__init__("tug-core", gdb.COMMAND_SUPPORT, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        del from_tty
        layout = Layout()
        own = [loop for loop in loops(layout) if loop.runtime != 0]
        call = "((void (*)(unsigned long, int))tug__stacks_guards)(%d, %d)"
        try:
            for loop in own:
                gdb.parse_and_eval(call % (loop.stacks, 0))
            gdb.execute("generate-core-file " + argument)
        finally:
            for loop in own:
                gdb.parse_and_eval(call % (loop.stacks, 1))


def on_continue(event):
    """The frames of a task are those of a moment."""
    del event
    unwinder.saved = None


gdb.events.cont.connect(on_continue)
Ps()
Bt()
Select()
Core()
