/* A file system that shows another directory and lies as it is told to.
 *
 *     faultfs SOURCE MOUNTPOINT CONTROL
 *
 * Speaks the kernel's FUSE protocol itself (linux/fuse.h), so that the tests need a C
 * compiler and nothing else; has to be root; ends when it is unmounted. One thread; operations
 * that are held back wait at the same time, as at the servers of a parallel file system.
 * CONTROL is mapped shared: mount.py has the same structure. Nothing is cached unless it says
 * so: each operation of a client is one here, and a permission's check another.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WRITE_MAX (128u << 10)
#define NO_RENAME_FLAGS 1u
#define NO_LINKS 2u
#define OPCODES 64u

struct control {
    uint64_t delay_ns;       /* before each operation */
    uint64_t lacks;          /* NO_RENAME_FLAGS, NO_LINKS */
    uint64_t seed;           /* of the faults; advanced with each draw */
    uint64_t per_mille;      /* of the chosen operations fail */
    uint64_t error;
    uint64_t chosen;         /* bit N: FUSE opcode N may fail */
    uint64_t fired;          /* faults so far */
    uint64_t hang_in;        /* operations until it answers no more (1: now); 0 never */
    uint64_t cached_s;       /* for which the kernel may believe what it was told */
    uint64_t count[OPCODES]; /* of operations, by opcode */
};

#define BUCKETS (1u << 16)

struct node {
    int fd;                  /* O_PATH */
    uint64_t known;          /* how often the kernel has been told of it */
    uint64_t inode;
    uint64_t next;           /* of its bucket, or of those that are free; 0 ends both */
};

static struct control *control;
static struct node *nodes;
static uint64_t node_count, free_node;
static uint64_t buckets[BUCKETS]; /* the first node of those whose inode number ends so */
static int device;

/* ---- answers ----------------------------------------------------------------------- */

static void answer(uint64_t unique, int error, const void *data, size_t size)
{
    struct fuse_out_header head = {.error = -error, .unique = unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)data, error ? 0 : size}};
    head.len = (uint32_t)(sizeof head + parts[1].iov_len);
    if (writev(device, parts, 2) < 0 && errno != ENOENT) /* ENOENT: it was interrupted */
        perror("faultfs: writev");
}

static void answer_result(uint64_t unique, long result)
{
    answer(unique, result < 0 ? errno : 0, NULL, 0);
}

/* ---- nodes ------------------------------------------------------------------------- */

static int fd_of(uint64_t id)
{
    return nodes[id].fd;
}

static char *magic(uint64_t id)
{
    static char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(id));
    return path;
}

static void attributes(struct fuse_attr *to, const struct stat *info)
{
    *to = (struct fuse_attr){
        .ino = info->st_ino, .size = (uint64_t)info->st_size, .blocks = (uint64_t)info->st_blocks,
        .atime = (uint64_t)info->st_atim.tv_sec, .atimensec = (uint32_t)info->st_atim.tv_nsec,
        .mtime = (uint64_t)info->st_mtim.tv_sec, .mtimensec = (uint32_t)info->st_mtim.tv_nsec,
        .ctime = (uint64_t)info->st_ctim.tv_sec, .ctimensec = (uint32_t)info->st_ctim.tv_nsec,
        .mode = info->st_mode, .nlink = (uint32_t)info->st_nlink, .uid = info->st_uid,
        .gid = info->st_gid, .rdev = (uint32_t)info->st_rdev, .blksize = 4096};
}

static uint64_t new_node(void)
{
    uint64_t id = free_node;
    if (id != 0) {
        free_node = nodes[id].next;
        return id;
    }
    nodes = realloc(nodes, ++node_count * sizeof *nodes);
    if (nodes == NULL)
        abort();
    return node_count - 1;
}

static uint64_t node_of(int fd, const struct stat *info)
{
    uint64_t *bucket = &buckets[info->st_ino % BUCKETS], id;
    for (id = *bucket; id != 0; id = nodes[id].next)
        if (nodes[id].inode == info->st_ino) { /* which lives as long as our descriptor */
            close(fd);
            nodes[id].known++;
            return id;
        }
    id = new_node();
    nodes[id] = (struct node){fd, 1, info->st_ino, *bucket};
    *bucket = id;
    return id;
}

