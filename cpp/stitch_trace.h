// Writes a trace for `stitch parity` (docs/trace-format.md, version 2): the tensors of a training run, in the order in
// which it computed them. A single header, C++17, without dependencies.
//
//     #include <torch/torch.h>  // optional
//     #include "stitch_trace.h"
//
//     stitch::Trace trace("runs/mine/trace", "lenet5");
//     trace.record("init", "conv1.weight", stitch::Place::run(), model->conv1->weight);
//     trace.record("loss", "loss", stitch::Place::step(1), loss);                          // torch::Tensor
//     trace.record("gradient", "w", stitch::Place::step(1), {2, 3}, pointer_to_6_floats);  // shape, elements
//     trace.record("learning_rate", "0", stitch::Place::step(1), 1e-3);                    // a scalar
//     trace.finish();
//
// Tensors of libtorch can be recorded if <torch/torch.h> was included before, or STITCH_TRACE_TORCH is defined. A
// record is written and flushed when it is made. Errors are std::runtime_error: after one of a file the trace cannot be
// used further, after any other it can. libtorch's own errors are c10::Error.

#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <locale>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// <torch/torch.h> defines TORCH_VERSION_MAJOR.
#if defined(STITCH_TRACE_TORCH) || defined(TORCH_VERSION_MAJOR)
#define STITCH_TRACE_HAS_TORCH
#include <torch/torch.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stitch_trace.h writes elements as they are in memory, which has to be little-endian"
#endif

namespace stitch {

/// Length in bytes of a block of a large tensor, of which each has its own SHA-256.
constexpr size_t block_bytes = size_t(1) << 20;

/// SHA-256 (FIPS 180-4).
inline std::array<unsigned char, 32> sha256(const void* data, size_t bytes) {
    static constexpr std::array<uint32_t, 64> k = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    std::array<uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    auto rotate = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
    auto add_block = [&](const unsigned char* block) {
        std::array<uint32_t, 64> w;
        for (size_t i = 0; i < 16; ++i) {
            const unsigned char* p = block + 4 * i;
            w[i] = uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | p[3];
        }
        for (size_t i = 16; i < 64; ++i) {
            uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state;
        for (size_t i = 0; i < 64; ++i) {
            uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
            uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i];
            uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
            uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        const std::array<uint32_t, 8> mixed = {a, b, c, d, e, f, g, h};
        for (size_t i = 0; i < 8; ++i) state[i] += mixed[i];
    };
    auto next = static_cast<const unsigned char*>(data);
    size_t rest = bytes;
    for (; rest >= 64; next += 64, rest -= 64) add_block(next);
    // The end: a bit 1, zeros, and the length in bits as the last 8 bytes of a block.
    std::array<unsigned char, 128> end = {};
    if (rest > 0) std::memcpy(end.data(), next, rest);
    end[rest] = 0x80;
    size_t length = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < 8; ++i) end[length - 1 - i] = static_cast<unsigned char>(uint64_t(bytes) * 8 >> 8 * i);
    for (size_t i = 0; i < length; i += 64) add_block(end.data() + i);
    std::array<unsigned char, 32> hash;
    for (size_t i = 0; i < 32; ++i) hash[i] = static_cast<unsigned char>(state[i / 4] >> (24 - 8 * (i % 4)));
    return hash;
}

/// Lower-case hexadecimal digits.
inline std::string hex(const std::array<unsigned char, 32>& bytes) {
    std::string text;
    for (unsigned char byte : bytes) text += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    return text;
}

/// The epoch or step in which a tensor was computed, counted from 1; steps count over the whole run.
class Place {
  public:
    /// Before the first step or after the last.
    static Place run() { return {{}, {}}; }
    static Place epoch(int64_t number) { return {number, {}}; }
    static Place step(int64_t number) { return {{}, number}; }

  private:
    friend class Trace;
    Place(std::optional<int64_t> epoch, std::optional<int64_t> step) : epoch_(epoch), step_(step) {}
    std::optional<int64_t> epoch_, step_;
};

/// PyTorch's name of a C++ type.
template <class T> struct Dtype {};
template <> struct Dtype<uint8_t> { static constexpr const char* name = "uint8"; };
template <> struct Dtype<int32_t> { static constexpr const char* name = "int32"; };
template <> struct Dtype<int64_t> { static constexpr const char* name = "int64"; };
template <> struct Dtype<float> { static constexpr const char* name = "float32"; };
template <> struct Dtype<double> { static constexpr const char* name = "float64"; };

/// Writes a trace to `trace.jsonl` and `trace.bin` in a folder.
class Trace {
  public:
    using Shape = std::vector<int64_t>;

