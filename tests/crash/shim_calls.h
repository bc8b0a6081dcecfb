/* The calls that shim.c looks at, one line each: what they are, where they act and which
 * of their arguments a replay needs. */

#define REAL(NAME) (*(void **)&real = real ? (void *)real : dlsym(RTLD_NEXT, #NAME))
#define COMMA ,
#define NUMBERS(...) .number = {__VA_ARGS__}

/* RET NAME PARAMS: a call of KIND that counts if PLACE says so; refused it returns FAIL. */
#define WRAP(RET, FAIL, NAME, PARAMS, ARGS, KIND, PLACE, NOTE)                                 \
    RET NAME PARAMS                                                                            \
    {                                                                                          \
        static RET(*real) PARAMS;                                                              \
        struct call c = {.name = #NAME, .kind = KIND, .fd = -1, NOTE};                         \
        REAL(NAME);                                                                            \
        if (!(PLACE))                                                                          \
            return real ARGS;                                                                  \
        before(&c);                                                                            \
        RET result = c.error ? (errno = c.error, FAIL) : real ARGS;                            \
        after(&c, (int64_t)result);                                                            \
        return result;                                                                         \
    }
#define WRAP_INT(NAME, PARAMS, ARGS, KIND, PLACE, ...)                                         \
    WRAP(int, -1, NAME, PARAMS, ARGS, KIND, PLACE, NUMBERS(__VA_ARGS__))
#define WRAP_SIZE(NAME, PARAMS, ARGS, KIND, PLACE, ...)                                        \
    WRAP(ssize_t, -1, NAME, PARAMS, ARGS, KIND, PLACE, NUMBERS(__VA_ARGS__))

#define FD at_fd(&c, fd)
#define HERE at_name(&c, AT_FDCWD, path)
#define THERE at_name(&c, dir, path)

/* ---- opening ----------------------------------------------------------------------- */

/* Creating and truncating change something; O_CREAT of what is there does not. */
static uint32_t kind_of_open(const struct call *c, int flags)
{
    if (flags & O_TRUNC || (flags & O_TMPFILE) == O_TMPFILE)
        return CHANGE;
    if (flags & O_CREAT && (flags & O_EXCL || inode_of(-1, c->path) == 0))
        return CHANGE;
    return OPEN;
}

#define OPENS(NAME, DECLARED, DIR, PASSED)                                                     \
    int NAME DECLARED                                                                          \
    {                                                                                          \
        static int(*real) DECLARED;                                                            \
        mode_t mode = 0;                                                                       \
        if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                             \
            va_list rest;                                                                      \
            va_start(rest, flags);                                                             \
            mode = va_arg(rest, mode_t);                                                       \
            va_end(rest);                                                                      \
        }                                                                                      \
        struct call c = {.name = "open", .fd = -1, .number = {flags, mode}};                   \
        REAL(NAME);                                                                            \
        if (!at_name(&c, DIR, path))                                                           \
            return real PASSED;                                                                \
        c.kind = kind_of_open(&c, flags);                                                      \
        before(&c);                                                                            \
        int result = c.error ? (errno = c.error, -1) : real PASSED;                            \
        after(&c, result);                                                                     \
        return result;                                                                         \
    }

OPENS(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPENS(openat, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))
OPENS(openat64, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))
WRAP_INT(creat, (const char *path, mode_t mode), (path, mode), CHANGE, HERE, 0, mode)
WRAP_INT(creat64, (const char *path, mode_t mode), (path, mode), CHANGE, HERE, 0, mode)
WRAP(FILE *, NULL, fopen64, (const char *path, const char *how), (path, how),
     *how == 'r' ? OPEN : CHANGE, HERE, NUMBERS(0))

/* The descriptor is gone even when close reports an error (Linux). */
int close(int fd)
{
    static int (*real)(int);
    struct call c = {.name = "close", .kind = CLOSE, .fd = -1};
    REAL(close);
    if (!at_name(&c, fd, ""))
        return real(fd);
    before(&c);
    int result = real(fd);
    if (c.error)
        errno = c.error, result = -1;
    after(&c, result);
    return result;
}

/* ---- contents ---------------------------------------------------------------------- */

