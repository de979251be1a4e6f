// Runs work of this crate on libtorch's thread pool.

#include <algorithm>
#include <cstdint>

#include <ATen/Parallel.h>
#include <omp.h>

// `mkl_set_num_threads_local`; null if libtorch has no MKL. `at::set_num_threads` calls it, too.
extern "C" int MKL_Set_Num_Threads_Local(int threads) __attribute__((weak));
// `mkl_get_max_threads`; null if libtorch has no MKL.
extern "C" int MKL_Get_Max_Threads(void) __attribute__((weak));

// Splits 0..count into ranges of at least `grain` each and calls `work` with them on libtorch's threads.
extern "C" void stitch_parallel_for(std::int64_t count, std::int64_t grain,
                                    void (*work)(void *, std::int64_t, std::int64_t), void *context) {
    at::parallel_for(0, count, grain,
                     [=](std::int64_t start, std::int64_t end) { work(context, start, end); });
}

// Calls `wait` in so many OpenMP threads that, with `threads` others, they are more than the CPUs.
extern "C" void stitch_wait_in_threads(std::int32_t threads, void (*wait)(void *), void *context) {
    [[maybe_unused]] const int count = std::max(omp_get_num_procs() - threads, 0) + 2;
#pragma omp parallel num_threads(count)
    wait(context);
}

// Sets the calling thread's number of OpenMP and MKL threads; returns the previous number.
extern "C" std::int32_t stitch_set_threads_of_caller(std::int32_t threads) {
    // The first loop of a thread would otherwise set these numbers again. The flag for that may exist twice: this line sets the one
    // in this library, the next line the one in libtorch.
    at::internal::lazy_init_num_threads();
    const std::int32_t before = at::get_num_threads();
    omp_set_num_threads(threads);
    if (MKL_Set_Num_Threads_Local) {
        MKL_Set_Num_Threads_Local(threads);
    }
    return before;
}

// For a test: MKL's number of threads for the calling thread; 0 if libtorch has no MKL.
extern "C" std::int32_t stitch_mkl_threads() { return MKL_Get_Max_Threads ? MKL_Get_Max_Threads() : 0; }
