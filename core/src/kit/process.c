/* What: processes. posix_spawn runs on an offload thread, because exec reads from disks. A service task
 * per process, its keeper, waits for the end through a pidfd and reaps: so close has nothing left that
 * could fail, and the end of the loop waits for it.
 *
 *   RUNNING --close, or the loop's end--> ENDING (SIGTERM; SIGKILL after the grace)
 *      '------------- exit --------------------> ENDED (reaped, status known) <--- exit ---' */
#include <tug/process.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tug/log.h>
#include <tug/offload.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/process.h"
#include "loop/loop.h"

extern char **environ;

enum {
    FIRST_FREE_FD = 3,
    LOOK_MS = 20,      /* how often a process without a pidfd is looked at */
    LAST_GRACE_SEC = 2 /* for the kernel to end what got SIGKILL, at the loop's end */
};

enum state {
    RUNNING, /* as far as we know */
    ENDING,  /* got SIGTERM or SIGKILL */
    ENDED    /* reaped; its id may belong to another process */
};

struct tug_process {
    struct tug_loop *loop; /* NULL: at its end */
    enum state state;
    bool is_closed;  /* the caller's side is gone */
    bool has_keeper; /* the keeper's side is not */
    bool own_group;
    int pid, pidfd;
    tug_duration grace;
    tug_timer timer;
    tug_end_hook at_end;
    tug_process_status status;
    tug_waiters waiters;
    tug_stream *streams[3];
};

bool tug__process_without_pidfd;

static void set_state(tug_process *p, enum state to)
{
    if (to <= p->state) {
        return; /* it only goes forward: a close after the end changes nothing */
    }
    p->state = to;
}

static void free_if_unused(tug_process *p)
{
    if (p->is_closed && !p->has_keeper) {
        if (p->pidfd >= 0) {
            close(p->pidfd);
        }
        tug_free(p);
    }
}

/* --- signals ------------------------------------------------------------------------------------ */

/* Until it is reaped its id and its group's are nobody else's. */
static void end_it(tug_process *p, int number)
{
    if (p->state != ENDED) {
        kill(p->own_group ? -p->pid : p->pid, number);
        set_state(p, ENDING);
    }
}

static void on_grace(tug_timer *timer, void *arg)
{
    (void)timer;
    end_it(arg, SIGKILL);
}

int tug_process_signal(tug_process *p, int number)
{
    if (!tug__is_here(p->loop, "tug_process_signal")) {
        return TUG_EMISUSE;
    }
    if (p->state == ENDED) {
        return tug_fail(-ESRCH, "process %d has ended", p->pid);
    }
    if (kill(p->pid, number) < 0) {
        return tug_fail(tug_error_from_errno(errno), "no signal %d for process %d: %s", number,
                        p->pid, strerrordesc_np(errno));
    }
    return 0;
}

/* --- the keeper --------------------------------------------------------------------------------- */

