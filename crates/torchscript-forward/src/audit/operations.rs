//! The operations that code may use, from operations.txt.

use std::collections::HashMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("../../operations.txt");

/// The names of a section whose title begins with this, each with its title.
fn section(start: &str) -> HashMap<&'static str, &'static str> {
    let (mut title, mut names) = ("", HashMap::new());
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(next) => title = next,
            None if title.starts_with(start) => {
                names.extend(line.split_whitespace().map(|name| (name, title)));
            }
            None => {}
        }
    }
    names
}

static ATEN: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| section("aten"));
static PRIM: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| section("prim"));

/// Whether code may use the operation `aten::name` (`torch.name`), or the reason why not; `None` if PyTorch has none of that
/// name.
pub(super) fn aten(name: &str) -> Option<Result<(), &'static str>> {
    let title = *ATEN.get(name)?;
    Some(title.strip_prefix("aten refused: ").map_or(Ok(()), Err))
}

/// Whether code may use the operation `prim::name` (`ops.prim.name`).
pub(super) fn prim(name: &str) -> bool {
    PRIM.contains_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_each_name_once() {
        let (mut names, mut count) = (Vec::new(), 0);
        for line in TEXT.lines().filter(|line| !line.starts_with('#')).chain(["[end]"]) {
            if line.starts_with('[') {
                assert!(names.is_sorted_by(|a, b| a < b), "the names before {line}");
                count += names.len();
                names.clear();
            }
            names.extend(line.split_whitespace().filter(|_| !line.starts_with('[')));
        }
        assert_eq!(count, ATEN.len() + PRIM.len());
    }

    #[test]
    fn operations_on_files_the_process_and_memory_are_not_allowed() {
        for name in [
            "save",
            "from_file",
            "load",
            "manual_seed",
            "seed",
            "set_grad_enabled",
            "wait",
            "to_here",
            "set_",
            "set_data",
            "resize_",
            "backward",
            "requires_grad_",
            "record_stream",
            "_unsafe_index",
            "_nested_view_from_buffer",
            "_sparse_coo_tensor_unsafe",
            "fbgemm_pack_gemm_matrix_fp16",
            "native_group_norm",
            "_test_check_tensor",
            "autograd",
            "max_pool2d_with_indices_backward",
            "quantize_per_tensor",
            "_print",
            "cuda",
        ] {
            assert!(!matches!(aten(name), Some(Ok(()))), "{name}");
        }
        for name in [
            "Print",
            "PythonOp",
            "IgnoredPythonOp",
            "rpc_async",
            "rpc_sync",
            "id",
            "awaitable_wait",
            "unchecked_cast",
        ] {
            assert!(!prim(name), "{name}");
        }
        for name in
            ["conv2d", "_convolution", "einsum", "dropout", "batch_norm", "__getitem__", "lstm"]
        {
            assert_eq!(aten(name), Some(Ok(())), "{name}");
        }
        assert!(prim("NumToTensor"));
    }
}
