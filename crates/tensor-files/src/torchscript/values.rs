//! Checks that a pickle of a TorchScript archive makes nothing but what `torch.jit.save` writes. libtorch does not check that
//! a tensor lies within its storage, and a pickle can call its functions with other arguments than they expect.

use std::collections::HashMap;
use std::io::{Read, Seek};

use crate::ReadError;
use crate::archive::Archive as Records;
use crate::pickle::{self, Global, Pickle, Rebuild, Value};
use crate::state_dict::{check_storage, memory_for, view, whole};

use super::archive::LONGEST;

/// What libtorch must not read in a pickle, if there is something; the records of `folder` hold the elements of tensors.
pub(super) fn problem(
    pickle: &Pickle,
    folder: &str,
    records: &mut Records<impl Read + Seek>,
) -> Option<String> {
    let mut dtypes = HashMap::new();
    pickle.arena.iter().find_map(|value| match value {
        Value::Global(Global::Rebuild(rebuild)) if *rebuild != Rebuild::V2 => {
            Some("a tensor that torch.jit.save does not write".into())
        }
        Value::Global(Global::DefaultDict) => Some("collections.defaultdict".into()),
        Value::Unknown(name) | Value::Opaque(name) if **name == *"torch.device" => None,
        Value::Unknown(name) | Value::Opaque(name) | Value::Unreadable(name) => {
            Some(name.to_string())
        }
        Value::Storage(storage) if storage.count != 0 => {
            let Value::Str(key) = &pickle.arena[storage.key] else { return None };
            let record = records.record(&format!("{folder}/{key}"));
            let check = |record| check_storage(key, *storage, &record, &mut dtypes);
            record.and_then(check).err().map(|error| error.to_string())
        }
        Value::Tensor(tensor) => {
            let elements = usize::try_from(tensor.storage.count).unwrap_or(0);
            let count = view(tensor).and_then(|view| view.len_within(elements));
            count.is_none().then(|| "a tensor that reaches beyond its storage".into())
        }
        _ => None,
    })
}

/// As [`problem`], for the pickles of debug information: the lines of the code in Python's source, which error messages
/// show.
pub(super) fn debug_problem(
    records: &mut Records<impl Read + Seek>,
    length: u64,
) -> Option<String> {
    records.names().into_iter().filter(|name| name.ends_with(".debug_pkl")).find_map(|name| {
        let mut check = || -> Result<Option<String>, ReadError> {
            let bytes = records.read(&name, LONGEST)?.unwrap_or_default();
            let pickle = whole(pickle::read(&bytes, memory_for(length))?, &bytes)?;
            Ok(problem(&pickle, "debug", records))
        };
        check().unwrap_or_else(|error| Some(format!("{name}: {error}")))
    })
}
