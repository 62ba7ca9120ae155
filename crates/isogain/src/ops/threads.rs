//! Work of one operation on several threads of the pool that it runs in, where there is enough of it.
//!
//! What a thread computes never depends on how many there are: shares are whole samples, and no sum runs over two of them.

use rayon::prelude::*;

/// Products from which on work is worth more than one thread: that many take as long as some wakings of a thread.
const SHARED_FROM: usize = 192 * 192 * 192;

/// What a value costs in a pass that computes something for each, in products.
pub(super) const VALUE: usize = 64;

/// Threads for work of so many products.
pub(super) fn threads(products: usize) -> usize {
    if products < SHARED_FROM { 1 } else { rayon::current_num_threads() }
}

/// Samples in a share, of so many that take so many products each: one share for each thread.
pub(super) fn share(samples: usize, products: usize) -> usize {
    samples.div_ceil(threads(samples.saturating_mul(products))).max(1)
}

/// Values in a share of those that a pass computes one by one, so many in a row that belong together.
pub(crate) fn share_of_values(values: usize, in_a_row: usize) -> usize {
    share(values / in_a_row.max(1), VALUE * in_a_row) * in_a_row.max(1)
}

/// Works on every share, at the same time where there are several; what comes out, in their order.
pub(crate) fn for_each_share<S: Send, R: Send>(shares: Vec<S>, work: impl Fn(S) -> R + Send + Sync) -> Vec<R> {
    if shares.len() < 2 {
        return shares.into_iter().map(work).collect();
    }
    shares.into_par_iter().map(work).collect()
}

/// Both, at the same time if together they are worth it.
pub(super) fn both<A: Send, B: Send>(
    products: usize,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    if threads(products) < 2 { (one(), other()) } else { rayon::join(one, other) }
}
