// An operation whose factor tch does not bind.

#include <cstring>
#include <exception>

#include <ATen/core/Tensor.h>

// self.add_(other, alpha=alpha). Returns null, or what went wrong, to be freed by the caller.
extern "C" char *stitch_add_scaled(const at::Tensor *self, const at::Tensor *other, double alpha) {
    try {
        self->add_(*other, alpha);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}
