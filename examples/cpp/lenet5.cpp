// LeNet-5 of tests/reference/notebook.py as a port to C++ with libtorch, traced for `stitch parity`. lenet5.py beside
// it is the same loop in Python, with the same flags; docs/ports.md compares the two.
//
//     lenet5 --data FOLDER --out TRACE [--steps 10] [--batch-size 32] [--lr 2e-3] [--seed 0] [--threads 1]
//         [--python-adam]
//
// FOLDER has the training images and labels of Fashion-MNIST, unpacked.

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "stitch_trace.h"

namespace F = torch::nn::functional;
using stitch::Place;

/// The output of a module.
struct Output {
    std::string module, module_class;
    torch::Tensor value;
};

/// torch::nn draws a layer's initial values as torch.nn does, weight before bias; so the layers are constructed in the
/// order of the notebook. conv1 (N, 1, 28, 28) -> (N, 6, 28, 28), conv2 (N, 6, 14, 14) -> (N, 16, 10, 10).
struct LeNet5 : torch::nn::Module {
    torch::nn::Conv2d conv1 = register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 6, 5).padding(2)));
    torch::nn::Conv2d conv2 = register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(6, 16, 5)));
    torch::nn::Linear fc1 = register_module("fc1", torch::nn::Linear(400, 120));
    torch::nn::Linear fc2 = register_module("fc2", torch::nn::Linear(120, 84));
    torch::nn::Linear fc3 = register_module("fc3", torch::nn::Linear(84, 10));
    /// Of the last forward pass; they keep their gradients. (torch::nn has no forward hooks.)
    std::vector<Output> outputs;

    torch::Tensor forward(torch::Tensor x) {
        outputs.clear();
        auto pool = F::AvgPool2dFuncOptions(2);
        x = F::avg_pool2d(torch::relu(kept("conv1", "Conv2d", conv1(x))), pool);
        x = F::avg_pool2d(torch::relu(kept("conv2", "Conv2d", conv2(x))), pool);
        x = x.view({-1, 400});
        x = torch::relu(kept("fc1", "Linear", fc1(x)));
        x = torch::relu(kept("fc2", "Linear", fc2(x)));
        return kept("fc3", "Linear", fc3(x));
    }

    torch::Tensor kept(const char* module, const char* module_class, torch::Tensor value) {
        value.retain_grad();
        outputs.push_back({module, module_class, value});
        return value;
    }
};

/// torch.optim.Adam of Python (`_single_tensor_adam`). torch::optim::Adam computes `exp_avg.mul_(beta1).add_(grad, 1 -
/// beta1)` instead of `lerp_`, which rounds differently; all else is the same.
struct PythonAdam : torch::optim::Adam {
    using torch::optim::Adam::Adam;

    torch::Tensor step(LossClosure = nullptr) override {
        torch::NoGradGuard no_grad;
        for (auto& group : param_groups_) {
            const auto& options = static_cast<torch::optim::AdamOptions&>(group.options());
            auto [beta1, beta2] = options.betas();
            for (auto& parameter : group.params()) {
                auto& state = state_of(parameter);
                state.step(state.step() + 1);
                double bias_correction1 = 1 - std::pow(beta1, state.step());
                double bias_correction2 = 1 - std::pow(beta2, state.step());
                const torch::Tensor& grad = parameter.grad();
                state.exp_avg().lerp_(grad, 1 - beta1);
                state.exp_avg_sq().mul_(beta2).addcmul_(grad, grad, 1 - beta2);
                auto denom = (state.exp_avg_sq().sqrt() / std::sqrt(bias_correction2)).add_(options.eps());
                parameter.addcdiv_(state.exp_avg(), denom, -(options.lr() / bias_correction1));
            }
        }
        return {};
    }

    torch::optim::AdamParamState& state_of(const torch::Tensor& parameter) {
        auto& state = state_[parameter.unsafeGetTensorImpl()];
        if (!state) {
            auto first = std::make_unique<torch::optim::AdamParamState>();
            first->exp_avg(torch::zeros_like(parameter));
            first->exp_avg_sq(torch::zeros_like(parameter));
            state = std::move(first);
        }
        return static_cast<torch::optim::AdamParamState&>(*state);
    }
};

/// The bytes of an IDX file after its header.
torch::Tensor read_idx(const std::string& path, size_t header) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot open " + path + ": " + std::strerror(errno));
    std::vector<char> content(std::istreambuf_iterator<char>(file), {});
    if (content.size() <= header) throw std::runtime_error(path + ": expected an IDX file with elements");
    auto length = static_cast<int64_t>(content.size() - header);
    return torch::from_blob(content.data() + header, {length}, torch::kUInt8).clone();
}

