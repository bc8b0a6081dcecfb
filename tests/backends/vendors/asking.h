/* What the stub libraries share: a line to a stub server, its line back; names in hex. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Send `line` to the server whose socket `variable` names, read one line of at most `size`; the errno in front of it. */
static int ask_server(const char *variable, const char *line, char *reply, size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv(variable);
    if (!path) return ENODEV;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return ECONNREFUSED;
    }
    size_t length = strlen(line);
    while (length > 0) {
        ssize_t sent = write(fd, line, length);
        if (sent <= 0) break;
        line += sent;
        length -= sent;
    }
    size_t got = 0;
    ssize_t more;
    while (got + 1 < size && (more = read(fd, reply + got, size - 1 - got)) > 0) {
        got += more;
        if (reply[got - 1] == '\n') break;
    }
    close(fd);
    reply[got] = 0;
    return got ? atoi(reply) : EIO;
}

static char *hex(char *to, const char *name) {
    for (; *name; name++) to += sprintf(to, "%02x", (unsigned char)*name);
    return to;
}
