// A TorchScript module as a function of its input, its parameters and its buffers. tch's CModule has no buffers, and
// does not keep the order of the state_dict.

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include <ATen/ops/empty_like.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/print_handler.h>
#include <torch/csrc/jit/serialization/import.h>

extern "C" void stitch_check_lstm();  // lstm.cpp

namespace {

using Object = c10::intrusive_ptr<c10::ivalue::Object>;

// An element of a list in another attribute that is a parameter, such as those of `nn.LSTM._flat_weights`.
struct Element {
    c10::List<at::Tensor> list;
    std::size_t index;
};

// An attribute that holds a parameter or a buffer.
struct Slot {
    std::string name;
    Object object;
    std::size_t index;
    bool is_parameter;
    std::vector<Element> elements;

    at::Tensor tensor() const { return object->getSlot(index).toTensor(); }

    void bind(const at::Tensor &tensor) const {
        if (object->getSlot(index).toTensor().is_same(tensor)) {
            return;
        }
        object->setSlot(index, tensor);
        for (const Element &element : elements) {
            c10::List<at::Tensor>(element.list).set(element.index, tensor);
        }
    }
};

// An attribute that holds neither a module nor a parameter or buffer.
struct Other {
    std::string name;
    Object object;
    std::size_t index;

    c10::IValue value() const { return object->getSlot(index); }
};

// What can be seen of a value without copying its tensors: the values of its parts; of tensors, which one it is, and its
// version.
struct Seen {
    std::vector<c10::IValue> parts;
    std::vector<std::size_t> sizes;

    explicit Seen(const c10::IValue &value) { add(value); }

    bool is_changed(const c10::IValue &value) const {
        const Seen now(value);
        if (now.sizes != sizes || now.parts.size() != parts.size()) {
            return true;
        }
        for (std::size_t i = 0; i < parts.size(); ++i) {
            if (!parts[i].isSameIdentity(now.parts[i])) {
                return true;
            }
        }
        return false;
    }

private:
    void add(const c10::IValue &value) {
        if (value.isList()) {
            const auto items = value.toList();
            sizes.push_back(items.size());
            for (std::size_t i = 0; i < items.size(); ++i) {
                add(items.get(i));
            }
        } else if (value.isTuple()) {
            for (const auto &item : value.toTupleRef().elements()) {
                add(item);
            }
        } else if (value.isGenericDict()) {
            const auto dict = value.toGenericDict();
            sizes.push_back(dict.size());
            for (const auto &entry : dict) {
                add(entry.key());
                add(entry.value());
            }
        } else if (value.isObject()) {
            for (const auto &attribute : value.toObjectRef().slots()) {
                add(attribute);
            }
        } else {
            parts.push_back(value);
            sizes.push_back(value.isTensor() && value.toTensor().defined() ? value.toTensor()._version() : 0);
        }
    }
};

struct Script {
    torch::jit::Module module;
    std::string class_name;
    std::vector<Slot> slots;
    std::vector<Other> others;
    // The mode that was set last; a file may have been saved with parts in different modes.
    std::optional<bool> mode;
    // Slots whose tensor the module replaced, and the tensors that are to have its values.
    std::vector<std::pair<std::size_t, at::Tensor>> replaced;

    void train(bool on) {
        if (mode != on) {
            module.train(on);
            mode = on;
        }
    }

