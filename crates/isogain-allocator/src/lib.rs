//! The allocator of isogain's programs. A training step allocates and frees some hundred arrays, most of them small, which took
//! glibc's allocator an eighth of a search's time.
//!
//! A crate of its own, because whoever links it gets the allocator: a program chooses, a library leaves the choice to the program.

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings leave out: milliseconds until freed memory goes back to the system.
const PURGE_DELAY: mi_option_t = 15;

/// No memory goes back to the system while the process lives: what one training step frees, the next one asks for.
pub fn keep_freed() {
    // SAFETY: any thread may set an option at any time; it is an atomic integer.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    /// The number of an option follows from its place in a list: 1000 is the default of this one alone.
    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: as in `keep_freed`.
        let purge_delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(purge_delay(), 1000);
        keep_freed();
        assert_eq!(purge_delay(), -1);
    }
}