#define WRITES(NAME, PARAMS, ARGS, OFFSET)                                                     \
    ssize_t NAME PARAMS                                                                        \
    {                                                                                          \
        static ssize_t(*real) PARAMS;                                                          \
        struct call c = {.name = "write", .kind = CHANGE, .data = from};                       \
        REAL(NAME);                                                                            \
        if (!FD)                                                                               \
            return real ARGS;                                                                  \
        before(&c);                                                                            \
        size = torn(&c, size);                                                                 \
        ssize_t result = c.error ? (errno = c.error, -1) : real ARGS;                          \
        torn_end(&c);                                                                          \
        c.number[0] = OFFSET;                                                                  \
        after(&c, result);                                                                     \
        return result;                                                                         \
    }
#define BEHIND ((int64_t)raw(SYS_lseek, fd, 0L, SEEK_CUR) - result)

WRITES(write, (int fd, const void *from, size_t size), (fd, from, size), BEHIND)
WRITES(pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at), at)
WRITES(pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at), at)

/* What a call has brought into the file at `fd` without our seeing it is read back. */
static void note_copied(struct call *c, int fd, int64_t at, int64_t size, void **kept)
{
    *kept = control->log_on && size > 0 ? malloc((size_t)size) : NULL;
    c->number[0] = at;
    if (*kept == NULL)
        return;
    char magic[64];
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", fd);
    int again = (int)raw(SYS_openat, AT_FDCWD, magic, O_RDONLY | O_CLOEXEC);
    if (raw(SYS_pread64, again, *kept, (size_t)size, at) == size)
        c->data = *kept;
    raw(SYS_close, again);
}

#define COPIES(NAME, PARAMS, ARGS, OFFSET)                                                     \
    ssize_t NAME PARAMS                                                                        \
    {                                                                                          \
        static ssize_t(*real) PARAMS;                                                          \
        struct call c = {.name = "write", .kind = CHANGE};                                     \
        REAL(NAME);                                                                            \
        if (!FD)                                                                               \
            return real ARGS;                                                                  \
        before(&c);                                                                            \
        size = torn(&c, size);                                                                 \
        ssize_t result = c.error ? (errno = c.error, -1) : real ARGS;                          \
        int saved = errno;                                                                     \
        void *kept;                                                                            \
        torn_end(&c);                                                                          \
        note_copied(&c, fd, OFFSET, result, &kept);                                            \
        errno = saved;                                                                         \
        after(&c, result);                                                                     \
        free(kept);                                                                            \
        return result;                                                                         \
    }
COPIES(copy_file_range,
       (int from, off64_t *from_at, int fd, off64_t *to_at, size_t size, unsigned flags),
       (from, from_at, fd, to_at, size, flags), to_at ? *to_at - result : BEHIND)
COPIES(sendfile, (int fd, int from, off_t *at, size_t size), (fd, from, at, size), BEHIND)
COPIES(sendfile64, (int fd, int from, off64_t *at, size_t size), (fd, from, at, size), BEHIND)
COPIES(splice, (int from, off64_t *from_at, int fd, off64_t *to_at, size_t size, unsigned flags),
       (from, from_at, fd, to_at, size, flags), to_at ? *to_at - result : BEHIND)

WRAP_SIZE(writev, (int fd, const struct iovec *v, int n), (fd, v, n), CHANGE, FD, 0)
WRAP_SIZE(pwritev64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
          (fd, v, n, at, flags), CHANGE, FD, at)
WRAP_SIZE(read, (int fd, void *to, size_t size), (fd, to, size), READ, FD, 0)
WRAP_SIZE(pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), READ, FD, at)
WRAP_SIZE(pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at), READ, FD, at)
WRAP_SIZE(readv, (int fd, const struct iovec *v, int n), (fd, v, n), READ, FD, 0)
WRAP_SIZE(preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
          (fd, v, n, at, flags), READ, FD, at)
