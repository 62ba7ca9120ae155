//! Softmax over the features of a sample: y_i = exp(x_i) / sum exp(x), dL/dx_i = y_i (g_i - sum_j y_j g_j).

pub(super) fn forward(input: &[f64], batch: usize) -> Vec<f64> {
    let mut output = input.to_vec();
    for row in output.chunks_exact_mut((input.len() / batch).max(1)) {
        // Shifted by the largest, so that no exponential overflows.
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let total: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= total);
    }
    output
}

pub(super) fn backward(output: &[f64], cotangent: &[f64], batch: usize) -> Vec<f64> {
    let features = (output.len() / batch).max(1);
    let rows = output.chunks_exact(features).zip(cotangent.chunks_exact(features));
    rows.flat_map(|(y, g)| {
        let mean: f64 = y.iter().zip(g).map(|(y, g)| y * g).sum();
        y.iter().zip(g).map(move |(y, g)| y * (g - mean))
    })
    .collect()
}
