//! Whether the gradient's change through the body is more than random weights of this shape do now and then.

use super::finding::number;
use super::{Case, Finding};
use crate::flow::profile::Profile;
use crate::network::OpKind;
use crate::theory::activations::Activation;
use crate::theory::slope::SlopeTest;

/// Share of healthy networks that may raise an alarm.
const LEVEL: f64 = 0.05;

impl Finding {
    /// The same finding with the probability of such a slope under healthy initialisation, where that has a law: a chain of
    /// linear operations and one activation that is linear on both sides of 0.
    pub(super) fn with_slope(self, case: &Case<'_>) -> Self {
        let Some(test) = test(case) else { return self };
        let source = format!(
            "{} deviations from the {} ± {} nepers of healthy He weights in these widths",
            number(test.z.abs()),
            number(test.mean),
            number(test.deviation)
        );
        self.against("probability of so large a change by chance, two-sided", test.p_value, LEVEL, source)
    }
}

fn test(case: &Case<'_>) -> Option<SlopeTest> {
    // A network of which only statistics are known may have skips that they do not show.
    case.start.flow.total_log_gain?;
    let (activation, widths) = chain(case)?;
    let layers = Profile::of(&case.start.flow).layers;
    let [first, .., last] = layers.as_slice() else { return None };
    if layers.len() != widths.len() {
        return None;
    }
    let log_gain = (first.cotangent_rms / last.cotangent_rms).ln();
    SlopeTest::new(log_gain, activation, &widths, case.start.batch)
}

/// The activation of all layers of the body and their widths; `None` where it is no such chain.
fn chain(case: &Case<'_>) -> Option<(Activation, Vec<usize>)> {
    let body = &case.network.ops[..case.network.head()?];
    let mut widths = Vec::new();
    let mut found: Option<Activation> = None;
    for pair in body.chunks(2) {
        let [linear, activation] = pair else { return None };
        match (&linear.kind, &activation.kind) {
            (OpKind::Linear(linear), OpKind::Activation { activation })
                if activation.slopes().is_some() && found.is_none_or(|found| found == *activation) =>
            {
                found = Some(*activation);
                widths.push(linear.fan_out);
            }
            _ => return None,
        }
    }
    Some((found?, widths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn tested(recipe: &str) -> Option<SlopeTest> {
        test(&Bench::new(recipe).case())
    }

    #[test]
    fn chains_of_relus_have_a_law() {
        let of = |more: &str| tested(&format!("[network]\ndepth = 12\nwidth = 48\n{more}"));
        let healthy = of("init = \"he-normal\"").unwrap();
        assert!(healthy.p_value > 0.05, "{healthy:?}");
        let vanishing = of("").unwrap();
        assert!(vanishing.z < -10.0 && vanishing.p_value < 1e-20, "{vanishing:?}");
        let exploding = of("init = { name = \"normal\", weight_variance = 6.0 }").unwrap();
        assert!(exploding.z > 5.0 && exploding.p_value < 1e-6, "{exploding:?}");
        assert!(of("activation = \"leaky-relu\"\ninit = \"he-normal\"").unwrap().p_value > 0.05);
        for other in ["activation = \"tanh\"", "norm = \"batch\"", "kind = \"residual\""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn findings_say_how_likely_the_slope_is() {
        for (rule, init) in [("vanishing-gradient", "pytorch-default"), ("exploding-gradient", "normal")] {
            let init =
                if init == "normal" { "{ name = \"normal\", weight_variance = 12.0 }" } else { "\"pytorch-default\"" };
            let bench = Bench::new(&format!("[network]\ndepth = 12\nwidth = 32\ninit = {init}\n"));
            let finding = bench.ask(rule).unwrap();
            let evidence = finding.evidence.iter().find(|evidence| evidence.name.starts_with("probability")).unwrap();
            assert!(evidence.value.unwrap() < 1e-6 && evidence.threshold == Some(0.05), "{rule}: {evidence:?}");
        }
    }
}
