//! What each tensor is, from all names and shapes together: a matrix tells its inputs from its units by the bias beside it.

use std::collections::{BTreeMap, HashMap};

use super::WeightError;
use super::names;

/// Inputs and units of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fans {
    pub(super) units: usize,
    /// Channels or features that come in, taps not counted.
    pub(super) inputs: usize,
    pub(super) fan_in: usize,
    pub(super) fan_out: usize,
    /// Whether the last axis is that of the units: `[inputs, units]`, as isogain, Keras and GPT-2 have it.
    pub(super) units_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Weight(Fans),
    Gamma,
    Bias,
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) role: Role,
}

/// Every tensor with its place in the order of layers.
#[derive(Debug)]
pub(super) struct Plan {
    tensors: BTreeMap<usize, Tensor>,
    places: HashMap<String, usize>,
}

impl Plan {
    pub(super) fn new(mut shapes: Vec<(String, Vec<usize>)>, in_model_order: bool) -> Result<Self, WeightError> {
        if !in_model_order {
            shapes.sort_by(|(a, _), (b, _)| names::order(a, b));
        }
        let mut places = HashMap::new();
        for (place, (name, _)) in shapes.iter().enumerate() {
            if places.insert(name.clone(), place).is_some() {
                return Err(WeightError::Twice(name.clone()));
            }
        }
        let units_last = units_last(&shapes);
        let tensor = |(name, shape): (String, Vec<usize>)| Tensor { role: role(&name, &shape, units_last), shape };
        Ok(Self { tensors: shapes.into_iter().map(tensor).enumerate().collect(), places })
    }

    pub(super) fn tensor(&self, name: &str) -> Option<(usize, &Tensor)> {
        let place = *self.places.get(name)?;
        Some((place, self.tensors.get(&place)?))
    }

    /// Inputs of a weight, taps not counted.
    pub(super) fn fans(&self, name: &str) -> Option<Fans> {
        match self.tensor(name)?.1.role {
            Role::Weight(fans) => Some(fans),
            _ => None,
        }
    }

    /// Whether there is a table that is looked up.
    pub(super) fn has_tables(&self) -> bool {
        self.places.keys().any(|name| names::is_table(name))
    }
}

fn role(name: &str, shape: &[usize], units_last: bool) -> Role {
    let count: usize = shape.iter().product();
    let is_batch_of_one = shape.len() > 2 && shape[0] == 1;
    if names::is_statistic(name) || count == 0 || is_batch_of_one {
        return Role::Other;
    }
    if names::is_bias(name) {
        return Role::Bias;
    }
    match shape {
        // A vector of one number is a factor (PReLU, ReZero), not a normalisation.
        [features] if *features > 1 && names::is_gamma(name) => Role::Gamma,
        [_, _, ..] if shape.len() > 2 || !names::is_table(name) => {
            Role::Weight(fans(shape, names::has_units_last(name) || (units_last && shape.len() == 2)))
        }
        _ => Role::Other,
    }
}

fn fans(shape: &[usize], units_last: bool) -> Fans {
    let count: usize = shape.iter().product();
    let (units, inputs) =
        if units_last { (shape[shape.len() - 1], shape[shape.len() - 2]) } else { (shape[0], shape[1]) };
    let taps = count / (units * inputs);
    Fans { units, inputs, fan_in: inputs * taps, fan_out: units * taps, units_last }
}

/// Whether matrices are `[inputs, units]`: the biases beside those that are not square say so.
fn units_last(shapes: &[(String, Vec<usize>)]) -> bool {
    let biases: HashMap<&str, usize> = shapes
        .iter()
        .filter(|(name, shape)| names::is_bias(name) && shape.len() == 1)
        .map(|(name, shape)| (names::module(name), shape[0]))
        .collect();
    let votes = shapes.iter().filter_map(|(name, shape)| match shape[..] {
        [first, last] if first != last && !names::is_bias(name) => match biases.get(names::module(name)) {
            Some(&bias) if bias == last => Some(1),
            Some(&bias) if bias == first => Some(-1),
            _ => None,
        },
        _ => None,
    });
    votes.sum::<i64>() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shapes: &[(&str, &[usize])]) -> Plan {
        Plan::new(shapes.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect(), false).unwrap()
    }

    #[test]
    fn the_bias_tells_units_from_inputs() {
        let torch = plan(&[("fc1.weight", &[10, 3]), ("fc1.bias", &[10]), ("fc2.weight", &[10, 10])]);
        let fans = torch.fans("fc1.weight").unwrap();
        assert_eq!((fans.fan_in, fans.fan_out, fans.units, fans.units_last), (3, 10, 10, false));
        let own = plan(&[("fc1.weight", &[3, 10]), ("fc1.bias", &[10]), ("fc2.weight", &[10, 10])]);
        let fans = own.fans("fc1.weight").unwrap();
        assert_eq!((fans.fan_in, fans.fan_out, fans.units), (3, 10, 10));
        assert!(own.fans("fc2.weight").unwrap().units_last, "a square matrix follows the others");
    }

    #[test]
    fn taps_count() {
        let both = plan(&[("conv.weight", &[16, 8, 3, 3]), ("dense.kernel", &[3, 3, 8, 16])]);
        for name in ["conv.weight", "dense.kernel"] {
            let fans = both.fans(name).unwrap();
            assert_eq!((fans.fan_in, fans.fan_out, fans.units, fans.inputs), (72, 144, 16, 8), "{name}");
        }
    }

    #[test]
    fn what_is_no_weight() {
        let plan = plan(&[
            ("bn.weight", &[8]),
            ("bn.running_var", &[8]),
            ("wte.weight", &[100, 8]),
            ("pos_embed", &[1, 5, 8]),
            ("act.weight", &[1]),
            ("empty.weight", &[0, 8]),
            ("logit_scale", &[]),
        ]);
        let role = |name: &str| plan.tensor(name).unwrap().1.role;
        assert_eq!(role("bn.weight"), Role::Gamma);
        for other in ["bn.running_var", "wte.weight", "pos_embed", "act.weight", "empty.weight", "logit_scale"] {
            assert_eq!(role(other), Role::Other, "{other}");
        }
    }
}
