//! Weights and gradients that contradict an exact law of the network.

use super::finding::number;
use super::measure::by_joint;
use super::{Case, Finding, Rule};
use crate::conservation::{BrokenLaw, Law, TOLERATED_SHARE};
use crate::network::{Norm, NormKind, Op, OpKind};
use crate::recipe::Level;
use crate::record::Snapshot;

pub(super) static RULE: Rule = Rule {
    name: "inconsistent-gradient",
    code: "G037",
    summary: "weights and gradients contradict an exact law of this network",
    page: include_str!("inconsistent-gradient.md"),
    explains: &[],
    check,
};

/// A norm's eps over eps and variance, times this, that explains what is broken: the variance is a mean over units, of which
/// some have less.
const UNITS_DIFFER: f64 = 10.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    let both = [Some(case.start), case.end];
    let of = |seen| (seen, told(case, seen));
    let (seen, told) = both.into_iter().flatten().map(of).find(|(_, told)| !told.is_empty())?;
    let count = told.len();
    // What only a norm's eps breaks says nothing beside a gradient that is wrong.
    let rank = |(law, eps): &(&BrokenLaw, Option<Eps>)| (eps.is_none(), law.share);
    let (worst, eps) = told.into_iter().max_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    })?;
    let [first, last] = [worst.layers.first()?, worst.layers.last()?];
    let (level, message) = match &eps {
        Some(eps) => (
            Level::Note,
            format!(
                "the norm behind {first} adds eps = {} to a variance of {}: it normalises only in part, and the gradient still \
                 changes the scale of the weights",
                number(eps.eps),
                number(eps.variance)
            ),
        ),
        None => (Level::Warn, contradiction(worst)),
    };
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .at(seen.step)
        .against(
            "|left - right| of the law over |W| |dW| of what stands in it",
            worst.share,
            TOLERATED_SHARE,
            "rounding in f32 leaves less than a tenth of that",
        )
        .with("left side", worst.left)
        .with("right side", worst.right)
        .with("laws that are broken", count as f64);
    if let Some(eps) = eps {
        finding = finding.with("eps over eps and variance", eps.share());
    }
    Some(finding)
}

fn contradiction(broken: &BrokenLaw) -> String {
    let (first, last) = match broken.layers.as_slice() {
        // A layer is read by the next one and by auxiliary heads.
        [first, readers @ ..] => (first.as_str(), readers.join(" with ")),
        [] => ("", String::new()),
    };
    match broken.law {
        Law::HandedOn => format!(
            "the gradients of {first} and {last} do not belong together: <W, dW> with bias is {} in one and <W, dW> {} in the \
             other, and must be the same",
            number(broken.left),
            number(broken.right)
        ),
        Law::ScaleInvariance => format!(
            "a norm makes the scale of {first} meaningless, and its gradient changes it: <W, dW> is {} and must be 0",
            number(broken.left)
        ),
        Law::QueriesAndKeys => format!(
            "the gradients of queries and keys of {first} do not belong together: <W, dW> is {} and {}, and must be the same",
            number(broken.left),
            number(broken.right)
        ),
    }
}

/// The eps of a norm beside the variance that it is added to.
struct Eps {
    eps: f64,
    variance: f64,
}

impl Eps {
    fn share(&self) -> f64 {
        self.eps / (self.eps + self.variance)
    }
}

/// The laws that are broken for a reason, with the eps that is one. Units that hardly vary are left out where eps is measured to
/// break a law and the mean variance does not show it: their gradient is right, and it is meant to be small.
fn told<'a>(case: &Case<'_>, seen: &'a Snapshot) -> Vec<(&'a BrokenLaw, Option<Eps>)> {
    let one = |law: &'a BrokenLaw| match law.is_by_eps() {
        Some(true) => eps(case, seen, law).map(|eps| (law, Some(eps))),
        Some(false) => Some((law, None)),
        None => Some((law, eps(case, seen, law))),
    };
    seen.broken_laws.iter().filter_map(one).collect()
}