    /// Starts a trace in `folder`, which is created if necessary; an existing trace is replaced. `model` is free text;
    /// parity chooses its tolerances by it.
    Trace(const std::filesystem::path& folder, const std::string& model)
        : records_path_(folder / "trace.jsonl"), elements_path_(folder / "trace.bin") {
        std::error_code error;
        std::filesystem::create_directories(folder, error);
        if (error) throw std::runtime_error("cannot create " + folder.string() + ": " + error.message());
        // In this order, so that no reader takes old records with new elements.
        open(records_, records_path_);
        open(elements_, elements_path_);
        write_line("{\"format\": \"stitch-trace\", \"version\": 2, \"model\": " + quoted(model) + "}");
    }

    /// Sets the length in bytes up to which the elements of a tensor are kept (default: 1 MiB). Of larger tensors only
    /// the SHA-256 sums and statistics are.
    void keep_up_to(size_t bytes) { keep_ = bytes; }

    /// Records a tensor: `data` are its elements, row-major, little-endian. All texts are UTF-8. `dtype` is PyTorch's
    /// name, such as "bfloat16"; of types that the format does not know, only the SHA-256 is kept. `module_class` is
    /// the class of the module, such as "Conv2d", for the stages `forward` and `backward`.
    void record(const std::string& stage, const std::string& name, Place place, const std::string& dtype,
                const Shape& shape, const void* data, size_t bytes, const std::string& module_class = "") {
        check_usable();
        std::string key = stage;
        if (place.epoch_) key += "/epoch=" + std::to_string(*place.epoch_);
        if (place.step_) key += "/step=" + std::to_string(*place.step_);
        key += "/" + name;
        if (keys_.count(key)) throw std::runtime_error(key + " was recorded before");
        const ElementType* type = element_type(dtype);
        if (type && (bytes % type->size != 0 || !has_elements(shape, bytes / type->size))) {
            std::string found = std::to_string(bytes) + " bytes do not fit ";
            throw std::runtime_error(key + ": " + found + dtype + " " + list(shape));
        }
        std::ostringstream line;
        line.imbue(std::locale::classic());
        line << "{\"stage\": " << quoted(stage) << ", \"name\": " << quoted(name) << ", \"epoch\": "
             << number(place.epoch_) << ", \"step\": " << number(place.step_) << ", \"dtype\": " << quoted(dtype)
             << ", \"shape\": " << list(shape) << sums(static_cast<const char*>(data), bytes);
        if (type && type->infinity) line << ", \"nan\": " << count_nan(*type, data, bytes);
        if (!module_class.empty()) line << ", \"class\": " << quoted(module_class);
        if (type && bytes <= keep_) {
            line << ", \"offset\": " << offset_;
            elements_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
            flush(elements_, elements_path_);
            offset_ += bytes;
        } else if (type) {
            line << statistics(*type, static_cast<const char*>(data), bytes);
        }
        write_line(line.str() + "}");
        keys_.insert(key);
    }

    /// Records an array of a type of `Dtype`.
    template <class T, class = decltype(Dtype<T>::name)>
    void record(const std::string& stage, const std::string& name, Place place, const Shape& shape, const T* data,
                const std::string& module_class = "") {
        size_t count = 1;
        for (int64_t n : shape) count *= static_cast<size_t>(n);
        record(stage, name, place, Dtype<T>::name, shape, data, count * sizeof(T), module_class);
    }

    /// Records a vector as a tensor of one dimension.
    template <class T, class = decltype(Dtype<T>::name)>
    void record(const std::string& stage, const std::string& name, Place place, const std::vector<T>& values,
                const std::string& module_class = "") {
        record(stage, name, place, {static_cast<int64_t>(values.size())}, values.data(), module_class);
    }