    // Copies replaced buffers to the given tensors. Not before the backward pass, which may need the old values.
    void update_buffers() {
        const at::NoGradGuard no_grad;
        // All values first: a buffer may have got the tensor of another one.
        std::vector<at::Tensor> values;
        for (const auto &[index, tensor] : replaced) {
            values.push_back(slots[index].tensor().clone());
        }
        for (std::size_t i = 0; i < replaced.size(); ++i) {
            auto &[index, tensor] = replaced[i];
            tensor.copy_(values[i]);
            slots[index].bind(tensor);
        }
        replaced.clear();
    }
};

// Collects the slots in the order of Python's state_dict: parameters and buffers of a module, then its submodules.
void collect(const torch::jit::Module &module, const std::string &prefix, std::vector<Slot> &slots) {
    const auto object = module._ivalue();
    const auto type = object->type();
    const auto add = [&](bool parameters) {
        for (std::size_t i = 0; i < type->numAttributes(); ++i) {
            const bool wanted = parameters ? type->is_parameter(i) : type->is_buffer(i);
            if (wanted && object->getSlot(i).isTensor()) {
                slots.push_back({prefix + type->getAttributeName(i), object, i, parameters, {}});
            }
        }
    };
    add(true);
    add(false);
    for (std::size_t i = 0; i < type->numAttributes(); ++i) {
        if (type->getAttribute(i)->is_module()) {
            const torch::jit::Module child(object->getSlot(i).toObject());
            collect(child, prefix + type->getAttributeName(i) + ".", slots);
        }
    }
}

// Whether two tensors share memory.
bool is_alias(const at::Tensor &a, const at::Tensor &b) {
    return a.defined() && b.defined() && a.has_storage() && b.has_storage() && a.numel() > 0 && a.is_alias_of(b);
}

// Finds the other attributes of a module and its submodules, and the lists of parameters in them.
void find_others(const torch::jit::Module &module, const std::string &prefix, Script &script) {
    const auto object = module._ivalue();
    const auto type = object->type();
    for (std::size_t k = 0; k < type->numAttributes(); ++k) {
        const c10::IValue value = object->getSlot(k);
        const std::string name = prefix + type->getAttributeName(k);
        if (type->getAttribute(k)->is_module()) {
            find_others(torch::jit::Module(value.toObject()), name + ".", script);
            continue;
        }
        if ((type->is_parameter(k) || type->is_buffer(k)) && value.isTensor()) {
            continue;
        }
        script.others.push_back({name, object, k});
        std::size_t bound = 0;
        if (value.isTensorList()) {
            const auto list = value.toTensorList();
            for (std::size_t i = 0; i < list.size(); ++i) {
                for (Slot &slot : script.slots) {
                    if (slot.tensor().is_same(list.get(i))) {
                        slot.elements.push_back({list, i});
                        ++bound;
                        break;
                    }
                }
            }
            if (bound == list.size()) {
                continue;
            }
        }
        // Another reference would keep the values of the file.
        value.visit([&](const c10::IValue &part) {
            if (part.isTensor()) {
                for (const Slot &slot : script.slots) {
                    if (is_alias(part.toTensor(), slot.tensor())) {
                        throw std::runtime_error("its attribute " + name + " shares memory with " + slot.name +
                                                 ": give the network one of the two");
                    }
                }
            }
            return false;
        });
    }
}

// Refuses parameters and buffers that the model cannot hold in tensors of its own.
void check_memory(const std::vector<Slot> &slots) {
    const auto bytes = [](const at::Tensor &it) {
        const auto *begin = static_cast<const char *>(it.const_data_ptr());
        std::size_t extent = 1;
        for (std::int64_t d = 0; d < it.dim(); ++d) {
            extent += (it.size(d) - 1) * it.stride(d);
        }
        return std::make_pair(begin, begin + extent * it.element_size());
    };
    for (std::size_t i = 0; i < slots.size(); ++i) {
        const auto a = slots[i].tensor();
        if (a.numel() == 0 || !a.has_storage()) {
            continue;
        }
        // The layout chooses the kernels, and so the bits.
        if (a.strides() != at::empty_like(a, at::MemoryFormat::Contiguous).strides() && !a.is_sparse()) {
            throw std::runtime_error("its " + slots[i].name + " is not contiguous (" + (a.dim() >= 4 ? "channels_last, or " : "") +
                          "a transposed or expanded view): make it contiguous before torch.jit.script");
        }
        for (std::size_t j = 0; j < i; ++j) {
            const auto b = slots[j].tensor();
            if (!is_alias(a, b)) {
                continue;
            }
            // One parameter with two names.
            if (slots[i].is_parameter && slots[j].is_parameter && a.data_ptr() == b.data_ptr() && a.sizes() == b.sizes()) {
                continue;
            }
            const auto [a_begin, a_end] = bytes(a);
            const auto [b_begin, b_end] = bytes(b);
            if (a_begin < b_end && b_begin < a_end) {
                throw std::runtime_error("its " + slots[j].name + " and " + slots[i].name +
                              " share memory, which is supported for two names of one parameter only");
            }
        }
    }
}

// torch.jit.load
torch::jit::Module load(std::istringstream &stream) {
    try {
        return torch::jit::load(stream, c10::Device(c10::kCPU));
    } catch (const std::exception &error) {
        throw std::runtime_error(std::string("libtorch cannot load it: ") + error.what());
    }
}

char *copy(const char *text) { return strdup(text); }

}  // namespace

// Loads the archive in `bytes`, on the CPU. Returns null, or an error message that the caller frees.
extern "C" char *stitch_script_load(const char *bytes, std::size_t length, Script **out) {
    try {
        stitch_check_lstm();
        // TorchScript divides integers without a check.
        std::signal(SIGFPE, [](int) {
            constexpr char message[] = "error: the network divides an integer by 0, or the least one by -1\n";
            const auto written = write(STDERR_FILENO, message, sizeof(message) - 1);
            _exit(written < 0 ? 3 : 2);
        });
        // print() of a network must not write between the results on stdout.
        torch::jit::setPrintHandler([](const std::string &text) { fputs(text.c_str(), stderr); });
        std::istringstream stream(std::string(bytes, length));
        auto module = load(stream);
        const auto name = module.type()->name();
        std::unique_ptr<Script> script(new Script{std::move(module), name ? name->name() : "Module", {}, {}, {}, {}});
        collect(script->module, "", script->slots);
        find_others(script->module, "", *script);
        check_memory(script->slots);
        *out = script.release();
        return nullptr;
    } catch (const std::exception &error) {
        return copy(error.what());
    }
}

