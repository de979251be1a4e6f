// A callback for failed allocations of C++.

#include <new>

namespace {

void (*callback)() = nullptr;

void on_failure() {
    callback();
    throw std::bad_alloc();
}

}  // namespace

// Sets a function that is called when `operator new` fails, before it throws std::bad_alloc.
extern "C" void stitch_on_failed_allocation(void (*on_failed_allocation)()) {
    callback = on_failed_allocation;
    std::set_new_handler(on_failure);
}
