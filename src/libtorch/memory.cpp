// Failed allocations of C++, which tch does not bind.

#include <new>

namespace {

void (*note)() = nullptr;

void on_failure() {
    note();
    throw std::bad_alloc();
}

}  // namespace

// Calls `failed` whenever `operator new` finds no memory, before std::bad_alloc is thrown.
extern "C" void stitch_note_failed_allocations(void (*failed)()) {
    note = failed;
    std::set_new_handler(on_failure);
}
