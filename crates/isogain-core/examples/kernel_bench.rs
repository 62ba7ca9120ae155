//! Speed of the statistics kernel against a plain streaming read of the same buffer, on one thread.
//!
//! `cargo run --release -p isogain-core --example kernel_bench [MEGABYTES]` prints one JSON line. Only the ratios mean
//! something across machines; the rounds are interleaved so that all sides see the same machine.
//!
//! `streaming_gbps` is a plain read at the kernel's own vector width, and `ratio` is the kernel against that. The kernel
//! asks the memory for data ahead of time, so the ratio can exceed 1; `prefetched_gbps` is a read that does the same.

use std::hint::black_box;
use std::time::Instant;

use isogain_core::statistics::kernel::{instruction_set, moments, moments_with_histogram};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: usize = 15;

fn main() -> Result<(), String> {
    let megabytes = match std::env::args().nth(1) {
        None => 64,
        Some(text) => text.parse::<usize>().map_err(|e| format!("not a number of megabytes: '{text}' ({e})"))?,
    };
    let values = gaussian(megabytes.max(1) * 1_000_000 / 4);
    let gigabytes = (values.len() * 4) as f64 * 1e-9;

    let (mut kernel, mut histogram, mut streaming, mut prefetched) = (0f64, 0f64, 0f64, 0f64);
    for _ in 0..ROUNDS {
        streaming = streaming.max(gigabytes / seconds(|| streaming_read::<0>(black_box(&values))));
        prefetched = prefetched.max(gigabytes / seconds(|| streaming_read::<4096>(black_box(&values))));
        kernel = kernel.max(gigabytes / seconds(|| moments(black_box(&values))));
        histogram = histogram.max(gigabytes / seconds(|| moments_with_histogram(black_box(&values))));
    }
    let line = serde_json::json!({
        "megabytes": megabytes,
        "path": instruction_set(),
        "kernel_gbps": kernel,
        "kernel_histogram_gbps": histogram,
        "streaming_gbps": streaming,
        "prefetched_gbps": prefetched,
        "ratio": kernel / streaming,
        "ratio_histogram": histogram / streaming,
    });
    println!("{line}");
    Ok(())
}

fn seconds<R>(work: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

/// Values like those of a gradient: N(0, 1e-3^2), by Box-Muller.
fn gaussian(n: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let sample = |_| {
        let (u, v): (f32, f32) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos() * 1e-3
    };
    (0..n).map(sample).collect()
}

/// Exclusive or of all the bits: the least that a program which reads every value can do. With `AHEAD` above 0 it also
/// asks the memory for what lies that many values ahead, as the kernel does.
fn streaming_read<const AHEAD: usize>(values: &[f32]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    match instruction_set() {
        // SAFETY: the kernel reports AVX-512 only where it was detected.
        "avx512" => return unsafe { streaming_read_avx512::<AHEAD>(values) },
        // SAFETY: the kernel reports AVX2 only where it was detected.
        "avx2" => return unsafe { streaming_read_avx2::<AHEAD>(values) },
        _ => {}
    }
    exclusive_or::<AHEAD>(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn streaming_read_avx512<const AHEAD: usize>(values: &[f32]) -> u32 {
    exclusive_or::<AHEAD>(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn streaming_read_avx2<const AHEAD: usize>(values: &[f32]) -> u32 {
    exclusive_or::<AHEAD>(values)
}

#[inline(always)]
fn exclusive_or<const AHEAD: usize>(values: &[f32]) -> u32 {
    let mut lanes = [0u32; 64];
    let (groups, rest) = values.as_chunks::<64>();
    for group in groups {
        if AHEAD > 0 {
            for line in 0..4 {
                prefetch(group.as_ptr().wrapping_add(AHEAD + 16 * line));
            }
        }
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane ^= value.to_bits();
        }
    }
    lanes.iter().copied().chain(rest.iter().map(|value| value.to_bits())).fold(0, |all, bits| all ^ bits)
}

/// Asks for the line of memory at an address; nothing is read through it.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address, valid or not, has no effect a program can see; every x86-64 has SSE.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