/// The order in which an epoch of Python's DataLoader(shuffle=True) visits the samples: it draws a base seed, unused
/// here, and the seed of the sampler's own generator.
torch::Tensor epoch_order(int64_t samples) {
    torch::empty({}, torch::kInt64).random_();
    auto seed = torch::empty({}, torch::kInt64).random_().item<int64_t>();
    auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed));
    return torch::randperm(samples, generator, torch::kInt64);
}

void train(std::map<std::string, std::string>& flags, bool python_adam) {
    torch::set_num_threads(std::stoi(flags["threads"]));
    // Divided in float64, then cast, as in Python.
    auto pixels = read_idx(flags["data"] + "/train-images-idx3-ubyte", 16);
    auto images = (pixels.to(torch::kFloat64) / 255.0).to(torch::kFloat32).view({-1, 1, 28, 28});
    auto labels = read_idx(flags["data"] + "/train-labels-idx1-ubyte", 8).to(torch::kInt64);

    torch::manual_seed(std::stoull(flags["seed"]));
    LeNet5 model;
    double lr = std::stod(flags["lr"]);
    torch::optim::AdamOptions options(lr);
    std::unique_ptr<torch::optim::Adam> optimizer;
    if (python_adam) {
        optimizer = std::make_unique<PythonAdam>(model.parameters(), options);
    } else {
        optimizer = std::make_unique<torch::optim::Adam>(model.parameters(), options);
    }

    stitch::Trace trace(flags["out"], "lenet5");
    auto parameters = model.named_parameters();
    for (auto& item : parameters) trace.record("init", item.key(), Place::run(), item.value());
    auto order = epoch_order(labels.size(0));
    trace.record("permutation", "order", Place::epoch(1), order);

    int64_t number = 0, steps = std::stoll(flags["steps"]);
    for (const auto& batch : order.split(std::stoll(flags["batch-size"]))) {
        if (++number > steps) break;
        auto xs = images.index_select(0, batch), ys = labels.index_select(0, batch);
        optimizer->zero_grad();
        auto logits = model.forward(xs);
        auto loss = F::cross_entropy(logits, ys);
        loss.backward();
        optimizer->step();

        Place step = Place::step(number);
        trace.record("batch", "images", step, xs);
        trace.record("batch", "labels", step, ys);
        for (auto& it : model.outputs) trace.record("forward", it.module, step, it.value, it.module_class);
        trace.record("logits", "logits", step, logits);
        trace.record("loss", "loss", step, loss);
        for (auto it = model.outputs.rbegin(); it != model.outputs.rend(); ++it) {
            trace.record("backward", it->module, step, it->value.grad(), it->module_class);
        }
        for (auto& item : parameters) trace.record("gradient", item.key(), step, item.value().grad());
        trace.record("learning_rate", "0", step, lr);
        auto state = [&](const torch::Tensor& parameter) -> torch::optim::AdamParamState& {
            auto& state = optimizer->state().at(parameter.unsafeGetTensorImpl());
            return static_cast<torch::optim::AdamParamState&>(*state);
        };
        for (auto& item : parameters) trace.record("exp_avg", item.key(), step, state(item.value()).exp_avg());
        for (auto& item : parameters) trace.record("exp_avg_sq", item.key(), step, state(item.value()).exp_avg_sq());
        for (auto& item : parameters) trace.record("parameter", item.key(), step, item.value());
        std::cout << "step " << number << ": loss " << loss.item<float>() << "\n";
    }
    trace.finish();
}

int main(int count, char** arguments) try {
    std::map<std::string, std::string> flags = {{"data", ""}, {"out", ""}, {"steps", "10"}, {"batch-size", "32"},
                                                {"lr", "2e-3"}, {"seed", "0"}, {"threads", "1"}};
    bool python_adam = false;
    for (int i = 1; i < count; ++i) {
        std::string flag = arguments[i];
        if (flag == "--python-adam") {
            python_adam = true;
        } else if (flag.rfind("--", 0) == 0 && flags.count(flag.substr(2)) && i + 1 < count) {
            flags[flag.substr(2)] = arguments[++i];
        } else {
            throw std::runtime_error(flag + ": unknown flag, or its value is missing");
        }
    }
    if (flags["data"].empty() || flags["out"].empty()) throw std::runtime_error("--data and --out are required");
    train(flags, python_adam);
} catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << "\n";
    return 2;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
}
