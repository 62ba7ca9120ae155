//! Every instruction set of the machine against the scalar one, on ordinary and on hostile values.

use proptest::prelude::*;

use super::*;

/// Values around every edge the kernel knows.
const SPECIAL: [f32; 18] = [
    0.0,
    -0.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    1e-45,
    -1e-45,
    1.1e-38,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    2.980_232_2e-8,
    -2.980_232_2e-8,
    65_519.9,
    65_520.0,
    1.0,
    -1.0,
    1e-20,
];

/// What `set` says of `values` against the scalar loop over the whole.
fn agrees_with_scalar(set: InstructionSet, values: &[f32]) -> Result<(), TestCaseError> {
    let (expected, mut expected_counts) = (scalar::moments(values), [0u64; 256]);
    for value in values {
        expected_counts[(value.to_bits() >> 23) as usize & 0xff] += 1;
    }
    let (found, histogram) = moments_with_histogram_on(set, values);
    prop_assert_eq!(found, moments_on(set, values), "{:?}: the histogram must not change the moments", set);
    prop_assert_eq!(histogram.counts(), &expected_counts, "{:?}", set);
    prop_assert_eq!(
        (found.count, found.zeros, found.non_finite),
        (expected.count, expected.zeros, expected.non_finite),
        "{:?}",
        set
    );
    prop_assert_eq!((found.min, found.max, found.abs_max), (expected.min, expected.max, expected.abs_max), "{:?}", set);
    let negative_zero = |m: &f64| *m == 0.0 && m.is_sign_negative();
    prop_assert!(![found.min, found.max].iter().flatten().any(negative_zero), "{:?}", set);
    let magnitude: f64 = values.iter().filter(|x| x.is_finite()).map(|x| f64::from(*x).abs()).sum();
    prop_assert!((found.sum - expected.sum).abs() <= 1e-12 * magnitude, "{:?} {:?} {:?}", set, found, expected);
    let squares = expected.sum_of_squares;
    prop_assert!((found.sum_of_squares - squares).abs() <= 1e-12 * squares, "{:?} {:?} {:?}", set, found, expected);
    Ok(())
}

fn any_bits() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -3.0f32..3.0, 1 => -1e-6f32..1e-6, 1 => Just(0.0), 1 => Just(-0.0)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn finite_values(values in prop::collection::vec(finite(), 0..1200), offset in 0usize..17) {
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values[offset.min(values.len())..])?;
        }
    }

    #[test]
    fn any_bit_pattern(values in prop::collection::vec(any_bits(), 0..700), offset in 0usize..17) {
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values[offset.min(values.len())..])?;
        }
    }

    #[test]
    fn one_special_value_anywhere(len in 1usize..400, at in any::<prop::sample::Index>(), which in 0..SPECIAL.len()) {
        let mut values: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
        values[at.index(len)] = SPECIAL[which];
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values)?;
        }
    }

    #[test]
    fn only_special_values(values in prop::collection::vec(prop::sample::select(&SPECIAL[..]), 0..400)) {
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values)?;
        }
    }

    #[test]
    fn sixteen_bit_values_are_the_values_they_widen_to(bits in prop::collection::vec(any::<u16>(), 0..9000)) {
        sixteen_bits(&bits)?;
    }

    /// Without what a block is read again for: neither a NaN nor a magnitude far from 1.
    #[test]
    fn sixteen_bit_values_of_ordinary_size(
        values in prop::collection::vec(finite(), 0..3000), factor in -30i32..30, sign in 0usize..3, zeros in 0..3,
    ) {
        let values = values.iter().enumerate().map(|(place, value)| {
            let value = value * 2.0_f32.powi(factor);
            let value = match sign {
                0 => value,
                1 => value.abs(),
                _ => -value.abs(),
            };
            if zeros == 0 && value == 0.0 { [0.5 - (place % 2) as f32, 0.5, -0.5][sign] } else { value }
        });
        let (halves, brains): (Vec<u16>, Vec<u16>) =
            values.map(|value| (f16::from_f32(value).to_bits(), bf16::from_f32(value).to_bits())).unzip();
        sixteen_bits(&halves)?;
        sixteen_bits(&brains)?;
    }
}

/// The bits as f16 and as bf16 against what they widen to.
fn sixteen_bits(bits: &[u16]) -> Result<(), TestCaseError> {
    let magnitudes = |wide: &[f32]| wide.iter().filter(|x| x.is_finite()).map(|x| f64::from(x.abs())).sum();
    let halves: Vec<f16> = bits.iter().map(|b| f16::from_bits(*b)).collect();
    let wide: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
    same_up_to_rounding(moments_with_histogram_f16(&halves), moments_with_histogram(&wide), magnitudes(&wide))?;
    prop_assert_eq!(moments_f16(&halves), moments_with_histogram_f16(&halves).0);
    let brains: Vec<bf16> = bits.iter().map(|b| bf16::from_bits(*b)).collect();
    let wide: Vec<f32> = brains.iter().map(|x| x.to_f32()).collect();
    same_up_to_rounding(moments_with_histogram_bf16(&brains), moments_with_histogram(&wide), magnitudes(&wide))?;
    prop_assert_eq!(moments_bf16(&brains), moments_with_histogram_bf16(&brains).0);
    Ok(())
}