extern "C" void stitch_script_free(Script *script) { delete script; }

extern "C" const char *stitch_script_class(const Script *script) { return script->class_name.c_str(); }

// The number of parameters and buffers.
extern "C" std::size_t stitch_script_length(const Script *script) { return script->slots.size(); }

// The name, valid as long as the module, and the tensor, which the caller frees, of a parameter or buffer.
extern "C" at::Tensor *stitch_script_slot(const Script *script, std::size_t index, const char **name,
                                          bool *is_parameter) {
    const Slot &slot = script->slots[index];
    *name = slot.name.c_str();
    *is_parameter = slot.is_parameter;
    return new at::Tensor(slot.tensor());
}

// module(input), with these tensors as parameters and buffers, one for each slot. A buffer that the module replaced by
// another tensor is copied to the given one, without gradients at once, else by the next call or stitch_script_update.
extern "C" char *stitch_script_forward(Script *script, const at::Tensor *input,
                                       const at::Tensor *const *tensors, bool train,
                                       at::Tensor **out) {
    try {
        // With it, TorchScript differentiates some operations by formulas of its own. The setting is this thread's.
        torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
        const auto &slots = script->slots;
        script->update_buffers();
        for (std::size_t i = 0; i < slots.size(); ++i) {
            slots[i].bind(*tensors[i]);
        }
        script->train(train);
        struct Form {
            std::vector<int64_t> sizes, strides;
            at::ScalarType type;
        };
        const auto form = [](const at::Tensor &it) {
            return Form{it.sizes().vec(), it.strides().vec(), it.scalar_type()};
        };
        std::vector<Form> before;
        for (std::size_t i = 0; i < slots.size(); ++i) {
            before.push_back(form(*tensors[i]));
        }
        std::vector<Seen> seen;
        for (const Other &other : script->others) {
            seen.emplace_back(other.value());
        }
        // With the module's hooks, unlike `forward`.
        const auto result = script->module({*input});
        // A state that no file has would be lost when a run is resumed.
        for (std::size_t i = 0; i < seen.size(); ++i) {
            if (seen[i].is_changed(script->others[i].value())) {
                return copy(("its forward changes " + script->others[i].name +
                             ", which is no buffer: register it with register_buffer").c_str());
            }
        }
        if (!result.isTensor()) {
            return copy(("its forward returns " + result.tagKind() + ", where a tensor is expected").c_str());
        }
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const auto after = slots[i].tensor();
            const bool is_same = after.is_same(*tensors[i]);
            const Form now = form(after);
            if (now.sizes != before[i].sizes || now.type != before[i].type ||
                (is_same && now.strides != before[i].strides)) {
                return copy(("its forward changes the shape or type of " + slots[i].name).c_str());
            }
            if (!slots[i].is_parameter && after.requires_grad()) {
                return copy(("its forward computes the buffer " + slots[i].name +
                             " under autograd: detach what it is computed from").c_str());
            }
            if (is_same) {
                continue;
            }
            if (slots[i].is_parameter) {
                return copy(("its forward replaces the parameter " + slots[i].name).c_str());
            }
            script->replaced.emplace_back(i, *tensors[i]);
        }
        if (!at::GradMode::is_enabled()) {
            script->update_buffers();
        }
        *out = new at::Tensor(result.toTensor());
        return nullptr;
    } catch (const std::exception &error) {
        return copy(error.what());
    }
}

// Updates the given buffers after the backward pass.
extern "C" char *stitch_script_update(Script *script) {
    try {
        script->update_buffers();
        return nullptr;
    } catch (const std::exception &error) {
        return copy(error.what());
    }
}

// module.eval().save(), with these tensors as parameters and buffers. The caller frees the bytes.
extern "C" char *stitch_script_save(Script *script, const at::Tensor *const *tensors, char **bytes,
                                    std::size_t *length) {
    try {
        script->update_buffers();
        for (std::size_t i = 0; i < script->slots.size(); ++i) {
            script->slots[i].bind(*tensors[i]);
        }
        script->train(false);
        std::ostringstream stream;
        script->module.save(stream);
        const std::string saved = stream.str();
        *bytes = static_cast<char *>(malloc(saved.size()));
        if (*bytes == nullptr) {
            throw std::bad_alloc();
        }
        memcpy(*bytes, saved.data(), saved.size());
        *length = saved.size();
        return nullptr;
    } catch (const std::exception &error) {
        return copy(error.what());
    }
}
