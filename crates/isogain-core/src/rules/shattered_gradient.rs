//! Neighbouring inputs whose gradients have nothing in common.

use super::finding::{number, whole};
use super::{Case, Finding, Rule};
use crate::flow::shattering::POINTS;
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "shattered-gradient",
    code: "G031",
    summary: "neighbouring inputs get gradients that have nothing in common (a note)",
    page: include_str!("shattered-gradient.md"),
    explains: &[],
    check,
};

/// Correlation of dL/dx between neighbours below which one says nothing of the other. White noise scatters by 0.1 to 0.2
/// over the points of an arc.
pub(super) const GRADIENTS: f64 = 0.2;
/// The same of the activations before the head, as a control: residual networks with batch norm keep 0.9 over 80 layers
/// and train, while their gradients fall below 0.2.
const ACTIVATIONS: f64 = 0.5;

/// A note: plain networks of 20 and 30 layers with batch norm are shattered and learn the digits.
fn check(case: &Case<'_>) -> Option<Finding> {
    let shattering = case.start.shattering.as_ref()?;
    let (gradients, activations) = (shattering.gradient_correlation, shattering.activation_correlation);
    if !(gradients < GRADIENTS && activations < ACTIVATIONS) {
        return None;
    }
    let message = format!(
        "inputs that are neighbours get gradients that have nothing in common: their correlation is {}, that of the \
         activations before the head {}",
        number(gradients),
        number(activations)
    );
    let neighbours = (std::f64::consts::FRAC_PI_2 / (POINTS - 1) as f64).cos();
    Some(
        Finding::new(RULE.name, Level::Note, whole(case), message)
            .against(
                "correlation of dL/dx between neighbours",
                gradients,
                GRADIENTS,
                "white noise has 0 up to 0.2; ReLU of 30 layers without batch norm has 0.8",
            )
            .against(
                "the same of the activations before the head",
                activations,
                ACTIVATIONS,
                "residual networks with batch norm keep 0.9 over 80 layers and train",
            )
            .with("the same of the inputs themselves", neighbours)
            .remedies(&["add-skip", "insert-layer-norm", "rescale-init"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(depth: usize, more: &str) -> Option<Finding> {
        Bench::new(&format!("[network]\ndepth = {depth}\nwidth = 64\n{more}\n")).ask("shattered-gradient")
    }

    #[test]
    fn batch_norm_shatters_and_skips_hold_together() {
        let batch_norm = "init = \"he-normal\"\nnorm = \"batch\"";
        assert_eq!(ask(24, batch_norm).unwrap().level, Level::Note);
        assert_eq!(ask(5, batch_norm), None);
        assert_eq!(ask(80, &format!("kind = \"residual\"\n{batch_norm}")), None);
        assert_eq!(ask(24, "init = \"he-normal\"\nnorm = \"layer\""), None);
        assert_eq!(ask(50, "init = \"he-normal\""), None);
    }

    #[test]
    fn chaos_shatters_too() {
        let tanh = |gain: f64| {
            ask(24, &format!("activation = \"tanh\"\ninit = {{ name = \"glorot-normal\", gain = {gain:?} }}"))
        };
        assert_eq!(tanh(1.0), None);
        assert_eq!(tanh(5.0 / 3.0), None, "chaotic, and smooth at this depth");
        assert!(tanh(3.0).is_some());
    }

    #[test]
    fn without_a_measurement_nothing_is_said() {
        let mut bench = Bench::new("[network]\ndepth = 24\nwidth = 64\ninit = \"he-normal\"\nnorm = \"batch\"\n");
        bench.start.shattering = None;
        assert_eq!(bench.ask("shattered-gradient"), None);
    }
}
