// Writes a trace of every kind of record with cpp/stitch_trace.h, without libtorch. header.py writes the same one.

#include "stitch_trace.h"

#include <functional>
#include <iostream>

using stitch::Place;

/// Prints the message of the error that `f` must throw.
void print_error(const std::function<void()>& f) {
    try {
        f();
    } catch (const std::runtime_error& error) {
        std::cout << error.what() << "\n";
        return;
    }
    throw std::logic_error("no error was thrown");
}

int main(int, char** arguments) {
    const std::string folder = arguments[1];
    stitch::Trace trace(folder + "/cpp", "any \"model\"");

    // Around the ends of a block of SHA-256, and more than is kept.
    for (size_t length : {0, 3, 55, 56, 63, 64, 65, 119, 120, 128, 1 << 20, (1 << 20) + 1, 3 << 20}) {
        std::vector<uint8_t> bytes(length);
        for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(i * i % 251);
        trace.record("bytes", std::to_string(length), Place::run(), bytes);
    }
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> floats = {0.5f, -nan, infinity, nan, -0.0f, 1e-45f};
    trace.record("forward", "conv1", Place::step(1), {2, 3}, floats.data(), "Conv2d");
    trace.record("forward", "names: \"\\\n\x1f \xc3\xa9", Place::step(1), std::vector<double>{0.1, nan, -infinity});
    trace.record("counts", "int64", Place::epoch(2), {1, 2, 1}, std::vector<int64_t>{-1, int64_t(1) << 62}.data());
    trace.record("counts", "int32", Place::epoch(2), std::vector<int32_t>{-1, 7});
    trace.record("counts", "empty", Place::epoch(2), {4, 0}, static_cast<const float*>(nullptr));
    trace.record("learning_rate", "0", Place::step(1), 1e-3);
    const uint16_t halves[] = {0x7c00, 0x7c01, 0xfe00, 0xfc00, 0x3c00, 0x7f80, 0x7f81, 0xff80};
    trace.record("halves", "float16", Place::step(2), "float16", {8}, halves, sizeof halves);
    trace.record("halves", "bfloat16", Place::step(2), "bfloat16", {2, 4}, halves, sizeof halves);

    // An error leaves the trace usable.
    print_error([&] { trace.record("learning_rate", "0", Place::step(1), 2e-3); });
    print_error([&] { trace.record("loss", "loss", Place::step(1), "float32", {2}, floats.data(), 7); });
    print_error([&] { trace.record("loss", "loss", Place::step(1), "float32", {2, 2}, floats.data(), 8); });
    trace.keep_up_to(4);
    trace.record("loss", "loss", Place::step(1), 0.25f);
    // Statistics in place of elements.
    trace.record("long", "float32", Place::run(), floats);
    trace.record("long", "float64", Place::run(), std::vector<double>{0.1, nan, -infinity, -2.5});
    trace.record("long", "int64", Place::run(), std::vector<int64_t>{-1, int64_t(1) << 62});
    trace.record("long", "float16", Place::run(), "float16", {8}, halves, sizeof halves);
    trace.record("long", "bfloat16", Place::run(), "bfloat16", {8}, halves, sizeof halves);
    trace.record("long", "nothing finite", Place::run(), std::vector<float>{nan, infinity});
    trace.finish();
    print_error([&] { trace.record("loss", "loss", Place::step(2), 0.25f); });
    print_error([&] { stitch::Trace(folder + "/cpp/trace.bin", "in a file"); });

    // A type that the format does not know, tensors that are too long to be kept, and no end marker.
    stitch::Trace other(folder + "/other", "");
    other.record("weights", "unknown", Place::run(), "float6", {4}, "abc", 3);
    other.keep_up_to(4);
    other.record("weights", "kept", Place::run(), 1.0f);
    other.record("weights", "long", Place::run(), 1.0);
}
