//! Any tensors, written in any format, come back as they were, and twice as the same bytes.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tensor_files::{
    Dtype, Metadata, NamedTensor, npz, read_weights, safetensors, state_dict, torchscript,
};

/// A few tensors of any type and shape, without elements and without dimensions among them.
fn tensors() -> impl Strategy<Value = Vec<NamedTensor>> {
    let dtype = prop::sample::select(Dtype::ALL.to_vec());
    let shape = prop::collection::vec(0usize..6, 0..5);
    let tensor = (dtype, shape).prop_flat_map(|(dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        // A bool that is read is 0 or 1.
        let most = if dtype == Dtype::Bool { 1 } else { u8::MAX };
        prop::collection::vec(0..=most, bytes).prop_map(move |data| (dtype, shape.clone(), data))
    });
    let layer = "[a-z_][a-z0-9_]{0,12}";
    let name = (layer, layer).prop_map(|(layer, parameter)| format!("{layer}.{parameter}"));
    prop::collection::btree_map(name, tensor, 0..8).prop_map(|map| {
        let named = |(name, (dtype, shape, data))| NamedTensor { name, dtype, shape, data };
        map.into_iter().map(named).collect()
    })
}

/// By name: safetensors and modules have an order of their own.
fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

proptest! {
    // The default looks for a lib.rs or main.rs above this file.
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("regressions")))]

    #[test]
    fn a_state_dict_comes_back(tensors in tensors()) {
        let file = state_dict::write(&tensors).unwrap();
        prop_assert_eq!(&file, &state_dict::write(&tensors).unwrap());
        prop_assert_eq!(read_weights(&file).unwrap(), tensors);
    }

    #[test]
    fn a_module_comes_back(tensors in tensors()) {
        let (class, forward) = ("Module".into(), "    return x\n".into());
        let program = torchscript::Program { class, forward, ..Default::default() };
        let file = torchscript::write(&program, &tensors).unwrap();
        prop_assert_eq!(&file, &torchscript::write(&program, &tensors).unwrap());
        prop_assert_eq!(sorted(read_weights(&file).unwrap()), tensors);
    }

    #[test]
    fn safetensors_come_back_with_their_metadata(
        tensors in tensors(),
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6),
    ) {
        let without = [Dtype::C32, Dtype::C128];
        let known = |tensor: &NamedTensor| !without.contains(&tensor.dtype);
        let tensors: Vec<_> = tensors.into_iter().filter(known).collect();
        let file = safetensors::write(&tensors, &metadata).unwrap();
        prop_assert_eq!(&file, &safetensors::write(&tensors, &metadata).unwrap());
        prop_assert_eq!(sorted(read_weights(&file).unwrap()), tensors);
        let read = tensor_files::TensorFile::open(std::io::Cursor::new(&file)).unwrap();
        let mut wanted = Metadata::from([("format".into(), "pt".into())]);
        wanted.extend(metadata);
        prop_assert_eq!(read.metadata(), &wanted);
    }

    #[test]
    fn arrays_come_back(tensors in tensors()) {
        let known = |tensor: &NamedTensor| npz::write(std::slice::from_ref(tensor)).is_ok();
        let tensors: Vec<_> = tensors.into_iter().filter(known).collect();
        prop_assume!(!tensors.is_empty());
        let file = npz::write(&tensors).unwrap();
        prop_assert_eq!(&file, &npz::write(&tensors).unwrap());
        prop_assert_eq!(read_weights(&file).unwrap(), tensors);
    }
}
