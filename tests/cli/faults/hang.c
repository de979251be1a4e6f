// Every parallel region never returns, like one whose threads wait for others that do not come. The first one creates the
// file $HANG_MARK.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags) {
    (void)work, (void)data, (void)threads, (void)flags;
    creat(getenv("HANG_MARK"), 0600);
    for (;;) {
        pause();
    }
}
