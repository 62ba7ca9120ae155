//! Residual addition y = x + scale F(x): how skip and branch share the cotangent. Behind y = x with an auxiliary head beside it
//! cotangents add up in the same way, though the head's comes from a loss of its own.
//!
//! g_in = s + b with b = scale J_F^T g, and s = g or, where the skip is a projection, s = J_S^T g, is a sum, not a chain.
//! |g_in|^2 = <s, g_in> + <b, g_in> splits its energy exactly; the two terms are the Shapley values of the two-player
//! energy game. A gate T makes it b = J_F^T (T g); what else comes back, (1 - T) g and what goes through the gate itself, is
//! the skip's. Side by side, y = [x, F(x)], each has the features of its own.

use super::Branch;
use super::attribute::joints;
use super::capture::OpCapture;
use super::values::dot;
use super::{Values, values::rms};

/// Shares, ratio and cosine, and the branch's own chain.
pub(super) fn branch(op: &OpCapture, returned: &Values, batch: usize) -> Branch {
    let [inner, shortcut, gate] = op.ways();
    let (g_in, b) = (op.cotangent_in.to_f64(), returned.to_f64());
    // What is handed on as it is is not found by taking away.
    let is_sum = shortcut.is_empty() && gate.is_empty() && op.cotangent_out.len() == g_in.len();
    let g =
        if is_sum { op.cotangent_out.to_f64() } else { g_in.iter().zip(b.iter()).map(|(sum, b)| sum - b).collect() };
    let (rms_g, rms_in, rms_b) = (rms(&g), rms(&g_in), rms(&b));
    // Unit vectors first: the squares of small cotangents leave the range of f64.
    let cosine = |a: &[f64], rms_a: f64, c: &[f64], rms_c: f64| {
        if rms_a == 0.0 || rms_c == 0.0 {
            return 0.0;
        }
        let unit = |values: &[f64], rms: f64| -> Vec<f64> { values.iter().map(|value| value / rms).collect() };
        dot(&unit(a, rms_a), &unit(c, rms_c)) / a.len() as f64
    };
    let skip_share = if rms_in == 0.0 { 1.0 } else { cosine(&g, rms_g, &g_in, rms_in) * (rms_g / rms_in) };
    Branch {
        skip_share,
        branch_share: 1.0 - skip_share,
        ratio: if rms_b == 0.0 { 0.0 } else { rms_b / rms_g },
        cosine: cosine(&g, rms_g, &b, rms_b),
        joints: joints(inner, batch),
        shortcut: joints(shortcut, batch),
        gate: joints(gate, batch),
    }
}
