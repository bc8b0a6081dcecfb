/* Preloaded into a process: counts its libc file calls below one root and, at call N,
 * kills, refuses, delays, stops or asks somebody outside.
 *
 * SHIM_CONTROL names a file that is mapped shared: settings, counters, what fired and
 * the log all live there, so they survive fork, exec, SIGKILL, a change of ids and a
 * daemon that closes every descriptor. shim.py has the same structures.
 *
 * Not seen: writes through mmap, stdio's own writes inside libc, statically linked
 * programs. test_shim.py compares the log with strace.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PLACE_MAX 4608
enum { READ = 1, OPEN = 2, CHANGE = 4, SYNC = 8, LOCK = 16, CLOSE = 32 };
enum { NOTHING, KILL, KILL_TORN, REFUSE, DELAY, STOP, ASK, SHORT };

struct control {
    char root[1024];
    char hook[1024];      /* FIFOs HOOK.ask and HOOK.go */
    int64_t at;           /* 1-based; 0 never; -1 always */
    uint32_t action;
    uint32_t after;       /* act when the call has been made */
    uint32_t sticky;      /* at `at` and from then on; 2: at every second call */
    uint32_t limit;       /* sticky: at so many calls and no more; 0 for ever */
    uint32_t unused;
    int32_t error;
    uint32_t mask;        /* kinds that are counted */
    uint32_t log_on;
    uint64_t delay_ns;
    uint64_t count;       /* of counted calls */
    uint64_t changes;     /* attempted changing calls, whatever the mask */
    uint64_t fired;       /* how often it acted */
    uint32_t doomed;      /* set by a kill: every other process of the tree dies at its next call */
    int32_t fired_pid;
    char fired_call[32];
    uint64_t log_used;
    uint64_t log_size;    /* bytes behind this structure */
};

struct record {           /* then path, other and data, each without a NUL; padded to 8 */
    uint32_t size;
    uint32_t kind;
    uint64_t sequence;
    int64_t result;
    int64_t number[4];    /* arguments that matter to a replay */
    uint64_t ino;         /* of the object before the call */
    uint64_t ino_after;   /* of the resulting name after it */
    uint32_t path_size, other_size, data_size;
    int32_t error;
    int32_t pid;
    int32_t whole;        /* set last: a record of a killed process may lack it */
    int32_t by_name;      /* the call names its object, and not by a descriptor */
    int32_t unused;
    char name[24];
};

struct call {
    const char *name;
    uint32_t kind;
    int fd;               /* -1 where the call takes a name */
    char path[PLACE_MAX];
    char other[PLACE_MAX];
    int64_t number[4];
    const void *data;
    size_t data_size;
    uint64_t sequence, ino;
    int error;            /* refuse with this; 0 do not */
    int act;              /* the action is due at this call */
};

static struct control *control;
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
static long (*raw)(long, ...); /* libc's syscall(2), past our own */

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("SHIM_CONTROL");
    *(void **)&raw = dlsym(RTLD_NEXT, "syscall");
    if (path == NULL)
        return;
    int fd = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || raw(SYS_fstat, fd, &info) != 0)
        _exit(99); /* the test asked for a shim and would have none */
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw(SYS_close, fd);
    if (map == MAP_FAILED)
        _exit(99);
    control = map;
}

/* ---- which calls count ------------------------------------------------------------- */

static int of_link(char *out, const char *magic)
{
    long n = raw(SYS_readlinkat, AT_FDCWD, magic, out, PLACE_MAX - 1);
    if (n < 0)
        return 0;
    out[n] = 0;
    return 1;
}

static int of_fd(char *out, int fd)
{
    char magic[64];
    if (fd == AT_FDCWD)
        return of_link(out, "/proc/self/cwd");
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", fd);
    return of_link(out, magic);
}

static int of_name(char *out, int dir_fd, const char *name)
{
    if (name == NULL || *name == 0) /* futimens and AT_EMPTY_PATH */
        return of_fd(out, dir_fd);
    if (strncmp(name, "/proc/self/fd/", 14) == 0) {
        char *rest;
        int fd = (int)strtol(name + 14, &rest, 10);
        if (!of_fd(out, fd))
            return 0;
        strncat(out, rest, PLACE_MAX - 1 - strlen(out));
        return 1;
    }
    if (*name == '/') {
        snprintf(out, PLACE_MAX, "%s", name);
        return 1;
    }
    if (!of_fd(out, dir_fd))
        return 0;
    size_t n = strlen(out);
    snprintf(out + n, PLACE_MAX - n, "%s%s", n == 1 ? "" : "/", name);
    return 1;
}

