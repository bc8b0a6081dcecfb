/* A stub of IBM's libbbAPI.so: its ABI, in front of the stub bbServer's socket (BB_STUB_SOCKET). */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "asking.h"

typedef struct {
    uint64_t handle;
    uint32_t contribid;
    uint64_t jobid, jobstepid, tag, numcontrib, status, numreportingcontribs;
    uint64_t totalTransferKeyLength, totalTransferSize, localstatus, localTransferSize;
} Info;
_Static_assert(sizeof(Info) == 96, "the size of BBTransferInfo_t");

typedef struct {
    char *files; /* " hex:hex" of each */
} Definition;

static int initialised;
static uint32_t contributor;
static char last_error[512];

static int failed(int number, const char *what) {
    snprintf(last_error, sizeof last_error, "{\"error\":{\"text\":\"%s\"}}", what);
    return number;
}

static uint64_t number_in(const char *first, const char *second) {
    const char *text = getenv(first);
    if (!text && second) text = getenv(second);
    return text ? strtoull(text, NULL, 10) : 0;
}

static uint64_t job(void) { return number_in("LSF_STAGE_JOBID", "LSB_JOBID"); }
static uint64_t step(void) { return number_in("PMIX_NAMESPACE", NULL); }

/* As ask_server, with the library's own last words. */
static int asked(const char *line, char *reply, size_t size) {
    int rc = ask_server("BB_STUB_SOCKET", line, reply, size);
    if (rc == ECONNREFUSED) return failed(rc, "bbServer does not answer");
    return rc ? failed(rc, "refused by bbServer") : 0;
}

int BB_GetVersion(size_t size, char *version) {
    const char *mine = "{^version^:{^major^:^1^,^bbusage^:^2^},^gitcommit^:^stub^}";
    if (strlen(mine) >= size) return -2;
    strcpy(version, mine);
    return 0;
}

int BB_InitLibrary(uint32_t contrib, const char *version) {
    if (initialised) return failed(EALREADY, "initialised already");
    if (getenv("LSF_STAGE_USER_STAGE_OUT")) return failed(ENODEV, "no bbProxy on this node");
    if (!strstr(version, "^major^:^1^")) return failed(EINVAL, "another version");
    char reply[64];
    int rc = asked("list 0 0 0\n", reply, sizeof reply);
    if (rc) return rc;
    initialised = 1;
    contributor = contrib;
    return 0;
}

int BB_TerminateLibrary(void) {
    if (!initialised) return failed(ENODEV, "not initialised");
    initialised = 0;
    return 0;
}

int BB_GetLastErrorDetails(int format, size_t *available, size_t size, char *buffer) {
    if (format != 1) return EINVAL;
    *available = strlen(last_error) + 1;
    if (*available > size) return -2;
    strcpy(buffer, last_error);
    return 0;
}

int BB_CreateTransferDef(Definition **made) {
    if (!initialised) return failed(ENODEV, "not initialised");
    *made = calloc(1, sizeof **made);
    (*made)->files = strdup("");
    return 0;
}

int BB_FreeTransferDef(Definition *one) {
    free(one->files);
    free(one);
    return 0;
}

int BB_AddFiles(Definition *one, const char *source, const char *target, int flags) {
    struct stat info;
    (void)flags;
    if (!initialised) return failed(ENODEV, "not initialised");
    if (stat(source, &info) != 0 || !S_ISREG(info.st_mode)) return failed(EINVAL, "no regular file");
    char *parent = strdup(target);
    char *slash = strrchr(parent, '/');
    if (slash) *slash = 0;
    int there = stat(parent, &info) == 0;
    free(parent);
    if (!there) return failed(ENOENT, "the target's directory");
    char *pair = malloc(2 * (strlen(source) + strlen(target)) + 4), *end = pair;
    end += sprintf(end, " ");
    end = hex(end, source);
    end += sprintf(end, ":");
    hex(end, target);
    if (strstr(one->files, pair)) {
        free(pair);
        return failed(EALREADY, "this pair was added before");
    }
    one->files = realloc(one->files, strlen(one->files) + strlen(pair) + 1);
    strcat(one->files, pair);
    free(pair);
    return 0;
}

int BB_AddKeys(Definition *one, const char *key, const char *value) {
    (void)one, (void)key, (void)value;
    return initialised ? 0 : failed(ENODEV, "not initialised");
}

int BB_GetTransferHandle(unsigned long tag, uint64_t count, uint32_t *contribs, uint64_t *handle) {
    char line[160], reply[256];
    if (!initialised) return failed(ENODEV, "not initialised");
    if (count != 1 || contribs[0] != contributor) return failed(EINVAL, "contributors");
    sprintf(line, "handle %lu %lu %u %lu\n", job(), step(), contributor, tag);
    int rc = asked(line, reply, sizeof reply);
    if (!rc) sscanf(reply, "0 %lu", handle);
    return rc;
}

int BB_StartTransfer(Definition *one, uint64_t handle) {
    char reply[512];
    if (!initialised) return failed(ENODEV, "not initialised");
    char *line = malloc(strlen(one->files) + 64);
    sprintf(line, "start %lu%s\n", handle, one->files);
    int rc = asked(line, reply, sizeof reply);
    free(line);
    return rc;
}

int BB_CancelTransfer(uint64_t handle, int scope) {
    char line[64], reply[512];
    if (!initialised) return failed(ENODEV, "not initialised");
    if (scope != 1) return failed(EINVAL, "scope");
    sprintf(line, "cancel %lu\n", handle);
    return asked(line, reply, sizeof reply);
}

int BB_GetTransferList(uint64_t match, uint64_t *count, uint64_t *handles, uint64_t *available) {
    char line[96];
    if (!initialised) return failed(ENODEV, "not initialised");
    size_t size = 1 << 20;
    char *reply = malloc(size), *word = reply, *end;
    sprintf(line, "list %lu %lu %lu\n", job(), step(), match & 0xff);
    int rc = asked(line, reply, size);
    uint64_t given = 0, found = 0;
    strtoull(word, &word, 10); /* the errno */
    for (; !rc; word = end, found++) {
        uint64_t one = strtoull(word, &end, 10);
        if (end == word) break;
        if (found < *count) handles[given++] = one;
    }
    free(reply);
    *available = found;
    *count = given;
    return rc;
}

int BB_GetTransferInfo(uint64_t handle, Info *info) {
    char line[64], reply[512];
    if (!initialised) return failed(ENODEV, "not initialised");
    sprintf(line, "info %lu\n", handle);
    int rc = asked(line, reply, sizeof reply);
    if (rc) return rc;
    sscanf(reply, "0 %lu %u %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu", &info->handle,
           &info->contribid, &info->jobid, &info->jobstepid, &info->tag, &info->numcontrib,
           &info->status, &info->numreportingcontribs, &info->totalTransferKeyLength,
           &info->totalTransferSize, &info->localstatus, &info->localTransferSize);
    return 0;
}
