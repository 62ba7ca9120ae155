//! On how many threads a command works.

use anyhow::{Context as _, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// As many as somebody asked for, or as the processor has cores.
pub(crate) fn asked(threads: Option<u16>) -> usize {
    match threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Threads that share the work of one network. How many there are changes no number of a training; what Burn's own operations
/// sum, as some measurements before one do, keeps its order on one thread alone.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start a thread")
}
