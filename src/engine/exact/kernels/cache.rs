//! What probes have found in this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values that are computed once per key. It can be a static.
#[derive(Debug)]
pub(super) struct Cache<K, V>(Mutex<Option<HashMap<K, V>>>);

impl<K: Eq + Hash, V: Copy> Cache<K, V> {
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The value of `key`, which `compute` returns at the first call. `compute` must not use this cache.
    pub fn get(&self, key: K, compute: impl FnOnce() -> V) -> V {
        // A panic in `compute` does not change the cache, so a poisoned lock is harmless.
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *values.get_or_insert_default().entry(key).or_insert_with(compute)
    }
}