WRAP_INT(ftruncate, (int fd, off_t size), (fd, size), CHANGE, FD, size)
WRAP_INT(ftruncate64, (int fd, off64_t size), (fd, size), CHANGE, FD, size)
WRAP_INT(truncate, (const char *path, off_t size), (path, size), CHANGE, HERE, size)
WRAP_INT(truncate64, (const char *path, off64_t size), (path, size), CHANGE, HERE, size)
WRAP_INT(fallocate, (int fd, int how, off_t at, off_t n), (fd, how, at, n), CHANGE, FD, at, n, how)
WRAP_INT(fallocate64, (int fd, int how, off64_t at, off64_t n), (fd, how, at, n), CHANGE, FD, at, n,
         how)

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    struct call c = {.name = "clone", .kind = CHANGE};
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    REAL(ioctl);
    if ((request != FICLONE && request != FICLONERANGE) || !FD)
        return real(fd, request, argument);
    before(&c);
    int result = c.error ? (errno = c.error, -1) : real(fd, request, argument);
    after(&c, result);
    return result;
}

/* ---- durability and locks ---------------------------------------------------------- */

WRAP_INT(fsync, (int fd), (fd), SYNC, FD, 0)
WRAP_INT(fdatasync, (int fd), (fd), SYNC, FD, 0)
WRAP_INT(syncfs, (int fd), (fd), SYNC, FD, 0)
WRAP_INT(sync_file_range, (int fd, off64_t at, off64_t n, unsigned how), (fd, at, n, how), READ, FD,
         at, n)
WRAP_INT(posix_fadvise64, (int fd, off64_t at, off64_t n, int how), (fd, at, n, how), READ, FD, at)
WRAP_INT(flock, (int fd, int how), (fd, how), LOCK, FD, how)

/* ---- names ------------------------------------------------------------------------- */

#define FROM const char *from, const char *to
#define TWO at_names(&c, AT_FDCWD, from, AT_FDCWD, to)
#define FROM_AT int from_dir, const char *from, int to_dir, const char *to
#define TWO_AT at_names(&c, from_dir, from, to_dir, to)

WRAP_INT(rename, (FROM), (from, to), CHANGE, TWO, 0)
WRAP_INT(renameat, (FROM_AT), (from_dir, from, to_dir, to), CHANGE, TWO_AT, 0)
WRAP_INT(renameat2, (FROM_AT, unsigned flags), (from_dir, from, to_dir, to, flags), CHANGE, TWO_AT,
         flags)
WRAP_INT(link, (FROM), (from, to), CHANGE, TWO, 0)
WRAP_INT(linkat, (FROM_AT, int flags), (from_dir, from, to_dir, to, flags), CHANGE, TWO_AT, flags)
WRAP_INT(unlink, (const char *path), (path), CHANGE, HERE, 0)
WRAP_INT(unlinkat, (int dir, const char *path, int flags), (dir, path, flags), CHANGE, THERE, flags)
WRAP_INT(rmdir, (const char *path), (path), CHANGE, HERE, 0)
WRAP_INT(mkdir, (const char *path, mode_t mode), (path, mode), CHANGE, HERE, mode)
WRAP_INT(mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), CHANGE, THERE, mode)
WRAP_INT(mkfifo, (const char *path, mode_t mode), (path, mode), CHANGE, HERE, mode)
WRAP_INT(mknodat, (int dir, const char *path, mode_t mode, dev_t dev), (dir, path, mode, dev),
         CHANGE, THERE, mode)
/* The text of a symlink is the data. */
WRAP(int, -1, symlink, (const char *text, const char *path), (text, path), CHANGE, HERE,
     .data = text COMMA .data_size = strlen(text))
WRAP(int, -1, symlinkat, (const char *text, int dir, const char *path), (text, dir, path), CHANGE,
     THERE, .data = text COMMA .data_size = strlen(text))

/* ---- attributes -------------------------------------------------------------------- */

#define IDS uid_t uid, gid_t gid
#define TIMES const struct timespec times[2]
#define IN_NS(T) ((int64_t)(T).tv_sec * 1000000000 + (T).tv_nsec)
#define BOTH times ? IN_NS(times[0]) : 0, times ? IN_NS(times[1]) : 0

WRAP_INT(chmod, (const char *path, mode_t mode), (path, mode), CHANGE, HERE, mode)
WRAP_INT(fchmod, (int fd, mode_t mode), (fd, mode), CHANGE, FD, mode)
WRAP_INT(fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags),
         CHANGE, THERE, mode, flags)
