// Runs work of this crate on libtorch's thread pool.

#include <cstdint>

#include <ATen/Parallel.h>

// Splits 0..count into ranges of at least `grain` each and calls `work` with them on libtorch's threads.
extern "C" void stitch_parallel_for(std::int64_t count, std::int64_t grain,
                                    void (*work)(void *, std::int64_t, std::int64_t), void *context) {
    at::parallel_for(0, count, grain,
                     [=](std::int64_t start, std::int64_t end) { work(context, start, end); });
}
