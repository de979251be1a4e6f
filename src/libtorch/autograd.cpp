// Functions of autograd that tch does not bind: the backward pass from a given gradient, and resetting a gradient.

#include <cstddef>
#include <cstring>
#include <exception>
#include <vector>

#include <ATen/core/Tensor.h>

// output.backward(gradient, inputs=inputs). Returns null, or an error message that the caller frees.
extern "C" char *stitch_backward(const at::Tensor *output, const at::Tensor *gradient,
                                 const at::Tensor *const *inputs, std::size_t count) {
    try {
        std::vector<at::Tensor> leaves;
        for (std::size_t i = 0; i < count; ++i) {
            leaves.push_back(*inputs[i]);
        }
        output->backward(*gradient, std::nullopt, false, leaves);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}

// tensor.grad = None
extern "C" void stitch_clear_grad(const at::Tensor *tensor) { tensor->mutable_grad() = at::Tensor(); }

// tensor.retain_grad(), for a tensor that requires a gradient
extern "C" void stitch_retain_grad(const at::Tensor *tensor) { tensor->retain_grad(); }