    /// Records a scalar.
    template <class T, class = decltype(Dtype<T>::name)>
    void record(const std::string& stage, const std::string& name, Place place, T value) {
        record(stage, name, place, Shape{}, &value);
    }

#ifdef STITCH_TRACE_HAS_TORCH
    /// Records a tensor of any dtype, device and memory layout.
    void record(const std::string& stage, const std::string& name, Place place, const torch::Tensor& tensor,
                const std::string& module_class = "") {
        if (!tensor.defined()) throw std::runtime_error(stage + " " + name + " is an undefined tensor");
        torch::Tensor values = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
        std::string dtype(c10::getDtypeNames(values.scalar_type()).first);
        record(stage, name, place, dtype, values.sizes().vec(), values.const_data_ptr(), values.nbytes(), module_class);
    }
#endif

    /// Adds the end marker, without which the trace counts as truncated. Nothing can be recorded after it.
    void finish() {
        check_usable();
        write_line("{\"end\": \"stitch-trace\", \"records\": " + std::to_string(keys_.size()) + "}");
        finished_ = true;
    }

  private:
    /// A dtype of the format. `infinity` are the bits of +infinity, above which are those of NaN; 0 for types whose NaN
    /// are not counted.
    struct ElementType {
        const char* name;
        size_t size;
        uint64_t infinity;
    };

    static const ElementType* element_type(const std::string& name) {
        static constexpr ElementType types[] = {
            {"bool", 1, 0}, {"uint8", 1, 0}, {"int8", 1, 0}, {"uint16", 2, 0}, {"int16", 2, 0}, {"uint32", 4, 0},
            {"int32", 4, 0}, {"uint64", 8, 0}, {"int64", 8, 0}, {"float8_e4m3fn", 1, 0}, {"float8_e4m3fnuz", 1, 0},
            {"float8_e5m2", 1, 0}, {"float8_e5m2fnuz", 1, 0}, {"float8_e8m0fnu", 1, 0}, {"float16", 2, 0x7c00},
            {"bfloat16", 2, 0x7f80}, {"float32", 4, 0x7f800000}, {"float64", 8, 0x7ff0000000000000},
            {"complex32", 4, 0}, {"complex64", 8, 0}, {"complex128", 16, 0}};
        for (const ElementType& type : types) {
            if (name == type.name) return &type;
        }
        return nullptr;
    }

    /// The fields with the SHA-256 of a tensor: of a large one that of each block, and that of these sums.
    static std::string sums(const char* data, size_t bytes) {
        if (bytes <= block_bytes) return ", \"sha256\": \"" + hex(sha256(data, bytes)) + '"';
        std::vector<unsigned char> all;
        std::string blocks;
        for (size_t begin = 0; begin < bytes; begin += block_bytes) {
            auto hash = sha256(data + begin, std::min(block_bytes, bytes - begin));
            all.insert(all.end(), hash.begin(), hash.end());
            blocks += (begin == 0 ? "\"" : ", \"") + hex(hash) + '"';
        }
        return ", \"sha256\": \"" + hex(sha256(all.data(), all.size())) + "\", \"blocks\": [" + blocks + "]";
    }

    /// The field with the statistics of elements that are not kept; empty for complex numbers and floats of 8 bits.
    static std::string statistics(const ElementType& type, const char* data, size_t bytes) {
        const std::string name = type.name;
        if (name == "float64") return statistics<double>(data, bytes);
        if (name == "float32") return statistics<float>(data, bytes);
        if (name == "float16") return statistics<uint16_t>(data, bytes, half);
        if (name == "bfloat16") return statistics<uint16_t>(data, bytes, bfloat16);
        if (name == "int64") return statistics<int64_t>(data, bytes);
        if (name == "int32") return statistics<int32_t>(data, bytes);
        if (name == "int16") return statistics<int16_t>(data, bytes);
        if (name == "int8") return statistics<int8_t>(data, bytes);
        if (name == "uint64") return statistics<uint64_t>(data, bytes);
        if (name == "uint32") return statistics<uint32_t>(data, bytes);
        if (name == "uint16") return statistics<uint16_t>(data, bytes);
        if (name == "uint8" || name == "bool") return statistics<uint8_t>(data, bytes);
        return "";
    }

