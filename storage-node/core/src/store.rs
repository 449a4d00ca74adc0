//! The ordered key-value store that the state machine lives in.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Called for each key and value, in order; says whether to go on.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Reading.
pub trait Store {
    /// What can go wrong with the medium.
    type Error;

    /// The value under a key.
    ///
    /// # Errors
    /// The medium's.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Visits keys in ascending order, from this one (included) on.
    ///
    /// # Errors
    /// The medium's.
    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Self::Error>;
}

/// Writing. All writes of one entry become visible together or not at all: the caller's duty.
pub trait StoreMut: Store {
    /// Sets the value under a key.
    ///
    /// # Errors
    /// The medium's.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Self::Error>;

    /// Removes a key; an absent one is no error.
    ///
    /// # Errors
    /// The medium's.
    fn delete(&mut self, key: &[u8]) -> Result<(), Self::Error>;
}

/// A store in memory, for tests and models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for MemoryStore {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Infallible> {
        for (key, value) in self.0.range(from.to_vec()..) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl StoreMut for MemoryStore {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Infallible> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Infallible> {
        self.0.remove(key);
        Ok(())
    }
}
