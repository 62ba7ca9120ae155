//! The exact laws, asked of a traced model's weights and gradients.
//!
//! Weights are taken as the operations multiply by them: of one that is computed (spectral norm, a parametrisation) the laws
//! hold too, with the gradient of what is computed.

use std::collections::HashMap;

use crate::conservation::{BrokenLaw, Pair, Units, broken, tolerated_share};
use crate::flow::Values;
use crate::flow::capture::Capture;
use crate::network::Network;

use super::buffers::Buffers;
use super::{BufferId, TraceError, Traced, TracedKind, TracedOp};

/// A weight or bias with its gradient; none where the gradient is not the operation's own, or the parameter is frozen.
struct Term {
    values: Values,
    gradient: Option<Values>,
    units: Units,
}

/// The laws that the model's gradients contradict.
pub(super) fn broken_laws(
    traced: &Traced,
    network: &Network,
    capture: &Capture,
    buffers: Buffers<'_>,
) -> Result<Vec<BrokenLaw>, TraceError> {
    let mut terms = HashMap::new();
    collect(&traced.ops, buffers, &mut terms)?;
    let pair = |name: &str| {
        let term = terms.get(name)?;
        Some(Pair {
            weight: term.values.clone(),
            gradient: term.gradient.clone().unwrap_or_else(|| Vec::<f64>::new().into()),
            units: term.units,
        })
    };
    Ok(broken(network, pair, |norm| capture.radial(norm), tolerated_share(traced.unit_roundoff)))
}

fn collect(ops: &[TracedOp], buffers: Buffers<'_>, terms: &mut HashMap<String, Term>) -> Result<(), TraceError> {
    let mut last = None;
    for op in ops {
        match &op.kind {
            TracedKind::Linear { weight, weight_gradient, own, .. }
            | TracedKind::Convolution { weight, weight_gradient, own, .. } => {
                let mut put = |what: &str, values: BufferId, gradient: Option<BufferId>, units: Units| {
                    let get = |buffer| buffers.get(&op.name, buffer);
                    let term = Term { values: get(values)?, gradient: gradient.map(get).transpose()?, units };
                    terms.insert(format!("{}.{what}", op.name), term);
                    Ok::<(), TraceError>(())
                };
                let units = match &op.kind {
                    TracedKind::Linear { units, .. } => *units,
                    _ => Units::Rows,
                };
                put("weight", *weight, weight_gradient.filter(|_| own.is_some()), units)?;
                if let Some(bias) = own.and_then(|own| own.bias) {
                    put("bias", bias.values, bias.gradient, units)?;
                }
                last = Some(format!("{}.weight", op.name));
            }
            // Which of the units before it are queries, keys and values, or what becomes of them, nobody says.
            TracedKind::Attention { homogeneous: false, .. } => {
                if let Some(term) = last.as_ref().and_then(|name| terms.get_mut(name)) {
                    term.units = Units::Unknown;
                }
            }
            TracedKind::Residual { branch, shortcut, .. } => {
                collect(branch, buffers, terms)?;
                collect(shortcut, buffers, terms)?;
            }
            _ => {}
        }
    }
    Ok(())
}
