/* Swaps two names as fast as it can, until its parent is gone or it is killed.
 *
 *     racer COUNTER NAME OTHER [NAME OTHER]...
 *
 * Each pair is exchanged by RENAME_EXCHANGE, one pair after the other. The number of swaps
 * that succeeded is kept in the file COUNTER (8 bytes, mapped shared).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    int fd = count < 4 ? -1 : open(arguments[1], O_RDWR | O_CLOEXEC);
    uint64_t *swaps = mmap(NULL, sizeof *swaps, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (swaps == MAP_FAILED)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        for (int i = 2; i + 1 < count; i += 2)
            if (renameat2(AT_FDCWD, arguments[i], AT_FDCWD, arguments[i + 1], RENAME_EXCHANGE) == 0)
                ++*swaps;
}
