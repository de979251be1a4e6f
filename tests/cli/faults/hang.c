// Every parallel region never returns, like one whose threads wait for others that do not come.
#include <unistd.h>

void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags) {
    (void)work, (void)data, (void)threads, (void)flags;
    for (;;) {
        pause();
    }
}