/// The eps of the norm behind the layer, where it explains what is broken.
fn eps(case: &Case<'_>, seen: &Snapshot, broken: &BrokenLaw) -> Option<Eps> {
    if broken.law != Law::ScaleInvariance {
        return None;
    }
    let (norm, before) = norm_behind(&case.network.ops, broken.layers.first()?)?;
    let activation = &by_joint(&seen.joints).get(before)?.activation;
    let variance = if norm.norm == NormKind::Rms { activation.mean_square()? } else { activation.variance()? };
    let eps = Eps { eps: norm.eps, variance };
    (UNITS_DIFFER * eps.share() >= broken.share).then_some(eps)
}

/// The first norm after an operation in the same chain, and the operation just before that norm.
fn norm_behind<'a>(ops: &'a [Op], name: &str) -> Option<(&'a Norm, &'a str)> {
    if let Some(at) = ops.iter().position(|op| op.name == name) {
        return ops[at..].windows(2).find_map(|pair| match &pair[1].kind {
            OpKind::Norm(norm) => Some((norm, pair[0].name.as_str())),
            _ => None,
        });
    }
    ops.iter().find_map(|op| match &op.kind {
        OpKind::Residual(residual) => {
            norm_behind(&residual.branch, name).or_else(|| norm_behind(&residual.shortcut, name))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(bench: &Bench) -> Option<Finding> {
        bench.ask("inconsistent-gradient")
    }

    #[test]
    fn right_gradients_keep_every_law() {
        for network in [
            "depth = 12\ninit = \"he-normal\"\n",
            "depth = 12\n",
            "depth = 12\nactivation = \"tanh\"\n",
            "depth = 12\nnorm = \"batch\"\n",
            "depth = 12\nnorm = \"layer\"\n",
            "depth = 12\nnorm = \"rms\"\nactivation = \"gelu\"\n",
            "kind = \"residual\"\ndepth = 6\nnorm = \"batch\"\n",
        ] {
            let bench = Bench::new(&format!("[network]\nwidth = 32\n{network}"));
            assert_eq!(ask(&bench), None, "{network}");
        }
    }

    #[test]
    fn an_eps_that_is_not_small_is_named() {
        for norm in ["batch", "layer", "rms", "group"] {
            let recipe = format!("[network]\ndepth = 8\nwidth = 32\nnorm = \"{norm}\"\nnorm_eps = 0.5\n");
            let finding = ask(&Bench::new(&recipe)).unwrap();
            assert_eq!(finding.level, Level::Note);
            assert!(finding.message.contains("adds eps = 0.500 to a variance of "), "{}", finding.message);
        }
    }

    /// Where only a few units have a variance that eps is no small number beside, the mean does not show it, and the gradient is
    /// right: a batch norm over two samples, whose gradient is eps's alone.
    #[test]
    fn an_eps_that_matters_to_few_units_is_none() {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 32\nnorm = \"batch\"\n");
        let mut left_by_eps = |left_by_eps| {
            let (layers, share) = (vec!["fc2".into()], 0.1);
            let law = BrokenLaw { law: Law::ScaleInvariance, layers, left: 0.5, right: 0.0, share, left_by_eps };
            bench.start.broken_laws = vec![law];
            ask(&bench).map(|finding| finding.level)
        };
        assert_eq!(left_by_eps(Some(0.499)), None);
        assert_eq!(left_by_eps(Some(0.1)), Some(Level::Warn), "more than eps leaves");
        assert_eq!(left_by_eps(None), Some(Level::Warn), "nobody measured it");
    }

    /// A gradient that a step before left behind.
    #[test]
    fn a_gradient_of_other_weights_is_noticed() {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 32\ninit = \"he-normal\"\n");
        bench.start.broken_laws = vec![BrokenLaw {
            law: Law::HandedOn,
            layers: vec!["fc1".into(), "fc2".into()],
            left: 0.5,
            right: -0.25,
            share: 0.1,
            left_by_eps: None,
        }];
        let finding = ask(&bench).unwrap();
        assert_eq!((finding.level, finding.layers.clone()), (Level::Warn, ["fc1".into(), "fc2".into()]));
        assert!(finding.message.contains("0.500 in one and <W, dW> -0.250"), "{}", finding.message);
    }
}