    template <class T>
    static std::string statistics(const char* data, size_t bytes,
                                  double (*number)(T) = [](T x) { return static_cast<double>(x); }) {
        size_t infinite = 0, finite = 0;
        double least = std::numeric_limits<double>::infinity(), greatest = -least, sum = 0, squares = 0;
        for (size_t i = 0; i < bytes; i += sizeof(T)) {
            T element;
            std::memcpy(&element, data + i, sizeof(T));
            const double x = number(element);
            infinite += std::isinf(x);
            if (!std::isfinite(x)) continue;
            finite += 1;
            least = std::min(least, x), greatest = std::max(greatest, x);
            sum += x, squares += x * x;
        }
        std::ostringstream line;
        line.imbue(std::locale::classic());
        line.precision(17);
        line << ", \"statistics\": {\"inf\": " << infinite;
        auto field = [&](const char* name, double x) {
            if (finite > 0 && std::isfinite(x)) line << ", \"" << name << "\": " << x;
        };
        field("min", least), field("max", greatest), field("mean", sum / static_cast<double>(finite));
        field("norm", std::sqrt(squares));
        return line.str() + "}";
    }

    static double half(uint16_t bits) {
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
        if (exponent == 31) magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::nan("");
        return bits >> 15 ? -magnitude : magnitude;
    }

    /// The upper half of a float32.
    static double bfloat16(uint16_t bits) {
        const uint32_t wide = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &wide, sizeof value);
        return value;
    }

    static size_t count_nan(const ElementType& type, const void* data, size_t bytes) {
        switch (type.size) {
            case 2: return count_nan<uint16_t>(type.infinity, data, bytes);
            case 4: return count_nan<uint32_t>(type.infinity, data, bytes);
            default: return count_nan<uint64_t>(type.infinity, data, bytes);
        }
    }

    template <class Bits> static size_t count_nan(uint64_t infinity, const void* data, size_t bytes) {
        constexpr Bits without_sign = std::numeric_limits<Bits>::max() >> 1;
        size_t count = 0;
        for (size_t i = 0; i < bytes; i += sizeof(Bits)) {
            Bits bits;
            std::memcpy(&bits, static_cast<const char*>(data) + i, sizeof(Bits));
            count += (bits & without_sign) > infinity;
        }
        return count;
    }

    /// Whether a tensor of this shape has `count` elements. Divides, as the product of the sizes may overflow.
    static bool has_elements(const Shape& shape, size_t count) {
        bool empty = false;
        for (int64_t n : shape) {
            if (n < 0) return false;
            empty |= n == 0;
        }
        if (empty || count == 0) return empty && count == 0;
        for (int64_t n : shape) {
            if (count % static_cast<size_t>(n) != 0) return false;
            count /= static_cast<size_t>(n);
        }
        return count == 1;
    }

    static std::string number(std::optional<int64_t> value) { return value ? std::to_string(*value) : "null"; }

    static std::string list(const Shape& shape) {
        std::string text;
        for (int64_t n : shape) text += (text.empty() ? "" : ", ") + std::to_string(n);
        return "[" + text + "]";
    }

    /// A string of JSON.
    static std::string quoted(const std::string& text) {
        std::string json = "\"";
        for (char c : text) {
            if (c == '"' || c == '\\') {
                json += {'\\', c};
            } else if (static_cast<unsigned char>(c) < 0x20) {
                char escape[7];
                std::snprintf(escape, sizeof escape, "\\u%04x", c);
                json += escape;
            } else {
                json += c;
            }
        }
        return json + "\"";
    }

    static void open(std::ofstream& file, const std::filesystem::path& path) {
        file.open(path, std::ios::binary | std::ios::trunc);
        if (!file) throw std::runtime_error("cannot create " + path.string() + ": " + std::strerror(errno));
    }

    static void flush(std::ofstream& file, const std::filesystem::path& path) {
        if (!file.flush()) throw std::runtime_error("cannot write " + path.string() + ": " + std::strerror(errno));
    }

    void check_usable() const {
        if (finished_) throw std::runtime_error(records_path_.string() + ": the trace has its end marker already");
        if (!records_ || !elements_) throw std::runtime_error(records_path_.string() + ": an earlier write failed");
    }

    void write_line(const std::string& line) {
        records_ << line << '\n';
        flush(records_, records_path_);
    }

    std::filesystem::path records_path_, elements_path_;
    std::ofstream records_, elements_;
    std::set<std::string> keys_;
    uint64_t offset_ = 0;
    size_t keep_ = size_t(1) << 20;
    bool finished_ = false;
};

}  // namespace stitch
