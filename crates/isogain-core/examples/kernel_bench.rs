//! Speed of the statistics kernel against a plain streaming read of the same buffer.
//!
//!     echo 65536 | kernel_bench
//!
//! For each line on its input, a number of kilobytes, it prints a JSON line with gigabytes per second, the best of some
//! rounds. Only ratios mean something across machines; the rounds are interleaved so that all sides see the same machine.
//!
//! `streaming` is a plain read at the kernel's own vector width. The kernel asks the memory for data ahead of time, so it
//! can be faster; `prefetched` is a read that does the same. `two_threads` are two kernels on half of the buffer each.

use std::hint::black_box;
use std::io::BufRead;
use std::sync::Barrier;
use std::time::Instant;

use half::{bf16, f16};
use isogain_core::statistics::kernel::{
    instruction_set, moments, moments_bf16, moments_f16, moments_with_histogram, moments_with_histogram_bf16,
    moments_with_histogram_f16,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Interleaved rounds.
const ROUNDS: usize = 15;
/// Bytes that a measurement reads at least, so that a clock's resolution does not matter.
const AT_LEAST: usize = 16 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let kilobytes: usize =
            line.trim().parse().map_err(|error| format!("not a number of kilobytes: '{line}' ({error})"))?;
        println!("{}", measured(kilobytes.max(1)));
    }
    Ok(())
}

/// Something that reads a buffer, and the most gigabytes per second that it did.
struct Kind<'a> {
    name: &'static str,
    best: f64,
    work: Box<dyn Fn() + 'a>,
}

impl<'a> Kind<'a> {
    fn of<R>(name: &'static str, work: impl Fn() -> R + 'a) -> Self {
        let work = Box::new(move || {
            black_box(work());
        });
        Self { name, best: 0.0, work }
    }
}

/// Gigabytes per second of everything on buffers of this size.
fn measured(kilobytes: usize) -> serde_json::Value {
    let bytes = kilobytes * 1024;
    let values = gaussian(bytes / 4);
    // With room from the start, as `values` have it: a buffer that grew has no large pages of memory.
    let (mut halves, mut brains) = (Vec::with_capacity(bytes / 2), Vec::with_capacity(bytes / 2));
    halves.extend(values.iter().cycle().take(bytes / 2).map(|&value| f16::from_f32(value)));
    brains.extend(values.iter().cycle().take(bytes / 2).map(|&value| bf16::from_f32(value)));
    let (x, h, b) = (&values, &halves, &brains);
    let mut kinds = vec![
        Kind::of("streaming", || streaming_read::<0>(black_box(x))),
        Kind::of("prefetched", || streaming_read::<4096>(black_box(x))),
        Kind::of("kernel", || moments(black_box(x))),
        Kind::of("histogram", || moments_with_histogram(black_box(x))),
        Kind::of("f16", || moments_f16(black_box(h))),
        Kind::of("f16_histogram", || moments_with_histogram_f16(black_box(h))),
        Kind::of("bf16", || moments_bf16(black_box(b))),
        Kind::of("bf16_histogram", || moments_with_histogram_bf16(black_box(b))),
    ];
    let times = AT_LEAST.div_ceil(bytes);
    let mut two_threads: f64 = 0.0;
    for _ in 0..ROUNDS {
        for kind in &mut kinds {
            let start = Instant::now();
            (0..times).for_each(|_| (kind.work)());
            kind.best = kind.best.max((times * bytes) as f64 / start.elapsed().as_nanos() as f64);
        }
        two_threads = two_threads.max((times * bytes) as f64 / on_two_threads(x, times) / 1e9);
    }
    let mut line: serde_json::Map<String, serde_json::Value> =
        kinds.into_iter().map(|kind| (kind.name.to_string(), kind.best.into())).collect();
    line.insert("two_threads".into(), two_threads.into());
    line.insert("kilobytes".into(), kilobytes.into());
    line.insert("path".into(), instruction_set().into());
    line.into()
}

/// Seconds in which two threads that are already there read half of the values each, so many times.
fn on_two_threads(values: &[f32], times: usize) -> f64 {
    let ready = Barrier::new(2);
    let (first, second) = values.split_at(values.len() / 2);
    let work = |half: &[f32]| {
        ready.wait();
        let start = Instant::now();
        for _ in 0..times {
            black_box(moments(black_box(half)));
        }
        start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(second));
        let own = work(first);
        other.join().map_or(f64::NAN, |other| own.max(other))
    })
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
