// The state of libtorch's global generators, which tch does not bind.

#include <cstdint>
#include <cstring>
#include <exception>
#include <mutex>

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

namespace {

// The default generator of the CPU (-1) or of a GPU.
at::Generator generator(std::int64_t gpu) {
    at::Device device = gpu < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu));
    return at::globalContext().defaultGenerator(device);
}

}  // namespace

// torch.get_rng_state(), or torch.cuda.get_rng_state(gpu): stores a new tensor in `state`. Returns null, or an error
// message that the caller frees.
extern "C" char *stitch_generator_state(std::int64_t gpu, at::Tensor **state) {
    try {
        at::Generator found = generator(gpu);
        std::lock_guard<std::mutex> lock(found.mutex());
        *state = new at::Tensor(found.get_state());
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}

// torch.default_generator.manual_seed(seed), or the same for a GPU's default generator. Returns null, or an error
// message that the caller frees.
extern "C" char *stitch_seed_generator(std::int64_t gpu, std::uint64_t seed) {
    try {
        at::Generator found = generator(gpu);
        std::lock_guard<std::mutex> lock(found.mutex());
        found.set_current_seed(seed);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}

// torch.set_rng_state(state), or torch.cuda.set_rng_state(state, gpu). Returns null, or an error message that the
// caller frees.
extern "C" char *stitch_set_generator_state(std::int64_t gpu, const at::Tensor *state) {
    try {
        at::Generator found = generator(gpu);
        std::lock_guard<std::mutex> lock(found.mutex());
        found.set_state(*state);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}
