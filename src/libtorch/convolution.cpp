// `at::convolution_backward`, which tch does not bind.

#include <cstdint>
#include <cstring>
#include <exception>

#include <ATen/core/Tensor.h>
#include <ATen/ops/convolution_backward.h>

// The backward pass of a two-dimensional convolution with stride 1 and the same padding on all sides.
// Writes three new tensors to `gradients`: grad_input (undefined unless needs_grad_input), grad_weight
// and grad_bias. Returns null, or an error message that the caller frees.
extern "C" char *stitch_convolution_backward(at::Tensor **gradients, const at::Tensor *grad_output,
                                             const at::Tensor *input, const at::Tensor *weight,
                                             std::int64_t padding, bool needs_grad_input) {
    try {
        auto [grad_input, grad_weight, grad_bias] = at::convolution_backward(
            *grad_output, *input, *weight, at::IntArrayRef{weight->size(0)}, {1, 1},
            {padding, padding}, {1, 1}, false, {0, 0}, 1, {needs_grad_input, true, true});
        gradients[0] = new at::Tensor(grad_input);
        gradients[1] = new at::Tensor(grad_weight);
        gradients[2] = new at::Tensor(grad_bias);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}
