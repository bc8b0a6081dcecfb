/* A stub of Cray's libdatawarp.so, in front of the stub service's socket (DW_STUB_SOCKET). */
#include "asking.h"

static int asked(const char *verb, const char *first, const char *second, char *reply) {
    char *line = malloc(2 * (strlen(first) + strlen(second)) + 64), *end = line;
    end += sprintf(end, "%s ", verb);
    end = hex(end, first);
    end += sprintf(end, " ");
    end = hex(end, second);
    sprintf(end, "\n");
    int rc = ask_server("DW_STUB_SOCKET", line, reply, 256);
    free(line);
    return -rc;
}

int dw_stage_file_out(const char *dw, const char *pfs, int type) {
    char reply[256];
    if (type != 0) return -EINVAL; /* immediate is all that is used */
    return asked("stage", dw, pfs, reply);
}

int dw_query_file_stage(const char *dw, int *complete, int *pending, int *deferred, int *failed) {
    char reply[256];
    int rc = asked("query", dw, "", reply);
    if (rc == 0) sscanf(reply, "0 %d %d %d %d", complete, pending, deferred, failed);
    return rc;
}

int dw_terminate_file_stage(const char *dw) {
    char reply[256];
    return asked("terminate", dw, "", reply);
}
