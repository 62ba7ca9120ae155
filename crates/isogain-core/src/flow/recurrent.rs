//! Back through time: which way the cotangent of a state takes to the state before.
//!
//! r_t = sum over paths of p_t, all that the recurrence carries from step t to the state before, is a sum;
//! |r_t|^2 = sum of <p_t, r_t> splits its energy exactly, as at a residual addition.

use super::PathShare;
use super::capture::PathCapture;
use super::values::{dot, rms};

/// Share of each path, the mean over the steps at which anything is carried.
pub(super) fn shares(paths: &[PathCapture]) -> Vec<PathShare> {
    let steps = paths.iter().map(|path| path.cotangents.len()).min().unwrap_or(0);
    let (mut sums, mut counted) = (vec![0.0; paths.len()], 0.0);
    for step in 0..steps {
        let parts: Vec<_> = paths.iter().map(|path| path.cotangents[step].to_f64()).collect();
        let mut carried = vec![0.0; parts[0].len()];
        for part in &parts {
            carried.iter_mut().zip(part.iter()).for_each(|(sum, value)| *sum += value);
        }
        let scale = rms(&carried);
        if scale > 0.0 && scale.is_finite() {
            counted += 1.0;
            // Unit vectors first: the squares of small cotangents leave the range of f64.
            let unit = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value / scale).collect() };
            let carried = unit(&carried);
            for (sum, part) in sums.iter_mut().zip(&parts) {
                *sum += dot(&unit(part), &carried) / carried.len() as f64;
            }
        }
    }
    let share = |(path, sum): (&PathCapture, f64)| PathShare { path: path.name.clone(), share: sum / counted };
    if counted > 0.0 { paths.iter().zip(sums).map(share).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;

    #[test]
    fn shares_add_up_to_one_at_any_scale() {
        let path = |name: &str, values: [f64; 2], scale: f64| PathCapture {
            name: name.into(),
            cotangents: vec![Values::from(values.map(|value| value * scale).to_vec()), Values::from(vec![0.0; 2])],
        };
        for scale in [1.0, 1e-250] {
            let found = shares(&[path("forget", [3.0, 0.0], scale), path("cell", [1.0, 2.0], scale)]);
            // r = (4, 2): <p, r> = 12 and 8 of 20; the second step carries nothing
            let close = |share: f64, expected: f64| (share - expected).abs() < 1e-14;
            assert!(close(found[0].share, 0.6) && close(found[1].share, 0.4), "{found:?}");
        }
        assert!(shares(&[]).is_empty());
    }
}
