// predict MODULE IMAGE: the class of a 28x28 picture (binary PGM, light on dark) and its logits, by
// the torchscript.pt of a run.

#include <torch/script.h>

#include <fstream>
#include <iostream>

/// The pixels, (1, 1, 28, 28): they are the last bytes of the file.
torch::Tensor read_pixels(const char* path) {
    torch::Tensor pixels = torch::empty({1, 1, 28, 28}, torch::kUInt8);
    std::ifstream file(path, std::ios::binary);
    file.seekg(-pixels.numel(), std::ios::end);
    file.read(reinterpret_cast<char*>(pixels.data_ptr()), pixels.numel());
    TORCH_CHECK(file, path, " is no picture of 28x28 pixels");
    return pixels;
}

int main(int count, char** arguments) {
    if (count != 3) {
        std::cerr << "usage: predict MODULE IMAGE\n";
        return 2;
    }
    torch::InferenceMode guard;
    torch::Tensor pixels = read_pixels(arguments[2]);

    torch::jit::Module module = torch::jit::load(arguments[1]);
    torch::ScalarType type = (*module.parameters().begin()).scalar_type();
    torch::Tensor xs = (pixels.to(torch::kDouble) / 255).to(type);
    torch::Tensor logits = module.forward({xs}).toTensor();

    std::cout.precision(17);
    std::cout << "class " << logits.argmax().item<int64_t>() << "\nlogits";
    for (int64_t i = 0; i < logits.numel(); ++i) {
        std::cout << " " << logits[0][i].item<double>();
    }
    std::cout << "\n";
}
