//! Memory that an operation needs again at every step.
//!
//! Large buffers go back to the system when they are freed. To get them again, page by page, took 40 % of the time of a
//! training step of an LSTM; here they stay with the thread.

use std::ops::{Deref, DerefMut};

use super::buffer::Real;

/// Most bytes that a thread keeps for later.
const MOST_BYTES: usize = 64 << 20;

/// Values of a thread that nobody uses, longest unused first.
pub(crate) type Store<T> = Vec<Vec<T>>;

/// Values on loan from the thread's store; they go back when dropped.
pub(super) struct Workspace<T: Real> {
    values: Vec<T>,
    count: usize,
}

impl<T: Real> Workspace<T> {
    /// So many values, whatever they are.
    pub(super) fn new(count: usize) -> Self {
        let kept = T::with_store(|store| {
            // Not one that something larger waits for.
            let fits = |values: &Vec<T>| (count..=2 * count).contains(&values.len());
            store.iter().position(fits).map(|index| store.remove(index))
        });
        Self { values: kept.unwrap_or_else(|| vec![T::default(); count]), count }
    }

    /// So many zeros.
    pub(super) fn zeros(count: usize) -> Self {
        let mut workspace = Self::new(count);
        workspace.fill(T::default());
        workspace
    }
}

impl<T: Real> Deref for Workspace<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.count]
    }
}

impl<T: Real> DerefMut for Workspace<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.count]
    }
}

impl<T: Real> Drop for Workspace<T> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.is_empty() {
            return;
        }
        T::with_store(|store| {
            store.push(values);
            let mut bytes: usize = store.iter().map(|values| size_of_val(values.as_slice())).sum();
            while bytes > MOST_BYTES {
                bytes -= size_of_val(store.remove(0).as_slice());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_lent_again() {
        let mut first = Workspace::<f32>::new(1000);
        first[999] = 7.0;
        let place = first.as_ptr();
        drop(first);
        let second = Workspace::<f32>::zeros(600);
        assert_eq!((second.as_ptr(), second.len()), (place, 600));
        assert!(second.iter().all(|value| *value == 0.0));
        // Too small for the one that is left, and then larger than it.
        drop(second);
        assert_ne!(Workspace::<f32>::new(400).as_ptr(), place);
        assert_ne!(Workspace::<f32>::new(1001).as_ptr(), place);
    }

    #[test]
    fn a_thread_keeps_so_much_and_no_more() {
        let half = MOST_BYTES / 2 / size_of::<f64>();
        let lent = [half, half, half / 2].map(Workspace::<f64>::new);
        drop(lent);
        let kept: usize = f64::with_store(|store| store.iter().map(Vec::len).sum());
        assert_eq!(kept, half + half / 2);
        drop(Workspace::<f64>::new(3 * half));
        assert_eq!(f64::with_store(|store| store.len()), 0);
    }
}
