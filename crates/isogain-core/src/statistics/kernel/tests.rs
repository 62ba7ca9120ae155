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
        let halves: Vec<f16> = bits.iter().map(|b| f16::from_bits(*b)).collect();
        let wide: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
        same_up_to_rounding(moments_with_histogram_f16(&halves), moments_with_histogram(&wide))?;
        prop_assert_eq!(moments_f16(&halves), moments_with_histogram_f16(&halves).0);
        let brains: Vec<bf16> = bits.iter().map(|b| bf16::from_bits(*b)).collect();
        let wide: Vec<f32> = brains.iter().map(|x| x.to_f32()).collect();
        same_up_to_rounding(moments_with_histogram_bf16(&brains), moments_with_histogram(&wide))?;
        prop_assert_eq!(moments_bf16(&brains), moments_with_histogram_bf16(&brains).0);
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

fn same_up_to_rounding(
    (found, histogram): (Moments, ExponentHistogram),
    (expected, expected_histogram): (Moments, ExponentHistogram),
) -> Result<(), TestCaseError> {
    prop_assert_eq!(histogram, expected_histogram);
    prop_assert!((found.sum_of_squares - expected.sum_of_squares).abs() <= 1e-12 * expected.sum_of_squares);
    let scale = (expected.sum_of_squares * expected.count as f64).sqrt();
    prop_assert!((found.sum - expected.sum).abs() <= 1e-12 * scale);
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