static int below(const char *path)
{
    size_t n = strlen(control->root);
    return n != 0 && strncmp(path, control->root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int at_fd(struct call *c, int fd)
{
    c->fd = fd;
    return control && of_fd(c->path, fd) && below(c->path);
}

static int at_name(struct call *c, int dir_fd, const char *name)
{
    return control && of_name(c->path, dir_fd, name) && below(c->path);
}

static int at_names(struct call *c, int from, const char *old, int to, const char *new)
{
    if (!control || !of_name(c->path, from, old) || !of_name(c->other, to, new))
        return 0;
    return below(c->path) || below(c->other);
}

/* ---- acting ------------------------------------------------------------------------ */

static uint64_t inode_of(int fd, const char *path)
{
    struct stat info;
    if (fd >= 0 ? raw(SYS_fstat, fd, &info) : raw(SYS_newfstatat, AT_FDCWD, path, &info,
                                                   AT_SYMLINK_NOFOLLOW))
        return 0;
    return info.st_ino;
}

static void die(void)
{
    __atomic_store_n(&control->doomed, 1, __ATOMIC_SEQ_CST);
    raw(SYS_kill, (long)getpid(), SIGKILL);
    for (;;)
        pause();
}

static void ask(const struct call *c)
{
    char path[1100], text[2 * PLACE_MAX + 128], answer;
    int n = snprintf(text, sizeof text, "%llu\t%d\t%s\t%s\t%s", (unsigned long long)c->sequence,
                     control->after, c->name, c->path, c->other) + 1;
    pthread_mutex_lock(&asking);
    snprintf(path, sizeof path, "%s.ask", control->hook);
    int fd = (int)raw(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    raw(SYS_write, fd, text, (size_t)n);
    raw(SYS_close, fd);
    snprintf(path, sizeof path, "%s.go", control->hook);
    fd = (int)raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    while (raw(SYS_read, fd, &answer, 1) < 0 && errno == EINTR)
        ;
    raw(SYS_close, fd);
    pthread_mutex_unlock(&asking);
}

static void fire(const struct call *c)
{
    control->fired_pid = getpid();
    snprintf(control->fired_call, sizeof control->fired_call, "%s", c->name);
    __atomic_add_fetch(&control->fired, 1, __ATOMIC_SEQ_CST);
}

static int by_name(const struct call *c)
{
    return c->fd == -1 && c->kind != CLOSE;
}

/* ENOENT and EEXIST say something about a name: a call on a descriptor cannot answer so. */
static int is_nonsense(const struct call *c)
{
    int about_names = control->error == ENOENT || control->error == EEXIST;
    return control->action == REFUSE && about_names && !by_name(c);
}

static void act(struct call *c)
{
    if (is_nonsense(c))
        return;
    struct timespec pause_for = {control->delay_ns / 1000000000, control->delay_ns % 1000000000};
    if (control->action == KILL_TORN || control->action == SHORT)
        return; /* only a write can; see torn() */
    fire(c);
    if (control->action == KILL)
        die();
    if (control->action == REFUSE)
        c->error = control->error;
    if (control->action == DELAY)
        nanosleep(&pause_for, NULL);
    if (control->action == STOP)
        raw(SYS_kill, (long)getpid(), SIGSTOP);
    if (control->action == ASK)
        ask(c);
}

static int due(uint64_t sequence)
{
    int64_t at = control->at, n = (int64_t)sequence;
    if (at == -1 || n == at)
        return 1;
    if (at <= 0 || n < at || (control->limit && n >= at + control->limit))
        return 0;
    return control->sticky == 1 || (control->sticky == 2 && !((n - at) & 1));
}

/* Before the call is made; false if nothing is to be made of it. */
static void before(struct call *c)
{
    int saved = errno;
    if (control->doomed)
        die();
    if (c->kind & CHANGE)
        __atomic_add_fetch(&control->changes, 1, __ATOMIC_SEQ_CST);
    if (control->log_on)
        c->ino = inode_of(c->fd, c->path);
    if (c->kind & control->mask) {
        c->sequence = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
        c->act = due(c->sequence);
        if (c->act && !control->after)
            act(c);
    }
    errno = saved;
}

static void note(struct call *c, int64_t result, int error)
{
    size_t paths = strlen(c->path), others = strlen(c->other);
    size_t data = c->data && result > 0 ? (size_t)result : c->data_size;
    size_t size = (sizeof(struct record) + paths + others + data + 7) & ~(size_t)7;
    uint64_t start = __atomic_fetch_add(&control->log_used, size, __ATOMIC_SEQ_CST);
    if (start + size > control->log_size)
        return; /* log_used tells the reader that the log is cut */
    struct record *r = (void *)((char *)(control + 1) + start);
    r->size = (uint32_t)size;
    r->kind = c->kind;
    r->sequence = c->sequence;
    r->result = result;
    memcpy(r->number, c->number, sizeof r->number);
    r->ino = c->ino;
    r->ino_after = inode_of(c->fd, *c->other ? c->other : c->path);
    r->path_size = (uint32_t)paths, r->other_size = (uint32_t)others;
    r->data_size = (uint32_t)data;
    r->error = result == -1 ? error : 0;
    r->pid = getpid();
    r->by_name = by_name(c);
    snprintf(r->name, sizeof r->name, "%s", c->name);
    char *to = (char *)(r + 1);
    memcpy(to, c->path, paths);
    memcpy(to + paths, c->other, others);
    if (data)
        memcpy(to + paths + others, c->data, data);
    __atomic_store_n(&r->whole, 1, __ATOMIC_SEQ_CST);
}

static void after(struct call *c, int64_t result)
{
    int saved = errno;
    if (control->log_on)
        note(c, result, saved);
    if (c->act && control->after)
        act(c);
    errno = saved;
}

/* How many bytes of `size` a write may write: half of them if it is to be torn. */
static size_t torn(struct call *c, size_t size)
{
    if (!c->act || size < 2 || (control->action != KILL_TORN && control->action != SHORT))
        return size;
    fire(c);
    return size / 2;
}

static void torn_end(const struct call *c)
{
    if (c->act && control->action == KILL_TORN)
        die();
}

#include "shim_calls.h"