/// As many values of one size as a block has are summed as the same value of f32 is, also where its square leaves f32.
#[test]
fn sixteen_bit_sums_hold_at_every_size() {
    for exponent in -133..=127 {
        let brain = bf16::from_f32(1.5 * 2.0_f32.powi(exponent));
        let half = f16::from_f32(brain.to_f32());
        let check = |found: Moments, value: f64| {
            let rms = found.rms().unwrap();
            assert!((rms - value).abs() <= 1e-6 * value && found.mean() == Some(value), "{value}: {found:?}");
        };
        check(moments_bf16(&vec![brain; BLOCK]), brain.to_f64());
        if half.is_finite() {
            check(moments_f16(&vec![half; BLOCK]), half.to_f64());
        }
    }
}

#[test]
fn every_sixteen_bit_pattern_widens_as_the_scalar_code_does() {
    let bits: Vec<u16> = (0..=u16::MAX).chain([1, 2, 3]).collect();
    let halves: Vec<f16> = bits.iter().map(|&bits| f16::from_bits(bits)).collect();
    let brains: Vec<bf16> = bits.iter().map(|&bits| bf16::from_bits(bits)).collect();
    // Which NaN it is does not matter.
    let same = |found: f32, expected: f32| found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
    for set in InstructionSet::available() {
        let mut wide = vec![0.0; bits.len()];
        half_precision::Half::widen(set, &halves, &mut wide);
        assert!(wide.iter().zip(&halves).all(|(found, half)| same(*found, half.to_f32())), "{set:?}");
        half_precision::Half::widen(set, &brains, &mut wide);
        assert!(wide.iter().zip(&brains).all(|(found, brain)| same(*found, brain.to_f32())), "{set:?}");
    }
}

/// Sums over 24 values may be taken in f32, so each is good to eight roundings of the sum of magnitudes; all else is the
/// same.
fn same_up_to_rounding(
    (found, histogram): (Moments, ExponentHistogram),
    (expected, expected_histogram): (Moments, ExponentHistogram),
    magnitudes: f64,
) -> Result<(), TestCaseError> {
    const ROUNDINGS: f64 = 8.0 / (1 << 24) as f64;
    prop_assert_eq!(histogram, expected_histogram);
    prop_assert!(
        (found.sum_of_squares - expected.sum_of_squares).abs() <= ROUNDINGS * expected.sum_of_squares,
        "{:?} {:?}",
        found,
        expected
    );
    prop_assert!((found.sum - expected.sum).abs() <= ROUNDINGS * magnitudes, "{:?} {:?}", found, expected);
    let sums = |m: Moments| Moments { sum: 0.0, sum_of_squares: 0.0, ..m };
    prop_assert_eq!(sums(found), sums(expected));
    Ok(())
}

#[test]
fn blocks_merged_in_order_are_the_whole_to_the_last_bit() {
    for len in [0, 1, 63, 64, BLOCK, BLOCK + 64, 3 * BLOCK + 67] {
        let values: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin() / (1 + i % 97) as f32).collect();
        let mut merged = Moments::default();
        blocks(&values).for_each(|block| merged.merge(&moments(block)));
        assert_eq!(merged, moments(&values), "{len}");
        assert_eq!(blocks(&values).map(<[f32]>::len).sum::<usize>(), len);
    }
}

#[test]
fn several_blocks_with_trouble_in_one() {
    for len in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 67] {
        let mut values: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).cos() * 1e-3).collect();
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values).unwrap();
        }
        values[len / 2] = f32::NAN;
        values[len - 1] = f32::INFINITY;
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &values).unwrap();
        }
    }
}

#[test]
fn a_block_of_one_exponent_does_not_overflow_a_counter() {
    for value in [1.0, 0.0, 1e-40, f32::MAX, f32::MIN_POSITIVE] {
        for set in InstructionSet::available() {
            agrees_with_scalar(set, &vec![value; 2 * BLOCK]).unwrap();
        }
    }
}

#[test]
fn blocks_of_every_width_are_counted_exactly() {
    // Widths around the windows' ends and the step to the table, at the top, the middle and the bottom of the range.
    for top in [254u32, 127, 50, 9, 8, 2] {
        for width in (1..=top.min(60)).chain([top]) {
            let value = |i: u32| f32::from_bits((top - i % width) << 23 | i.wrapping_mul(2_654_435_761) & 0x807f_ffff);
            let mut values: Vec<f32> = (0..1024).map(value).collect();
            values[7] = 1e-45;
            for set in InstructionSet::available() {
                agrees_with_scalar(set, &values).unwrap();
            }
        }
    }
}

#[test]
fn squares_below_the_range_of_f32_are_kept() {
    let m = moments(&[1e-30; 640]);
    let expected = f64::from(1e-30f32);
    assert!((m.rms().unwrap() / expected - 1.0).abs() < 1e-12);
}

#[test]
fn f64_values_keep_their_precision_and_range() {
    let m = moments_f64(&[1.0 + 1e-15, -1e-200, f64::NAN, 0.0]);
    assert_eq!((m.max, m.min, m.zeros, m.non_finite), (Some(1.0 + 1e-15), Some(-1e-200), 1, 1));
    let long: Vec<f64> = (0..40_000).map(|i| f64::from(i % 7)).collect();
    let m = moments_f64(&long);
    assert_eq!(m.sum, long.iter().sum::<f64>());
    assert_eq!(m.count, 40_000);
}
