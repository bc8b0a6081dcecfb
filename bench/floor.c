/* The floor for finalize: the calls that cannot be avoided, in C, for a tree made by
 * bench/trees.py: STATEDIR/ts.0/R.state and DST/R/.fI.ID-I.poststage for R < states, I < files.
 *
 * What the laws of docs/finalize-protocol.md ask for and no more: a state file is opened, looked
 * at, tested for its agent's lock and read whole; a destination's directory is opened and looked
 * at; a temp file costs open, fstat, fchown only if its owner differs, fchmod, utimens, close,
 * rename; a batch of states one syncfs (an fsync of each file where syncfs reaches no disk), one
 * fsync a directory, then a rename a state file and one fsync of their directory.
 *
 * With several threads each takes the next batch by itself, a small one.
 *
 * usage: floor TOP STATES FILES MTIME_NS_BASE [THREADS]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { BATCH = 512, BATCH_OF_THREADS = 4, PIECE = 1 << 20, PARTS_IN_DIR = 256, FUSE = 0x65735546 };

static int state_dir, states, files, batch = BATCH, each_synced;
static long long base_ns;
static uid_t uid;
static gid_t gid;
static atomic_int next_state;

static void must(int bad, const char *what) {
    if (bad) {
        perror(what);
        exit(1);
    }
}

/* poststage/statefile/layout.py: those of a large dataset lie in directories of its own. */
static const char *path_of(char *path, int state, const char *suffix) {
    if (states > PARTS_IN_DIR)
        snprintf(path, 64, "%d.parts/%d.%s", state / PARTS_IN_DIR, state, suffix);
    else
        snprintf(path, 64, "%d.%s", state, suffix);
    return path;
}

static void sync_states(int state) {
    char path[64];
    snprintf(path, sizeof path, "%d.parts", state / PARTS_IN_DIR);
    int fd = openat(state_dir, states > PARTS_IN_DIR ? path : ".", O_RDONLY | O_DIRECTORY);
    must(fd < 0 || fsync(fd), "fsync of the state directory");
    close(fd);
}

static void read_state(int state, char *buffer) {
    char name[64];
    struct stat info;
    path_of(name, state, "state");
    int fd = openat(state_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    must(fd < 0, name);
    must(fstat(fd, &info) || !S_ISREG(info.st_mode), name);
    must(flock(fd, LOCK_SH | LOCK_NB), "flock");
    for (off_t at = 0; at < info.st_size; at += PIECE)
        must(pread(fd, buffer, PIECE, at) <= 0, "pread");
    close(fd);
}

static int directory(int state) {
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "dst/%d", state);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd < 0 || fstat(fd, &info), path);
    return fd;
}

static void metadata(int dir, const char *temp, long long mtime_ns) {
    struct stat info;
    int fd = openat(dir, temp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    must(fd < 0, temp);
    must(fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_nlink != 1, temp);
    if (info.st_uid != uid || info.st_gid != gid)
        must(fchown(fd, uid, gid), "fchown");
    must(fchmod(fd, 0640), "fchmod");
    struct timespec times[2] = {{0, 1}, {mtime_ns / 1000000000, mtime_ns % 1000000000}};
    must(futimens(fd, times), "futimens");
    if (each_synced)
        must(fsync(fd), "fsync");
    close(fd);
}

static void one_batch(int first, int end, int *dirs, char *buffer) {
    char temp[128], name[64], done[64];
    for (int s = first; s < end; s++) {
        read_state(s, buffer);
        dirs[s - first] = directory(s);
        for (int i = 0; i < files; i++) {
            snprintf(temp, sizeof temp, ".f%d.%016x-%d.poststage", i, s, i);
            metadata(dirs[s - first], temp, base_ns + s);
        }
    }
    if (!each_synced)
        must(syncfs(dirs[0]), "syncfs");
    for (int s = first; s < end; s++) {
        int dir = dirs[s - first];
        for (int i = 0; i < files; i++) {
            snprintf(temp, sizeof temp, ".f%d.%016x-%d.poststage", i, s, i);
            snprintf(name, sizeof name, "f%d", i);
            must(renameat2(dir, temp, dir, name, RENAME_NOREPLACE), "renameat2");
        }
    }
    for (int s = first; s < end; s++) { /* behind all renames: the first one's commit has them all */
        must(fsync(dirs[s - first]), "fsync");
        close(dirs[s - first]);
    }
    for (int s = first; s < end; s++) {
        path_of(name, s, "state");
        must(renameat(state_dir, name, state_dir, path_of(done, s, "done")), name);
    }
    sync_states(first);
}

static void *batches(void *unused) {
    int *dirs = malloc(sizeof(int) * batch), first;
    char *buffer = malloc(PIECE);
    while ((first = atomic_fetch_add(&next_state, batch)) < states)
        one_batch(first, first + batch < states ? first + batch : states, dirs, buffer);
    free(dirs);
    free(buffer);
    return unused;
}

int main(int argc, char **argv) {
    struct statfs where;
    must(argc != 5 && argc != 6, "usage");
    int threads = argc == 6 ? atoi(argv[5]) : 1;
    states = atoi(argv[2]), files = atoi(argv[3]), base_ns = atoll(argv[4]);
    uid = geteuid(), gid = getegid();
    must(chdir(argv[1]), argv[1]);
    state_dir = open("state/ts.0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(state_dir < 0 || fstatfs(state_dir, &where), "state/ts.0");
    each_synced = where.f_type == FUSE;
    if (threads == 1)
        return batches(NULL) != NULL;
    batch = BATCH_OF_THREADS;
    pthread_t *running = malloc(sizeof(pthread_t) * threads);
    for (int t = 0; t < threads; t++)
        must(pthread_create(&running[t], NULL, batches, NULL), "pthread_create");
    for (int t = 0; t < threads; t++)
        pthread_join(running[t], NULL);
    free(running);
    return 0;
}
