// The one operation of the exact backward pass that tch does not bind.

#include <cstdint>
#include <cstring>
#include <exception>

#include <ATen/core/Tensor.h>
#include <ATen/ops/convolution_backward.h>

// Gradients of a two-dimensional convolution with stride 1 and the same padding on all sides, by the
// input (if wanted), weight and bias: three new tensors in `gradients`. Returns null, or what went
// wrong, to be freed by the caller.
extern "C" char *stitch_convolution_backward(at::Tensor **gradients, const at::Tensor *output_gradient,
                                             const at::Tensor *input, const at::Tensor *weight,
                                             std::int64_t padding, bool input_wanted) {
    try {
        auto [by_input, by_weight, by_bias] = at::convolution_backward(
            *output_gradient, *input, *weight, at::IntArrayRef{weight->size(0)}, {1, 1},
            {padding, padding}, {1, 1}, false, {0, 0}, 1, {input_wanted, true, true});
        gradients[0] = new at::Tensor(by_input);
        gradients[1] = new at::Tensor(by_weight);
        gradients[2] = new at::Tensor(by_bias);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}