static int entry_of(struct fuse_entry_out *to, uint64_t parent, const char *name)
{
    struct stat info;
    int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        return -1;
    *to = (struct fuse_entry_out){.nodeid = node_of(fd, &info), .attr_valid = control->cached_s,
                                  .entry_valid = control->cached_s};
    attributes(&to->attr, &info);
    return 0;
}

static void answer_entry(uint64_t unique, uint64_t parent, const char *name)
{
    struct fuse_entry_out out;
    int failed = entry_of(&out, parent, name);
    answer(unique, failed ? errno : 0, &out, sizeof out);
}

static void forget(uint64_t id, uint64_t times)
{
    if (id == FUSE_ROOT_ID || nodes[id].known == 0)
        return;
    nodes[id].known -= times < nodes[id].known ? times : nodes[id].known;
    if (nodes[id].known != 0)
        return;
    uint64_t *at = &buckets[nodes[id].inode % BUCKETS];
    while (*at != id)
        at = &nodes[*at].next;
    *at = nodes[id].next;
    close(nodes[id].fd);
    nodes[id].next = free_node;
    free_node = id;
}

/* ---- making ------------------------------------------------------------------------ */

/* What was made as root belongs to who asked; a setgid directory gives its group. */
static int give(const struct fuse_in_header *in, const char *name, uint32_t mode)
{
    struct stat parent, info;
    int dir = fd_of(in->nodeid);
    if (fstat(dir, &parent) != 0)
        return -1;
    gid_t gid = parent.st_mode & S_ISGID ? parent.st_gid : in->gid;
    if (fchownat(dir, name, in->uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISLNK(info.st_mode))
        return 0;
    return fchmodat(dir, name, mode & 07777, 0);
}

static void made(const struct fuse_in_header *in, int result, const char *name, uint32_t mode)
{
    if (result < 0 || give(in, name, mode) < 0)
        answer(in->unique, errno, NULL, 0);
    else
        answer_entry(in->unique, in->nodeid, name);
}

static void create(const struct fuse_in_header *in, const struct fuse_create_in *how)
{
    struct { struct fuse_entry_out entry; struct fuse_open_out open; } out = {0};
    const char *name = (const char *)(how + 1);
    int flags = (int)(how->flags & ~(uint32_t)O_NOFOLLOW) | O_CREAT | O_CLOEXEC;
    int is_new = faccessat(fd_of(in->nodeid), name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = openat(fd_of(in->nodeid), name, flags, 0600);
    if (fd < 0 || (is_new && give(in, name, how->mode & ~how->umask) < 0) ||
        entry_of(&out.entry, in->nodeid, name) < 0) {
        answer(in->unique, errno, NULL, 0);
        return;
    }
    out.open.fh = (uint64_t)fd;
    answer(in->unique, 0, &out, sizeof out);
}

/* ---- attributes -------------------------------------------------------------------- */

static struct timespec when(uint32_t valid, uint32_t set, uint32_t now, uint64_t s, uint32_t ns)
{
    struct timespec time = {(time_t)s, (long)ns};
    if (!(valid & set))
        time.tv_nsec = UTIME_OMIT;
    else if (valid & now)
        time.tv_nsec = UTIME_NOW;
    return time;
}

static int set_attributes(uint64_t id, const struct fuse_setattr_in *in)
{
    uint32_t valid = in->valid;
    if (valid & (FATTR_UID | FATTR_GID)) {
        uid_t uid = valid & FATTR_UID ? in->uid : (uid_t)-1;
        gid_t gid = valid & FATTR_GID ? in->gid : (gid_t)-1;
        if (fchownat(fd_of(id), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
            return -1;
    }
    if (valid & FATTR_SIZE && truncate(magic(id), (off_t)in->size) != 0)
        return -1;
    if (valid & FATTR_MODE && chmod(magic(id), in->mode & 07777) != 0)
        return -1;
    if (valid & (FATTR_ATIME | FATTR_MTIME)) {
        struct timespec times[2] = {
            when(valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
            when(valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
        return utimensat(fd_of(id), "", times, AT_EMPTY_PATH);
    }
    return 0;
}

static void answer_attributes(const struct fuse_in_header *in, int failed)
{
    struct fuse_attr_out out = {.attr_valid = control->cached_s};
    struct stat info;
    if (failed || fstat(fd_of(in->nodeid), &info) != 0) {
        answer(in->unique, errno, NULL, 0);
        return;
    }
    attributes(&out.attr, &info);
    answer(in->unique, 0, &out, sizeof out);
}

/* ---- files and directories --------------------------------------------------------- */

static void open_file(const struct fuse_in_header *in, uint32_t flags)
{
    struct fuse_open_out out = {0};
    int fd = open(magic(in->nodeid), (int)(flags & ~(uint32_t)O_NOFOLLOW) | O_CLOEXEC);
    out.fh = (uint64_t)fd;
    answer(in->unique, fd < 0 ? errno : 0, &out, sizeof out);
}

static void open_dir(const struct fuse_in_header *in)
{
    struct fuse_open_out out = {0};
    int fd = open(magic(in->nodeid), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    out.fh = (uint64_t)(uintptr_t)dir;
    answer(in->unique, dir == NULL ? errno : 0, &out, sizeof out);
}

static void read_dir(const struct fuse_in_header *in, const struct fuse_read_in *what)
{
    static char out[WRITE_MAX];
    DIR *dir = (DIR *)(uintptr_t)what->fh;
    size_t used = 0, room = what->size < sizeof out ? what->size : sizeof out;
    struct dirent *found;
    if (what->offset == 0)
        rewinddir(dir);
    else
        seekdir(dir, (long)what->offset);
    while ((found = readdir(dir)) != NULL) {
        size_t length = strlen(found->d_name);
        struct fuse_dirent *to = (void *)(out + used);
        size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
        if (used + size > room)
            break;
        memset(to, 0, size);
        to->ino = found->d_ino;
        to->off = (uint64_t)telldir(dir);
        to->namelen = (uint32_t)length;
        to->type = found->d_type;
        memcpy(to->name, found->d_name, length);
        used += size;
    }
    answer(in->unique, 0, out, used);
}

static void read_file(const struct fuse_in_header *in, const struct fuse_read_in *what)
{
    static char out[WRITE_MAX];
    size_t size = what->size < sizeof out ? what->size : sizeof out;
    ssize_t result = pread((int)what->fh, out, size, (off_t)what->offset);
    answer(in->unique, result < 0 ? errno : 0, out, result < 0 ? 0 : (size_t)result);
}

static void write_file(const struct fuse_in_header *in, const struct fuse_write_in *what)
{
    struct fuse_write_out out = {0};
    ssize_t result = pwrite((int)what->fh, what + 1, what->size, (off_t)what->offset);
    out.size = (uint32_t)result;
    answer(in->unique, result < 0 ? errno : 0, &out, sizeof out);
}

static void statistics(const struct fuse_in_header *in)
{
    struct fuse_statfs_out out = {0};
    struct statvfs info;
    int failed = fstatvfs(fd_of(in->nodeid), &info);
    out.st.blocks = info.f_blocks, out.st.bfree = info.f_bfree, out.st.bavail = info.f_bavail;
    out.st.files = info.f_files, out.st.ffree = info.f_ffree, out.st.bsize = (uint32_t)info.f_bsize;
    out.st.frsize = (uint32_t)info.f_frsize, out.st.namelen = (uint32_t)info.f_namemax;
    answer(in->unique, failed ? errno : 0, &out, sizeof out);
}

static void read_link(const struct fuse_in_header *in)
{
    static char target[4096];
    ssize_t result = readlinkat(fd_of(in->nodeid), "", target, sizeof target);
    answer(in->unique, result < 0 ? errno : 0, target, result < 0 ? 0 : (size_t)result);
}

/* ---- names ------------------------------------------------------------------------- */

static void rename_name(const struct fuse_in_header *in, uint64_t to, const char *from, uint32_t flags)
{
    if (flags && control->lacks & NO_RENAME_FLAGS) {
        answer(in->unique, EINVAL, NULL, 0);
        return;
    }
    const char *name = from + strlen(from) + 1;
    answer_result(in->unique, renameat2(fd_of(in->nodeid), from, fd_of(to), name, flags));
}

static void link_name(const struct fuse_in_header *in, const struct fuse_link_in *what)
{
    const char *name = (const char *)(what + 1);
    if (control->lacks & NO_LINKS)
        answer(in->unique, EPERM, NULL, 0);
    else if (linkat(AT_FDCWD, magic(what->oldnodeid), fd_of(in->nodeid), name, AT_SYMLINK_FOLLOW))
        answer(in->unique, errno, NULL, 0);
    else
        answer_entry(in->unique, in->nodeid, name);
}

static void greet(const struct fuse_in_header *in, const struct fuse_init_in *kernel)
{
    uint32_t minor = kernel->minor < FUSE_KERNEL_MINOR_VERSION ? kernel->minor : FUSE_KERNEL_MINOR_VERSION;
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = minor,
                                .max_readahead = kernel->max_readahead,
                                .flags = FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_PARALLEL_DIROPS,
                                .max_background = 8,
                                .congestion_threshold = 6, .max_write = WRITE_MAX,
                                .time_gran = 1};
    answer(in->unique, 0, &out, sizeof out);
}

/* ---- one operation ----------------------------------------------------------------- */

static int is_to_fail(uint32_t opcode)
{
    if (opcode >= 64 || !(control->chosen >> opcode & 1))
        return 0;
    control->seed ^= control->seed << 13;
    control->seed ^= control->seed >> 7;
    control->seed ^= control->seed << 17;
    if (control->seed % 1000 >= control->per_mille)
        return 0;
    control->fired++;
    return 1;
}

static void on_names(const struct fuse_in_header *in, const void *body)
{
    const char *name = body;
    const struct fuse_mknod_in *node = body;
    const struct fuse_mkdir_in *dir = body;
    int parent = fd_of(in->nodeid);
    switch (in->opcode) {
    case FUSE_LOOKUP: answer_entry(in->unique, in->nodeid, name); break;
    case FUSE_SYMLINK: made(in, symlinkat(name + strlen(name) + 1, parent, name), name, 0); break;
    case FUSE_MKNOD:
        name = (const char *)(node + 1);
        made(in, mknodat(parent, name, node->mode, node->rdev), name, node->mode & ~node->umask);
        break;
    case FUSE_MKDIR:
        name = (const char *)(dir + 1);
        made(in, mkdirat(parent, name, 0700), name, dir->mode & ~dir->umask);
        break;
    case FUSE_UNLINK: answer_result(in->unique, unlinkat(parent, name, 0)); break;
    case FUSE_RMDIR: answer_result(in->unique, unlinkat(parent, name, AT_REMOVEDIR)); break;
    case FUSE_RENAME:
        rename_name(in, ((struct fuse_rename_in *)body)->newdir,
                    (char *)body + sizeof(struct fuse_rename_in), 0);
        break;
    case FUSE_RENAME2:
        rename_name(in, ((struct fuse_rename2_in *)body)->newdir,
                    (char *)body + sizeof(struct fuse_rename2_in),
                    ((struct fuse_rename2_in *)body)->flags);
        break;
    case FUSE_LINK: link_name(in, body); break;
    case FUSE_CREATE: create(in, body); break;
    default: answer(in->unique, ENOSYS, NULL, 0);
    }
}

static void on_files(const struct fuse_in_header *in, const void *body)
{
    const struct fuse_fsync_in *sync = body;
    const struct fuse_release_in *release = body;
    const struct fuse_fallocate_in *space = body;
    switch (in->opcode) {
    case FUSE_INIT: greet(in, body); break;
    case FUSE_GETATTR: answer_attributes(in, 0); break;
    case FUSE_SETATTR: answer_attributes(in, set_attributes(in->nodeid, body)); break;
    case FUSE_READLINK: read_link(in); break;
    case FUSE_OPEN: open_file(in, ((const struct fuse_open_in *)body)->flags); break;
    case FUSE_OPENDIR: open_dir(in); break;
    case FUSE_READDIR: read_dir(in, body); break;
    case FUSE_READ: read_file(in, body); break;
    case FUSE_WRITE: write_file(in, body); break;
    case FUSE_STATFS: statistics(in); break;
    case FUSE_FLUSH: answer(in->unique, 0, NULL, 0); break;
    case FUSE_FSYNC: answer_result(in->unique, fsync((int)sync->fh)); break;
    case FUSE_FSYNCDIR: answer_result(in->unique, fsync(dirfd((DIR *)(uintptr_t)sync->fh))); break;
    case FUSE_RELEASE: answer_result(in->unique, close((int)release->fh)); break;
    case FUSE_RELEASEDIR: answer_result(in->unique, closedir((DIR *)(uintptr_t)release->fh)); break;
    case FUSE_FALLOCATE:
        answer_result(in->unique, fallocate((int)space->fh, (int)space->mode, (off_t)space->offset,
                                            (off_t)space->length));
        break;
    default: on_names(in, body);
    }
}

static void serve(const struct fuse_in_header *in, const void *body)
{
    if (in->opcode == FUSE_FORGET) {
        forget(in->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
        return;
    }
    if (in->opcode == FUSE_BATCH_FORGET) {
        const struct fuse_batch_forget_in *batch = body;
        const struct fuse_forget_one *one = (const void *)(batch + 1);
        for (uint32_t i = 0; i < batch->count; i++)
            forget(one[i].nodeid, one[i].nlookup);
        return;
    }
    if (in->opcode == FUSE_INTERRUPT)
        return; /* it is answered when it is done */
    if (in->opcode < OPCODES)
        control->count[in->opcode]++;
    struct timespec moment = {0, 1000000};
    if (control->hang_in > 1)
        control->hang_in--;
    while (control->hang_in == 1)
        nanosleep(&moment, NULL);
    if (is_to_fail(in->opcode))
        answer(in->unique, (int)control->error, NULL, 0);
    else
        on_files(in, body);
}

static int prepared(char **arguments)
{
    char options[200];
    int page = open(arguments[3], O_RDWR | O_CLOEXEC);
    int root = open(arguments[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    device = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (page < 0 || root < 0 || device < 0)
        return 0;
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    node_count = FUSE_ROOT_ID + 1;
    nodes = calloc(node_count, sizeof *nodes);
    if (control == MAP_FAILED || nodes == NULL)
        return 0;
    struct stat info;
    if (fstat(root, &info) != 0)
        return 0;
    nodes[FUSE_ROOT_ID] = (struct node){root, 1, info.st_ino, 0};
    buckets[info.st_ino % BUCKETS] = FUSE_ROOT_ID;
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
    umask(0);
    return mount("faultfs", arguments[2], "fuse.faultfs", MS_NODEV, options) == 0;
}

/* ---- what waits -------------------------------------------------------------------- */

struct waiting {
    struct waiting *next;
    uint64_t due_ns;
    size_t size;
    char bytes[] __attribute__((aligned(16)));
};

static struct waiting *oldest, *newest; /* all wait equally long: first come, first due */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A forget and an interrupt are no operation that a client waits for. */
static int is_held_back(uint32_t opcode)
{
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

static void put_last(const char *bytes, size_t size)
{
    struct waiting *one = malloc(sizeof *one + size);
    *one = (struct waiting){NULL, now_ns() + control->delay_ns, size};
    memcpy(one->bytes, bytes, size);
    if (oldest == NULL)
        oldest = one;
    else
        newest->next = one;
    newest = one;
}

static void serve_what_is_due(void)
{
    while (oldest != NULL && oldest->due_ns <= now_ns()) {
        struct waiting *one = oldest;
        oldest = one->next;
        serve((void *)one->bytes, one->bytes + sizeof(struct fuse_in_header));
        free(one);
    }
}

/* Until there is something to read, or the oldest one is due. */
static void wait_for_more(void)
{
    struct pollfd input = {.fd = device, .events = POLLIN};
    uint64_t now = now_ns(), left = oldest != NULL && oldest->due_ns > now ? oldest->due_ns - now : 0;
    struct timespec until = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    ppoll(&input, 1, oldest == NULL ? NULL : &until, NULL);
}

int main(int count, char **arguments)
{
    static char buffer[WRITE_MAX + (16u << 10)] __attribute__((aligned(16)));
    if (count != 4 || !prepared(arguments)) {
        fprintf(stderr, "faultfs: %s\n", strerror(errno));
        return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1000); /* ns */
    puts("ready");
    fflush(stdout);
    for (;;) {
        wait_for_more();
        ssize_t size = read(device, buffer, sizeof buffer);
        if (size < 0 && errno == ENODEV)
            return 0; /* unmounted */
        const struct fuse_in_header *in = (void *)buffer;
        if (size >= (ssize_t)sizeof *in) {
            if (control->delay_ns && is_held_back(in->opcode))
                put_last(buffer, (size_t)size);
            else
                serve(in, buffer + sizeof *in);
        }
        serve_what_is_due();
    }
}