WRAP_INT(chown, (const char *path, IDS), (path, uid, gid), CHANGE, HERE, uid, gid)
WRAP_INT(lchown, (const char *path, IDS), (path, uid, gid), CHANGE, HERE, uid, gid)
WRAP_INT(fchown, (int fd, IDS), (fd, uid, gid), CHANGE, FD, uid, gid)
WRAP_INT(fchownat, (int dir, const char *path, IDS, int flags), (dir, path, uid, gid, flags),
         CHANGE, THERE, uid, gid, flags)
WRAP_INT(futimens, (int fd, TIMES), (fd, times), CHANGE, FD, BOTH)
WRAP_INT(utimensat, (int dir, const char *path, TIMES, int flags), (dir, path, times, flags),
         CHANGE, THERE, BOTH, flags)
#define XATTR const char *key, const void *value, size_t size, int flags
WRAP_INT(fsetxattr, (int fd, XATTR), (fd, key, value, size, flags), CHANGE, FD, 0)
WRAP_INT(setxattr, (const char *path, XATTR), (path, key, value, size, flags), CHANGE, HERE, 0)
WRAP_INT(lsetxattr, (const char *path, XATTR), (path, key, value, size, flags), CHANGE, HERE, 0)
WRAP_INT(removexattr, (const char *path, const char *key), (path, key), CHANGE, HERE, 0)

/* ---- looking ----------------------------------------------------------------------- */

#define INTO struct stat *to
#define INTO64 struct stat64 *to
WRAP_INT(stat, (const char *path, INTO), (path, to), READ, HERE, 0)
WRAP_INT(stat64, (const char *path, INTO64), (path, to), READ, HERE, 0)
WRAP_INT(lstat, (const char *path, INTO), (path, to), READ, HERE, 0)
WRAP_INT(lstat64, (const char *path, INTO64), (path, to), READ, HERE, 0)
WRAP_INT(fstat, (int fd, INTO), (fd, to), READ, FD, 0)
WRAP_INT(fstat64, (int fd, INTO64), (fd, to), READ, FD, 0)
WRAP_INT(fstatat, (int dir, const char *path, INTO, int flags), (dir, path, to, flags), READ, THERE,
         0)
WRAP_INT(fstatat64, (int dir, const char *path, INTO64, int flags), (dir, path, to, flags), READ,
         THERE, 0)
WRAP_INT(fstatvfs64, (int fd, struct statvfs64 *to), (fd, to), READ, FD, 0)
WRAP_INT(statvfs64, (const char *path, struct statvfs64 *to), (path, to), READ, HERE, 0)
WRAP_INT(access, (const char *path, int how), (path, how), READ, HERE, 0)
WRAP_INT(faccessat, (int dir, const char *path, int how, int flags), (dir, path, how, flags), READ,
         THERE, 0)
WRAP_SIZE(readlink, (const char *path, char *to, size_t size), (path, to, size), READ, HERE, 0)
WRAP_SIZE(readlinkat, (int dir, const char *path, char *to, size_t size), (dir, path, to, size),
          READ, THERE, 0)
WRAP(DIR *, NULL, opendir, (const char *path), (path), OPEN, HERE, NUMBERS(0))
WRAP(DIR *, NULL, fdopendir, (int fd), (fd), READ, FD, NUMBERS(0))
WRAP(struct dirent64 *, NULL, readdir64, (DIR * dir), (dir), READ, at_fd(&c, dirfd(dir)),
     NUMBERS(0))

/* ---- syscall(2) by number: what has no wrapper in an older libc --------------------- */

long syscall(long number, ...)
{
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    struct call c = {.name = "syscall", .kind = CHANGE, .fd = -1, .number = {number}};
    int counts = 0;
    if (number == SYS_renameat2)
        counts = at_names(&c, (int)a[0], (char *)a[1], (int)a[2], (char *)a[3]);
    if (number == SYS_copy_file_range)
        counts = at_fd(&c, (int)a[2]);
    if (number == SYS_syncfs || number == SYS_fsync)
        c.kind = SYNC, counts = at_fd(&c, (int)a[0]);
    if (number == SYS_openat2)
        c.kind = OPEN, counts = at_name(&c, (int)a[0], (char *)a[1]);
    if (number == SYS_statx)
        c.kind = READ, counts = at_name(&c, (int)a[0], (char *)a[1]);
    if (!counts)
        return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    before(&c);
    long result = c.error ? (errno = c.error, -1)
                          : raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    after(&c, result);
    return result;
}