static int look(const tug_process *p, siginfo_t *ret_info, int how)
{
    int rc;
    do {
        rc = waitid(P_PID, (id_t)p->pid, ret_info, WEXITED | WNOHANG | how);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* True if it has ended: then it is reaped. */
static bool reap(tug_process *p)
{
    siginfo_t info = {.si_pid = 0};
    if (p->state == ENDED) {
        return true;
    }
    int rc = look(p, &info, WNOWAIT);
    if (rc == 0 && info.si_pid == 0) {
        return false;
    }
    if (rc == 0 && p->state == ENDING && p->own_group) {
        /* What it has started goes with it. As long as it is not reaped, the group's number is its own. */
        kill(-p->pid, SIGKILL);
    }
    if (rc == 0) {
        rc = look(p, &info, 0);
    }
    /* ECHILD: somebody else has reaped it (a wait for any child, or SIGCHLD ignored). */
    bool exited = rc == 0 && info.si_code == CLD_EXITED;
    p->status.code = rc < 0 ? 255 : exited ? info.si_status : -1;
    p->status.signal = rc < 0 || exited ? -1 : info.si_status;
    if (rc < 0) {
        tug_log(TUG_LOG_WARN, "process",
                "process %d was reaped by somebody else: its status is lost", p->pid);
    }
    set_state(p, ENDED);
    tug_timer_stop(&p->timer);
    while (tug_waiters_any(&p->waiters)) { /* told here: the handle may be closed before they run */
        *(tug_process_status *)tug_waiters_slot(&p->waiters) = p->status;
        tug_unpark_first(&p->waiters, 0, NULL);
    }
    return true;
}

static int wait_for_end(tug_process *p)
{
    while (!reap(p)) {
        int rc = p->pidfd >= 0 ? tug_fd_wait(p->pidfd, TUG_READ) : tug_sleep(TUG_MS(LOOK_MS));
        if (rc == TUG_ECANCELED) {
            return rc;
        }
        if (rc < 0) { /* no memory for the wait: without it, then */
            close(p->pidfd);
            p->pidfd = -1;
        }
    }
    return 0;
}

static int keep(void *arg)
{
    tug_process *p = arg;
    if (wait_for_end(p) < 0) { /* the loop's end has no time left */
        tug_scope s;
        end_it(p, SIGKILL);
        tug_shield_enter(&s, TUG_SECONDS(LAST_GRACE_SEC));
        int rc = tug_scope_leave(&s, wait_for_end(p));
        if (rc < 0) {
            tug_log(TUG_LOG_WARN, "process", "process %d does not end", p->pid);
        }
    }
    tug_timer_stop(&p->timer);
    p->has_keeper = false;
    free_if_unused(p);
    return 0;
}

/* --- closing ------------------------------------------------------------------------------------ */

static void ask_to_end(tug_process *p)
{
    if (p->state != ENDED && !reap(p)) {
        end_it(p, p->grace > 0 ? SIGTERM : SIGKILL);
        if (p->grace > 0) {
            tug_timer_start(&p->timer, tug_time_after(tug_now(), p->grace), on_grace, p);
        }
    }
}

void tug_process_close(tug_process *p)
{
    /* After the end of its loop nothing is left to undo but the memory. */
    if (p == NULL || (p->loop != NULL && !tug__is_here_void(p->loop, "tug_process_close"))) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        tug_stream_close(p->streams[i]);
        p->streams[i] = NULL;
    }
    if (p->loop != NULL && p->has_keeper) {
        ask_to_end(p);
    }
    tug_on_end_forget(&p->at_end);
    tug_unpark_all(&p->waiters, TUG_ECLOSED, NULL);
    p->is_closed = true;
    free_if_unused(p);
}

/* The handle stays the caller's; its streams do this for themselves. */
static void on_loop_end(void *arg)
{
    tug_process *p = arg;
    if (p->has_keeper) {
        ask_to_end(p);
    }
    p->loop = NULL;
}

/* --- starting ----------------------------------------------------------------------------------- */

struct start {
    const char *const *argv;
    const tug_process_options *o;
    int child
        [3]; /* what the new process gets as 0, 1, 2: above them, ours to close; -1: inherits */
    int pid;
};

/* A descriptor at 3 or above: below, one dup2 in the child would close what the next one needs. */
static int lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    return lifted >= 0 ? lifted : -errno;
}

static int make_pipe(tug_process *p, struct start *s, int i)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    int ours = i == 0 ? 1 : 0;
    s->child[i] = lift(fds[1 - ours]);
    close(fds[1 - ours]);
    int rc = s->child[i] < 0 ? s->child[i] : tug_stream_from_fd(fds[ours], &p->streams[i]);
    if (rc < 0) {
        close(fds[ours]);
    }
    return rc;
}

static int open_one(tug_process *p, struct start *s, int i, int how, int fd)
{
    switch (how) {
    case TUG_PROCESS_NULL: {
        int null = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        s->child[i] = null < 0 ? -errno : lift(null);
        if (null >= 0) {
            close(null);
        }
        return s->child[i] < 0 ? s->child[i] : 0;
    }
    case TUG_PROCESS_INHERIT:
        return 0;
    case TUG_PROCESS_PIPE:
        return make_pipe(p, s, i);
    case TUG_PROCESS_FD:
        s->child[i] = lift(fd);
        return s->child[i] < 0 ? s->child[i] : 0;
    default: /* OUT: see check */
        s->child[i] = lift(s->child[1] >= 0 ? s->child[1] : STDOUT_FILENO);
        return s->child[i] < 0 ? s->child[i] : 0;
    }
}

static int check(const char *const *argv, const tug_process_options *o)
{
    if (argv == NULL || argv[0] == NULL || *argv[0] == 0) {
        return tug_fail(TUG_EINVAL, "tug_process_start: no program");
    }
    const int hows[3] = {o->in, o->out, o->err};
    for (int i = 0; i < 3; i++) {
        if (hows[i] < TUG_PROCESS_NULL || hows[i] > (i == 2 ? TUG_PROCESS_OUT : TUG_PROCESS_FD)) {
            return tug_fail(TUG_EINVAL, "tug_process_start of \"%s\": %d is no way for its %s",
                            argv[0], hows[i],
                            i == 0   ? "input"
                            : i == 1 ? "output"
                                     : "error output");
        }
    }
    return 0;
}

static int fill_actions(posix_spawn_file_actions_t *actions, const struct start *s)
{
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        if (s->child[i] >= 0) {
            rc = posix_spawn_file_actions_adddup2(actions, s->child[i], i);
        }
    }
    if (rc == 0 && s->o->folder != NULL) {
        rc = posix_spawn_file_actions_addchdir_np(actions, s->o->folder);
    }
    return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FREE_FD) : rc;
}

