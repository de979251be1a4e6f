// A setting of cuDNN, which tch does not bind.

#include <ATen/Context.h>

// torch.backends.cudnn.deterministic = True
extern "C" void stitch_deterministic_cudnn() {
    at::globalContext().setDeterministicCuDNN(true);
}
