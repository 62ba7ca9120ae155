//! Memory that stays with the process from one training step to the next.

use std::hint::black_box;
use std::sync::Once;

/// Just below the most that glibc lets its limit follow, 32 MiB.
const LARGEST: usize = (32 << 20) - (64 << 10);

/// Makes glibc keep what is freed, as far as it does that of its own.
///
/// It gives freed memory back to the system above twice the largest block that was freed so far (`mallopt(3)`,
/// `M_MMAP_THRESHOLD`), and a training step that frees its activations then waits for the same pages again, for a third of
/// its time at worst. A block of that size freed once, never written to, raises the limit for good. Other allocators do not
/// mind.
pub(crate) fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(LARGEST))));
}
