// Checks the arguments of `aten::lstm` on the CPU: oneDNN's LSTM trusts the shapes, and reads and writes beyond the tensors if
// the code of a TorchScript file gives other ones. `nn.LSTM` checks them in Python.

#include <cstdint>
#include <tuple>

#include <ATen/core/Tensor.h>
#include <ATen/ops/lstm_native.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

namespace {

using Sizes = at::IntArrayRef;

void check(const at::Tensor &tensor, Sizes expected, const at::Tensor &input, const char *what) {
    TORCH_CHECK(tensor.sizes() == expected, "lstm: ", what, " has the shape ", tensor.sizes(), ", where ", expected, " is expected");
    TORCH_CHECK(tensor.scalar_type() == input.scalar_type() && tensor.device() == input.device(), "lstm: ", what,
                " has another type or device than the input");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor &input, at::TensorList hx, at::TensorList params,
                                                    bool has_biases, std::int64_t num_layers, double dropout, bool train,
                                                    bool bidirectional, bool batch_first) {
    const std::int64_t directions = bidirectional ? 2 : 1;
    TORCH_CHECK(input.dim() == 3 && hx.size() == 2 && hx[0].dim() == 3 && hx[1].dim() == 3,
                "lstm: the input and both states must have three dimensions");
    const std::int64_t hidden = hx[1].size(2), output = hx[0].size(2);
    const std::int64_t of_a_layer = 2 + (has_biases ? 2 : 0) + (output != hidden ? 1 : 0);
    TORCH_CHECK(num_layers > 0 && params.size() == static_cast<std::size_t>(num_layers * directions * of_a_layer),
                "lstm: ", params.size(), " weights do not fit ", num_layers, " layers");
    const Sizes state[] = {hx[0].sizes(), hx[1].sizes()};
    const std::int64_t batch = input.size(batch_first ? 0 : 1);
    for (int i = 0; i < 2; ++i) {
        check(hx[i], {num_layers * directions, batch, state[i][2]}, input, "a state");
    }
    for (std::int64_t cell = 0; cell < num_layers * directions; ++cell) {
        const auto *of = &params[cell * of_a_layer];
        const std::int64_t inputs = cell < directions ? input.size(2) : output * directions;
        check(of[0], {4 * hidden, inputs}, input, "weight_ih");
        check(of[1], {4 * hidden, output}, input, "weight_hh");
        if (has_biases) {
            check(of[2], {4 * hidden}, input, "bias_ih");
            check(of[3], {4 * hidden}, input, "bias_hh");
        }
        if (output != hidden) {
            check(of[of_a_layer - 1], {output, hidden}, input, "weight_hr");
        }
    }
    return at::native::lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first);
}

}  // namespace

// Makes libtorch check the arguments from now on.
extern "C" void stitch_check_lstm() {
    static auto library = [] {
        torch::Library registered(torch::Library::IMPL, "aten", c10::DispatchKey::AutogradCPU, __FILE__, __LINE__);
        registered.impl("lstm.input", lstm);
        return registered;
    }();
}
