"""Writes operations.txt: which operations the code of a TorchScript file may use.

python operations.py [--check]

The names are those of torch._C._jit_get_all_schemas() in PyTorch 2.13. An operation of `aten` whose name does not begin with
an underscore is allowed unless it is refused below; any other only if it is listed below. After an upgrade of PyTorch, run this
file, and review the difference: new operations are allowed by default.
"""

import argparse
import pathlib
import re
import sys
import textwrap

import torch

FILE = pathlib.Path(__file__).with_name("operations.txt")

HEAD = """\
# Operations of PyTorch 2.13 that the code of a TorchScript file may use, and those that it may not, by reason.
# Written by operations.py.
"""

# Regular expressions that match the whole name, by reason.
REFUSED = {
    "is internal": "_.*",
    "reads or writes a file": "from_file|save",
    "changes the process: seed of random numbers, mode of autograd, futures, remote values": (
        "manual_seed|seed|initial_seed|Generator|set_grad_enabled|backward|grad|get_gradients|retain_grad|retains_grad"
        "|requires_grad_|wait|owner|owner_name|is_owner|confirmed_by_owner|local_value|to_here|record_stream|cuda"
        "|pin_memory|is_pinned|has_torch_function|hash"
    ),
    "replaces the memory of a tensor": "set|set_|set_data|resize.*|sparse_resize.*",
    # Indices, sizes or pivots that come from another operation, and that kernels do not check.
    "trusts its arguments: it is a part of another operation": (
        r".*_backward(_.*)?|.*_jvp|.*_overrideable|native_(batch|group|layer)_norm|native_norm|batch_norm_.*|segment_reduce"
        "|lu_solve|lu_unpack|linalg_lu_solve|linalg_ldl_solve|rrelu_with_noise.*|fused_moving_avg_obs_fake_quant"
        "|fake_quantize_.*_cachemask|slow_conv.*|conv_depthwise3d|thnn_conv2d|sym_.*|lift.*|normal_functional"
        "|slice_inverse|sum_to_size|ctc_loss"
    ),
    "is of another backend or memory layout: quantized, sparse, packed": (
        "fbgemm_.*|quantize.*|q_.*|qscheme|int_repr|dequantize|choose_qparams_optimized|empty_quantized|mkldnn_.*|cudnn_.*"
        "|miopen_.*|mps_.*|to_mkldnn|.*sparse.*|hspmm|smm|sspaddmm|coalesce|is_coalesced|(c?col|c?crow|row)_indices(_copy)?"
        "|crow_indices(_copy)?|indices(_copy)?|values_copy|is_vulkan_available"
    ),
}

# Operations whose names begin with an underscore: those of the language, and those that modules of torch and torchvision use.
INTERNAL = """
__and__ __contains__ __derive_index __getitem__ __iand__ __ilshift__ __ior__ __irshift__ __is__ __isnot__ __ixor__ __lshift__
__interpolate __not__ __or__ __range_length __round_to_zero_floordiv __rshift__ __upsample __upsample_bilinear
__upsample_nearest __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half
_cast_Int _cast_Long _cast_Short _convolution _get_tracing_state _infer_size _list_to_tensor _log_softmax
_native_multi_head_attention _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _pack_padded_sequence
_pad_packed_sequence _set_item _shape_as_tensor _softmax _tensor_to_list _transformer_encoder_layer_fwd _unwrap_optional
_upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d _weight_norm
""".split()

# Operations of `prim`: conversions, and properties of tensors.
PRIM = """
EnumName EnumValue NumToTensor RaiseException StringIndex TupleIndex abs data device dtype index is_cpu is_cuda is_meta is_mps
is_nested is_quantized is_sparse is_xla itemsize layout max min name nbytes rangelist requires_grad tolist type
unchecked_unwrap_optional
""".split()


def sections():
    """The names by section: `[aten]`, `[prim]`, and one of refused operations of `aten` per reason."""
    names = {"aten": set(), "prim": set()}
    for schema in torch._C._jit_get_all_schemas():
        namespace, name = schema.name.split("::", 1)
        names.get(namespace, set()).add(name)
    for namespace, listed in [("aten", INTERNAL), ("prim", PRIM)]:
        if missing := set(listed) - names[namespace]:
            sys.exit(f"PyTorch {torch.__version__} has no {namespace} operation {' '.join(sorted(missing))}: remove it")
    left = names["aten"] - set(INTERNAL)
    refused = {}
    for reason, pattern in REFUSED.items():
        refused[f"aten refused: {reason}"] = {name for name in left if re.fullmatch(pattern, name)}
        left -= refused[f"aten refused: {reason}"]
    return {"aten": left | set(INTERNAL), "prim": set(PRIM)} | refused


def text():
    """The text of operations.txt."""
    lines = [HEAD]
    for title, names in sections().items():
        lines.append(f"[{title}]\n{textwrap.fill(' '.join(sorted(names)), 120, break_on_hyphens=False)}\n")
    return "\n".join(lines)


def main():
    """Writes the file, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if operations.txt differs, and write nothing")
    new = text()
    if not parser.parse_args().check:
        FILE.write_text(new, encoding="utf-8", newline="\n")
    elif FILE.read_text(encoding="utf-8") != new:
        sys.exit(f"operations.txt is not that of PyTorch {torch.__version__}: run operations.py, review the difference")


if __name__ == "__main__":
    main()
