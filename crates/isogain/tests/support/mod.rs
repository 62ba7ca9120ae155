//! What several tests share.

/// Runs in a pool of one thread, as the program does, so that every number is the same on every machine.
pub(crate) fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}
