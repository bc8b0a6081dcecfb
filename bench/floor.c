/* The floor for finalize: the calls that cannot be avoided, in C, one thread, for a tree made by
 * bench/trees.py: STATEDIR/ts.0/R.state and DST/R/.fI.ID-I.poststage for R < states, I < files.
 * A state file is read whole; a file costs open, fstat, fchmod, utimens, close, rename; a batch
 * of 512 states one syncfs, and one fsync a directory; a state file one rename at the end.
 *
 * usage: floor TOP STATES FILES MTIME_NS_BASE
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 512 };
static char buffer[1 << 20];

static void must(int bad, const char *what) {
    if (bad) {
        perror(what);
        exit(1);
    }
}

static void metadata(int dir, const char *temp, long long mtime_ns) {
    struct stat info;
    int fd = openat(dir, temp, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    must(fd < 0, temp);
    must(fstat(fd, &info), "fstat");
    must(fchmod(fd, 0640), "fchmod");
    struct timespec times[2] = {{0, 1}, {mtime_ns / 1000000000, mtime_ns % 1000000000}};
    must(futimens(fd, times), "futimens");
    close(fd);
}

static void read_state(int dir, int state) {
    char name[64];
    snprintf(name, sizeof name, "%d.state", state);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    must(fd < 0, name);
    while (read(fd, buffer, sizeof buffer) > 0) {}
    close(fd);
}

int main(int argc, char **argv) {
    must(argc != 5, "usage");
    int states = atoi(argv[2]), files = atoi(argv[3]);
    long long base = atoll(argv[4]);
    must(chdir(argv[1]), argv[1]);
    int state_dir = open("state/ts.0", O_RDONLY | O_DIRECTORY);
    must(state_dir < 0, "state/ts.0");
    for (int first = 0; first < states; first += BATCH) {
        int end = first + BATCH < states ? first + BATCH : states;
        int *dirs = malloc(sizeof(int) * BATCH);
        char path[64], temp[128], name[64];
        for (int s = first; s < end; s++) {
            read_state(state_dir, s);
            snprintf(path, sizeof path, "dst/%d", s);
            dirs[s - first] = open(path, O_RDONLY | O_DIRECTORY);
            must(dirs[s - first] < 0, path);
            for (int i = 0; i < files; i++) {
                snprintf(temp, sizeof temp, ".f%d.%016x-%d.poststage", i, s, i);
                metadata(dirs[s - first], temp, base + s);
            }
        }
        must(syncfs(dirs[0]), "syncfs");
        for (int s = first; s < end; s++) {
            for (int i = 0; i < files; i++) {
                snprintf(temp, sizeof temp, ".f%d.%016x-%d.poststage", i, s, i);
                snprintf(name, sizeof name, "f%d", i);
                must(renameat2(dirs[s - first], temp, dirs[s - first], name, 1), "renameat2");
            }
            must(fsync(dirs[s - first]), "fsync");
            close(dirs[s - first]);
        }
        for (int s = first; s < end; s++) {
            snprintf(path, sizeof path, "%d.state", s);
            snprintf(name, sizeof name, "%d.done", s);
            must(renameat(state_dir, path, state_dir, name), path);
        }
        must(fsync(state_dir), "fsync of the state directory");
        free(dirs);
    }
    return 0;
}
