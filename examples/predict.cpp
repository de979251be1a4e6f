// predict MODULE IMAGE: the class of a 28x28 picture (binary PGM, light on dark) and its logits, by
// the torchscript.pt of a run.

#include <torch/script.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>

/// The next number of a PGM's header; a line that begins with # is a comment.
int64_t read_number(std::istream& file) {
    int64_t number = -1;
    while ((file >> std::ws).peek() == '#') {
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    file >> number;
    return number;
}

/// The pixels, (1, 1, 28, 28).
torch::Tensor read_pixels(const char* path) {
    torch::Tensor pixels = torch::empty({1, 1, 28, 28}, torch::kUInt8);
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw std::runtime_error("cannot open " + std::string(path) + ": " + std::strerror(errno));
    }
    bool binary = file.get() == 'P' && file.get() == '5';
    bool fits = read_number(file) == 28 && read_number(file) == 28 && read_number(file) == 255;
    file.get();  // One blank.
    file.read(reinterpret_cast<char*>(pixels.data_ptr()), pixels.numel());
    if (!(binary && fits && file)) {
        throw std::runtime_error(std::string(path) + ": expected a binary PGM of 28x28 pixels");
    }
    return pixels;
}

int main(int count, char** arguments) try {
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
} catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << "\n";
    return 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