static int fill_attributes(posix_spawnattr_t *attributes, const struct start *s)
{
    sigset_t all, none;
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigfillset(&all);
    sigemptyset(&none);
    if (s->o->own_group) {
        flags |= POSIX_SPAWN_SETPGROUP; /* 0: a group with its own number */
    }
    int rc = posix_spawnattr_setsigdefault(attributes, &all);
    rc = rc == 0 ? posix_spawnattr_setsigmask(attributes, &none) : rc;
    return rc == 0 ? posix_spawnattr_setflags(attributes, flags) : rc;
}

/* On a thread. */
static int spawn_run(void *arg)
{
    struct start *s = arg;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return -rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = fill_actions(&actions, s);
        rc = rc == 0 ? fill_attributes(&attributes, s) : rc;
        if (rc == 0) {
            const char *const *environment = s->o->environment != NULL
                                                 ? s->o->environment
                                                 : (const char *const *)environ;
            rc = posix_spawnp(&s->pid, s->argv[0], &actions, &attributes, (char *const *)s->argv,
                              (char *const *)environment);
        }
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static int start_failed(int rc, const struct start *s)
{
    if (rc < -4095) {
        return rc; /* has its detail */
    }
    const char *folder = s->o->folder;
    int code = tug_error_from_errno(-rc);
    tug_error e;
    char native[12];
    snprintf(native, sizeof native, "%d", -rc);
    tug_error_set(&e, code, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "cannot start \"%s\"%s%s%s: %s",
                  s->argv[0], folder != NULL ? " in \"" : "", folder != NULL ? folder : "",
                  folder != NULL ? "\"" : "", strerrordesc_np(-rc));
    return tug_fail_with(&e);
}

/* The process as the keeper has it; it runs as soon as there is one. */
static int spawn(tug_process *p, struct start *s)
{
    int rc = tug_offload(spawn_run, s);
    if (rc < 0) {
        return rc;
    }
    p->pid = s->pid;
    p->own_group = s->o->own_group;
    p->grace = s->o->grace;
    p->pidfd = tug__process_without_pidfd ? -1 : (int)syscall(SYS_pidfd_open, p->pid, 0);
    rc = tug_service_spawn("process", keep, p);
    if (rc < 0) {
        /* Nobody could wait for it: it has lived for microseconds. */
        end_it(p, SIGKILL);
        waitpid(p->pid, NULL, 0);
        set_state(p, ENDED);
        return rc;
    }
    p->has_keeper = true;
    tug_on_end(&p->at_end, on_loop_end, p);
    return 0;
}

int tug_process_start(const char *const *argv, const tug_process_options *given,
                      tug_process **ret_process)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    int rc = check(argv, &o);
    tug_process *p = rc == 0 ? tug_calloc(1, sizeof *p) : NULL;
    if (p == NULL) {
        return rc < 0 ? rc : tug_fail(TUG_ENOMEM, "out of memory to start \"%s\"", argv[0]);
    }
    p->loop = tug__loop;
    struct start s = {.argv = argv, .o = &o, .child = {-1, -1, -1}};
    const int hows[3] = {o.in, o.out, o.err};
    const int fds[3] = {o.in_fd, o.out_fd, o.err_fd};
    p->pidfd = -1;
    p->pid = -1;
    p->status = (tug_process_status){-1, -1};
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = open_one(p, &s, i, hows[i], fds[i]);
    }
    if (rc == 0) {
        rc = spawn(p, &s);
    }
    for (int i = 0; i < 3; i++) {
        if (s.child[i] >= 0) {
            close(s.child[i]);
        }
    }
    if (rc < 0) {
        rc = start_failed(rc, &s);
        tug_process_close(p);
        return rc;
    }
    *ret_process = p;
    return 0;
}

/* --- the rest ----------------------------------------------------------------------------------- */

tug_stream *tug_process_in(tug_process *p)
{
    return p->streams[0];
}

tug_stream *tug_process_out(tug_process *p)
{
    return p->streams[1];
}

tug_stream *tug_process_err(tug_process *p)
{
    return p->streams[2];
}

int tug_process_id(const tug_process *p)
{
    return p->pid;
}

int tug_process_wait(tug_process *p, tug_process_status *ret_status)
{
    if (!tug__is_here(p->loop, "tug_process_wait")) {
        return TUG_EMISUSE;
    }
    if (p->state != ENDED) {
        return tug_park(&p->waiters, ret_status, "process");
    }
    int rc = tug_checkpoint();
    if (rc == 0) {
        *ret_status = p->status;
    }
    return rc;
}
