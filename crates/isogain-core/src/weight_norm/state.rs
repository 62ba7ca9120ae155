//! The weights from state to state of a recurrent layer, where they are computed from what is trained: orthogonal, each
//! gate's by itself, or antisymmetric.

use super::polar;
use crate::network::Recurrent;
use crate::theory::recurrent::DIFFUSION;

impl Recurrent {
    /// Whether the weights from state to state are computed from others.
    pub fn computes_hidden_weight(&self) -> bool {
        self.orthogonal || self.antisymmetric_step.is_some()
    }

    /// What is trained at first, `[units, gates x units]`, of weights as they are drawn; see
    /// [`WeightNorm::trained`](super::WeightNorm::trained) for why.
    pub fn trained_hidden_weight(&self, drawn: Vec<f64>) -> Vec<f64> {
        if self.orthogonal { self.hidden_weight(&drawn) } else { drawn }
    }

    /// What the state is multiplied by, of what is trained, both `[units, gates x units]`: each gate's nearest orthogonal matrix,
    /// or U - U^T - gamma I.
    pub fn hidden_weight(&self, trained: &[f64]) -> Vec<f64> {
        let units = self.units;
        if self.orthogonal {
            return beside(blocks(trained, units).map(|block| polar::nearest(&block, units)), units);
        }
        if self.antisymmetric_step.is_some() {
            let mut weight = less_transposed(trained, units);
            weight.iter_mut().step_by(units + 1).for_each(|value| *value -= DIFFUSION);
            return weight;
        }
        trained.to_vec()
    }

    /// The gradient of what is trained from that of [`Self::hidden_weight`].
    pub fn pull_hidden_weight(&self, trained: &[f64], gradient: &[f64]) -> Vec<f64> {
        let units = self.units;
        if self.orthogonal {
            let both = blocks(trained, units).zip(blocks(gradient, units));
            return beside(both.map(|(block, slopes)| polar::pull(&block, &slopes, units)), units);
        }
        if self.antisymmetric_step.is_some() {
            return less_transposed(gradient, units);
        }
        gradient.to_vec()
    }
}

/// M - M^T of a square matrix.
fn less_transposed(matrix: &[f64], units: usize) -> Vec<f64> {
    let entry = |row: usize, column: usize| matrix[row * units + column];
    (0..units * units).map(|at| (at / units, at % units)).map(|(i, j)| entry(i, j) - entry(j, i)).collect()
}

/// Square matrices that stand side by side.
fn blocks(matrix: &[f64], units: usize) -> impl Iterator<Item = Vec<f64>> {
    let width = matrix.len() / units.max(1);
    let rows = move || matrix.chunks_exact(width.max(1));
    (0..width).step_by(units.max(1)).map(move |from| rows().flat_map(|row| &row[from..][..units]).copied().collect())
}

fn beside(blocks: impl Iterator<Item = Vec<f64>>, units: usize) -> Vec<f64> {
    let blocks: Vec<Vec<f64>> = blocks.collect();
    (0..units).flat_map(|row| blocks.iter().flat_map(move |block| &block[row * units..][..units])).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;
    use crate::network::Cell;
    use crate::theory::activations::Activation;
    use crate::theory::initializers::Initializer;

    fn layer(cell: Cell, units: usize) -> Recurrent {
        let init = Initializer::pytorch_default();
        Recurrent {
            cell,
            inputs: 1,
            units,
            steps: 1,
            init,
            hidden_init: init,
            activation: Activation::linear(),
            forget_bias: None,
            vanishing_penalty: None,
            antisymmetric_step: None,
            diagonal: false,
            oscillator: None,
            orthogonal: false,
        }
    }

    /// Gate by gate: what one block is changes nothing of another.
    #[test]
    fn blocks_are_orthogonal_each_by_itself() {
        let (units, gates) = (4, 3);
        let layer = Recurrent { orthogonal: true, ..layer(Cell::Gru, units) };
        let v = numbers(units * gates * units, 0.5);
        let w = layer.hidden_weight(&v);
        let slopes = numbers(v.len(), 1.5);
        let pulled = layer.pull_hidden_weight(&v, &slopes);
        let pairs = blocks(&v, units).zip(blocks(&w, units)).zip(blocks(&slopes, units).zip(blocks(&pulled, units)));
        let mut found = 0;
        for ((v, w), (slopes, pulled)) in pairs {
            let sizes = crate::weights::singular_values(&w, units, units);
            assert!(sizes.iter().all(|size| (size - 1.0).abs() < 1e-12), "{sizes:?}");
            assert_eq!((w, pulled), (polar::nearest(&v, units), polar::pull(&v, &slopes, units)));
            found += 1;
        }
        assert_eq!(found, gates);
    }

    /// <x, A x> = -gamma |x|^2 for every x, so that all eigenvalues have this real part; and the pull is the adjoint of the
    /// linear part: <M, U - U^T> = <pull M, U>.
    #[test]
    fn an_antisymmetric_matrix_turns_and_does_not_stretch() {
        let units = 5;
        let layer = Recurrent { antisymmetric_step: Some(0.1), ..layer(Cell::Rnn, units) };
        let (trained, slopes, x) = (numbers(units * units, 0.5), numbers(units * units, 1.5), numbers(units, 2.5));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let weight = layer.hidden_weight(&trained);
        let turned: Vec<f64> = weight.chunks_exact(units).map(|row| dot(row, &x)).collect();
        assert!((dot(&x, &turned) + DIFFUSION * dot(&x, &x)).abs() < 1e-12);
        assert!(dot(&turned, &turned) > dot(&x, &x), "it moves x");
        let still = layer.hidden_weight(&vec![0.0; units * units]);
        let moved: Vec<f64> = weight.iter().zip(&still).map(|(w, at_zero)| w - at_zero).collect();
        let pulled = layer.pull_hidden_weight(&trained, &slopes);
        assert!((dot(&slopes, &moved) - dot(&pulled, &trained)).abs() < 1e-12);
    }
}
