// A TorchScript module as a function of its input, its parameters and its buffers. tch's CModule has no buffers, and
// does not keep the order of the state_dict.

#include <cstddef>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/print_handler.h>
#include <torch/csrc/jit/serialization/import.h>

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

struct Script {
    torch::jit::Module module;
    std::string class_name;
    std::vector<Slot> slots;
    // Slots whose tensor the module replaced, and the tensors that are to have its values.
    std::vector<std::pair<std::size_t, at::Tensor>> replaced;

    // Copies replaced buffers to the given tensors. Not before the backward pass, which may need the old values.
    void update_buffers() {
        const at::NoGradGuard no_grad;
        for (auto &[index, tensor] : replaced) {
            tensor.copy_(slots[index].tensor());
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

// Finds the lists of parameters in the attributes of a module and its submodules.
void find_elements(const torch::jit::Module &module, std::vector<Slot> &slots) {
    const auto object = module._ivalue();
    for (const c10::IValue &value : object->slots()) {
        if (!value.isTensorList()) {
            continue;
        }
        const auto list = value.toTensorList();
        for (std::size_t i = 0; i < list.size(); ++i) {
            for (Slot &slot : slots) {
                if (slot.tensor().is_same(list.get(i))) {
                    slot.elements.push_back({list, i});
                    break;
                }
            }
        }
    }
    for (const torch::jit::Module &child : module.children()) {
        find_elements(child, slots);
    }
}

char *copy(const char *text) { return strdup(text); }

}  // namespace

// torch.jit.load of an archive in memory, on the CPU. Returns null, or an error message that the caller frees.
extern "C" char *stitch_script_load(const char *bytes, std::size_t length, Script **out) {
    try {
        // print() of a network must not write between the results on stdout.
        torch::jit::setPrintHandler([](const std::string &text) { fputs(text.c_str(), stderr); });
        std::istringstream stream(std::string(bytes, length));
        auto module = torch::jit::load(stream, c10::Device(c10::kCPU));
        const auto name = module.type()->name();
        auto *script = new Script{std::move(module), name ? name->name() : "Module", {}, {}};
        collect(script->module, "", script->slots);
        find_elements(script->module, script->slots);
        *out = script;
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
        if (script->module.is_training() != train) {
            script->module.train(train);
        }
        const auto result = script->module.forward({*input});
        if (!result.isTensor()) {
            return copy(("its forward returns " + result.tagKind() + ", where a tensor is expected").c_str());
        }
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const auto after = slots[i].tensor();
            if (after.is_same(*tensors[i])) {
                continue;
            }
            if (slots[i].is_parameter || after.sizes() != tensors[i]->sizes() ||
                after.scalar_type() != tensors[i]->scalar_type()) {
                return copy(("its forward replaces " + slots[i].name).c_str());
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
extern "C" void stitch_script_update(Script *script) { script->update_buffers(); }

// module.eval().save(), with these tensors as parameters and buffers. The caller frees the bytes.
extern "C" char *stitch_script_save(Script *script, const at::Tensor *const *tensors, char **bytes,
                                    std::size_t *length) {
    try {
        script->update_buffers();
        for (std::size_t i = 0; i < script->slots.size(); ++i) {
            script->slots[i].bind(*tensors[i]);
        }
        script->module.eval();
        std::ostringstream stream;
        script->module.save(stream);
        const std::string saved = stream.str();
        *bytes = static_cast<char *>(malloc(saved.size()));
        memcpy(*bytes, saved.data(), saved.size());
        *length = saved.size();
        return nullptr;
    } catch (const std::exception &error) {
        return copy(error.what());
    }
}
