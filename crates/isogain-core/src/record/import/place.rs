//! What a curve is, told by its name: the conventions of the programs that write such files.

/// A curve's place in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The loss; where several are, the one of the lowest rank.
    Loss(usize),
    /// The learning rate; as the loss.
    LearningRate(usize),
    /// A size at an operation's output.
    Joint(String, Joint),
    /// A size of a parameter.
    Parameter(String, Parameter),
    /// A number of the clipping, by its name.
    Clip(&'static str),
    /// Something that has no place on the page.
    Other,
}

/// Which tensor of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Activation,
    Cotangent,
}

/// Which tensor of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Weight,
    Gradient,
    Update,
}

/// Names of a training loss, the best first. isogain and trackers; PyTorch's tutorial; Lightning; Keras; Transformers.
const LOSSES: [&str; 12] = [
    "loss",
    "train/loss",
    "train_loss",
    "loss/train",
    "train_loss_step",
    "train/loss_step",
    "training_loss",
    "training loss",
    "batch_loss",
    "epoch_loss",
    "train/epoch_loss",
    "train_loss_epoch",
];

/// Names of a learning rate, the best first.
const RATES: [&str; 5] = ["learning_rate", "train/learning_rate", "lr", "train/lr", "epoch_learning_rate"];

/// Beginnings of names of sizes by operation: isogain's own export.
const JOINTS: [(&str, Joint); 2] = [("activation_rms/", Joint::Activation), ("cotangent_rms/", Joint::Cotangent)];

/// Beginnings of names of sizes by parameter: isogain's own export; Lightning's `grad_norm`; Weights & Biases' `watch`; what
/// people write by hand.
const PARAMETERS: [(&str, Parameter); 14] = [
    ("weight_rms/", Parameter::Weight),
    ("gradient_rms/", Parameter::Gradient),
    ("update_rms/", Parameter::Update),
    ("grad_1.0_norm/", Parameter::Gradient),
    ("grad_2.0_norm/", Parameter::Gradient),
    ("grad_inf_norm/", Parameter::Gradient),
    ("grad_norm/", Parameter::Gradient),
    ("gradients/", Parameter::Gradient),
    ("gradient/", Parameter::Gradient),
    ("grads/", Parameter::Gradient),
    ("grad/", Parameter::Gradient),
    ("parameters/", Parameter::Weight),
    ("weights/", Parameter::Weight),
    ("weight/", Parameter::Weight),
];

/// Ends of such names.
const ENDS: [(&str, Parameter); 5] = [
    ("/grad", Parameter::Gradient),
    (".grad", Parameter::Gradient),
    ("/gradient", Parameter::Gradient),
    ("_grad", Parameter::Gradient),
    ("/grad_norm", Parameter::Gradient),
];

/// Names of the norm of all gradients together.
const WHOLE: [&str; 6] =
    ["grad_norm", "train/grad_norm", "gradient_norm", "grad_2.0_norm_total", "total_grad_norm", "global_grad_norm"];

/// What such a norm is called on the page.
const ALL: &str = "all parameters";

const CLIP: [&str; 4] = ["clip/norm_before", "clip/norm_after", "clip/cosine", "clip/acted"];

/// The place of a curve of this name; a histogram that is nothing else is one of a parameter's values, as
/// `add_histogram(name, parameter)` writes it.
pub(super) fn place(name: &str, is_histogram: bool) -> Place {
    let lower = name.to_lowercase();
    let rank = |names: &[&str]| names.iter().position(|known| *known == lower);
    if let Some(clip) = CLIP.into_iter().find(|known| *known == lower) {
        return Place::Clip(clip);
    }
    if WHOLE.contains(&lower.as_str()) {
        return Place::Parameter(ALL.to_owned(), Parameter::Gradient);
    }
    if !is_histogram {
        if let Some(rank) = rank(&LOSSES) {
            return Place::Loss(rank);
        }
        // Lightning's `lr-SGD` and `lr-Adam/pg1`: the first group.
        if let Some(rank) = rank(&RATES).or_else(|| lower.starts_with("lr-").then_some(RATES.len())) {
            return Place::LearningRate(rank);
        }
    }
    // Lengths of ASCII beginnings and ends are the same in any case.
    if let Some((start, joint)) = JOINTS.into_iter().find(|(start, _)| name.starts_with(start)) {
        return Place::Joint(name[start.len()..].to_owned(), joint);
    }
    if let Some((start, parameter)) = PARAMETERS.into_iter().find(|(start, _)| name.starts_with(start)) {
        return Place::Parameter(name[start.len()..].to_owned(), parameter);
    }
    if let Some((end, parameter)) = ENDS.into_iter().find(|(end, _)| name.len() > end.len() && name.ends_with(end)) {
        return Place::Parameter(name[..name.len() - end.len()].to_owned(), parameter);
    }
    if is_histogram && !name.contains("_exponents/") {
        return Place::Parameter(name.to_owned(), Parameter::Weight);
    }
    Place::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_programs() {
        let gradient = |name: &str| Place::Parameter(name.to_owned(), Parameter::Gradient);
        for (name, expected) in [
            ("Loss/train", Place::Loss(3)),
            ("train/loss", Place::Loss(1)),
            ("loss/validation", Place::Other),
            ("val_loss", Place::Other),
            ("lr-Adam/pg1", Place::LearningRate(5)),
            ("train/learning_rate", Place::LearningRate(1)),
            ("grad_2.0_norm/net.0.weight", gradient("net.0.weight")),
            ("fc1.weight.grad", gradient("fc1.weight")),
            ("gradients/fc1.weight", gradient("fc1.weight")),
            ("train/grad_norm", gradient(ALL)),
            ("cotangent_rms/fc1", Place::Joint("fc1".to_owned(), Joint::Cotangent)),
            ("accuracy", Place::Other),
            ("/grad", Place::Other),
        ] {
            assert_eq!(place(name, false), expected, "{name}");
        }
        assert_eq!(place("fc1.bias", true), Place::Parameter("fc1.bias".to_owned(), Parameter::Weight));
        assert_eq!(place("fc1.bias/grad", true), gradient("fc1.bias"));
        assert_eq!(place("loss", true), Place::Parameter("loss".to_owned(), Parameter::Weight));
    }
}
