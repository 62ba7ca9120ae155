//! What an explicit list of layers may say.

use super::network::{forget_bias, logit_cap, no_pairs, recurrent_init};
use super::{
    GATE_BIAS, MAX_DEPTH, MAX_KERNEL, MAX_WIDTH, fraction, is_gate_bias, must, norm_groups, parameters, within,
};
use crate::network::NormKind;
use crate::recipe::error::RecipeError;
use crate::recipe::layer::{Entry, NamedPadding, Padding};
use crate::recipe::variants::Name;
use crate::recipe::{LayerRecipe, NetworkKind, NetworkRecipe, Pooling, Positions};

const KEY: &str = "network.layers";

/// Kind `layers`.
pub(super) fn explicit(network: &NetworkRecipe) -> Result<(), RecipeError> {
    if network.layers.is_empty() {
        let expected = "missing or empty: kind = \"layers\" needs the list, such as layers = [{ linear = 64 }, \
                        { activation = \"relu\" }, { linear = 10 }]";
        return Err(RecipeError::missing(KEY, expected));
    }
    let mut check = Check { network, layers: 0, parameters: 0 };
    check.list(&network.layers, KEY, None)?;
    if check.layers > MAX_DEPTH {
        let expected = format!("has {} layers: must be at most {MAX_DEPTH}", check.layers);
        return Err(RecipeError::missing(KEY, expected));
    }
    parameters(network, check.parameters)?;
    let Some(head) = network.layers.iter().rposition(|layer| layer.linear.is_some()) else {
        return Err(RecipeError::missing(KEY, "needs a linear layer outside of branches, the head"));
    };
    let after = network.layers[head + 1..].iter().position(|layer| layer.activation.is_none());
    after.map_or(Ok(()), |offset| {
        let key = format!("{KEY}[{}]", head + 1 + offset);
        Err(RecipeError::missing(key, "must be an activation: nothing else may follow the last linear layer, the head"))
    })
}

/// Whether a list speaks of positions; it reads a sample as one vector otherwise.
pub(super) fn have_positions(list: &[LayerRecipe]) -> bool {
    use Entry::{Attention, Convolution, Embedding, Flatten, Pool, Recurrent};
    list.iter().any(|layer| {
        matches!(layer.entry(), Some(Attention | Convolution | Embedding | Flatten | Pool | Recurrent))
            || have_positions(layer.residual.as_deref().unwrap_or_default())
            || have_positions(layer.shortcut.as_deref().unwrap_or_default())
    })
}

/// Key and kind of every normalisation.
pub(super) fn norms(network: &NetworkRecipe) -> Vec<(String, NormKind)> {
    fn collect(list: &[LayerRecipe], path: &str, found: &mut Vec<(String, NormKind)>) {
        for (index, layer) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            found.extend(layer.norm.map(|norm| (format!("{path}.norm"), norm)));
            collect(layer.residual.as_deref().unwrap_or_default(), &format!("{path}.residual"), found);
            collect(layer.shortcut.as_deref().unwrap_or_default(), &format!("{path}.shortcut"), found);
        }
    }
    let of_shape = network.norm.filter(|_| network.kind != NetworkKind::Layers);
    let mut found: Vec<_> = of_shape.map(|norm| ("network.norm".to_owned(), norm)).into_iter().collect();
    collect(&network.layers, KEY, &mut found);
    found
}

struct Check<'n> {
    network: &'n NetworkRecipe,
    layers: usize,
    /// Those of which the size is known without the data.
    parameters: u64,
}

impl Check<'_> {
    /// Checks one list at `path`; takes the features that go in, if known, and returns those that come out.
    fn list(
        &mut self,
        list: &[LayerRecipe],
        path: &str,
        mut features: Option<usize>,
    ) -> Result<Option<usize>, RecipeError> {
        for (index, layer) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.layers += 1;
            let Some(entry) = layer.entry() else {
                return Err(RecipeError::missing(path, format!("must have exactly one of {}", LayerRecipe::KINDS)));
            };
            if let Some((key, beside)) = layer.idle() {
                let expected = format!("has no effect: only beside {beside}");
                return Err(RecipeError::missing(format!("{path}.{key}"), expected));
            }
            let key = |key: &str| format!("{path}.{key}");
            match entry {
                Entry::Linear => within(&key("linear"), layer.linear.unwrap_or(0), MAX_WIDTH)?,
                Entry::Convolution => convolution(layer, &path)?,
                Entry::Pool => pool(layer, &path)?,
                Entry::Recurrent => {
                    let of_network = Some(self.network.init).filter(|_| layer.init.is_none());
                    recurrent_init("network.init", of_network)?;
                    recurrent(layer, &path)?;
                }
                Entry::Embedding => {
                    within(&key("embedding"), layer.embedding.unwrap_or(0), MAX_WIDTH)?;
                    let is_first = path == format!("{KEY}[0]");
                    must(
                        &key("embedding"),
                        layer.embedding.unwrap_or(0),
                        is_first,
                        "must come first: it reads tokens",
                    )?;
                    positions(layer, &path, Positions::Learned)?;
                }
                Entry::Attention => attention(layer, &path, features)?,
                Entry::StochasticDepth => {
                    let share = layer.stochastic_depth.unwrap_or(0.0);
                    let in_branch = path.rsplit_once('[').is_some_and(|(list, _)| list.ends_with(".residual"));
                    let ends_branch = in_branch && index + 1 == list.len();
                    let expected = "must come last in a residual branch: what it leaves out passes the block by";
                    must(&key("stochastic_depth"), share, ends_branch, expected)?;
                    fraction(&key("stochastic_depth"), share)?;
                }
                Entry::Dropout => fraction(&key("dropout"), layer.dropout.unwrap_or(0.0))?,
                Entry::Norm => {
                    if let (Some(NormKind::Group), Some(features)) = (layer.norm, features) {
                        norm_groups(self.network, features)?;
                    }
                }
                Entry::Activation | Entry::Flatten | Entry::Residual => {}
            }
            self.count(layer, features);
            features = if entry == Entry::Residual {
                self.residual(layer, &path, features)?
            } else {
                layer.features_out(features)
            };
        }
        Ok(features)
    }

    fn count(&mut self, layer: &LayerRecipe, features: Option<usize>) {
        let out = layer.linear.or(layer.convolution).or(layer.units).unwrap_or(0) as u64;
        let gates = layer.recurrent.map_or(1, |cell| cell.gates().len() as u64);
        let hidden = layer.units.unwrap_or(0) as u64;
        // A kernel has at least one axis.
        let taps = layer.convolution.map_or(1, |_| layer.kernel.unwrap_or(3) as u64);
        let inputs = features.unwrap_or(0) as u64 * taps + hidden + 1;
        self.parameters = self.parameters.saturating_add((gates * inputs).saturating_mul(out));
    }

    fn residual(
        &mut self,
        layer: &LayerRecipe,
        path: &str,
        features: Option<usize>,
    ) -> Result<Option<usize>, RecipeError> {
        let branch = layer.residual.as_deref().unwrap_or_default();
        let key = format!("{path}.residual");
        if branch.is_empty() {
            return Err(RecipeError::missing(key, "must not be empty"));
        }
        let out = self.list(branch, &key, features)?;
        let skip = match &layer.shortcut {
            None => features,
            Some(shortcut) if shortcut.is_empty() => {
                let expected = "must not be empty: without it the skip is the identity";
                return Err(RecipeError::missing(format!("{path}.shortcut"), expected));
            }
            Some(shortcut) => self.list(shortcut, &format!("{path}.shortcut"), features)?,
        };
        if let (Some(skip), Some(out)) = (skip, out)
            && skip != out
        {
            let expected = match layer.shortcut {
                None => {
                    format!("must keep the width of its input: x has {skip} features, but the branch F(x) has {out}")
                }
                Some(_) => {
                    format!("must end like the shortcut: S(x) has {skip} features, but the branch F(x) has {out}")
                }
            };
            return Err(RecipeError::missing(key, expected));
        }
        let scale = layer.scale.unwrap_or(1.0);
        must(&format!("{path}.scale"), scale, scale.is_finite(), "must be a finite number")?;
        if let Some(bias) = layer.gate_bias {
            no_pairs("network.init", Some(self.network.init))?;
            must(&format!("{path}.gate_bias"), bias, is_gate_bias(bias), GATE_BIAS)?;
            let width = features.unwrap_or(0) as u64;
            self.parameters = self.parameters.saturating_add(width * (width + 1));
        }
        Ok(skip.or(out))
    }
}

fn convolution(layer: &LayerRecipe, path: &str) -> Result<(), RecipeError> {
    within(&format!("{path}.convolution"), layer.convolution.unwrap_or(0), MAX_WIDTH)?;
    let kernel = layer.kernel.unwrap_or(3);
    within(&format!("{path}.kernel"), kernel, MAX_KERNEL)?;
    within(&format!("{path}.stride"), layer.stride.unwrap_or(1), MAX_KERNEL)?;
    match layer.padding {
        Some(Padding::Number(number)) => {
            let expected = format!("must be below the kernel, {kernel}: a patch of nothing but zeros says nothing");
            must(&format!("{path}.padding"), number, number < kernel, &expected)
        }
        Some(Padding::Named(NamedPadding::Same)) | None => {
            let expected = "must be odd, so that padding = \"same\" is the same on both sides; or say a number";
            must(&format!("{path}.kernel"), kernel, kernel % 2 == 1, expected)
        }
    }
}

fn pool(layer: &LayerRecipe, path: &str) -> Result<(), RecipeError> {
    if matches!(layer.pool, Some(Pooling::Max | Pooling::Average)) {
        within(&format!("{path}.size"), layer.size.unwrap_or(2), MAX_KERNEL)?;
        within(&format!("{path}.stride"), layer.stride.unwrap_or(2), MAX_KERNEL)?;
    }
    Ok(())
}

fn recurrent(layer: &LayerRecipe, path: &str) -> Result<(), RecipeError> {
    let Some(units) = layer.units else {
        let expected = "missing: a recurrent layer needs the size of its state, such as units = 32";
        return Err(RecipeError::missing(format!("{path}.units"), expected));
    };
    within(&format!("{path}.units"), units, MAX_WIDTH)?;
    recurrent_init(&format!("{path}.init"), layer.init)?;
    recurrent_init(&format!("{path}.hidden_init"), layer.hidden_init)?;
    forget_bias(&format!("{path}.forget_bias"), layer.forget_bias)
}

fn attention(layer: &LayerRecipe, path: &str, features: Option<usize>) -> Result<(), RecipeError> {
    let (key, heads) = (format!("{path}.attention"), layer.attention.unwrap_or(0));
    within(&key, heads, MAX_WIDTH)?;
    positions(layer, path, Positions::Rotary)?;
    logit_cap(&format!("{path}.logit_cap"), layer.logit_cap)?;
    features.map_or(Ok(()), |features| heads_fit(layer, &key, heads, features))
}

/// Refuses heads that do not divide the features, or that rotary positions cannot turn.
pub(in crate::recipe) fn heads_fit(
    layer: &LayerRecipe,
    key: &str,
    heads: usize,
    features: usize,
) -> Result<(), RecipeError> {
    must(key, heads, features.is_multiple_of(heads), &format!("must divide the {features} features that come in"))?;
    let turns = layer.positions != Some(Positions::Rotary) || (features / heads).is_multiple_of(2);
    let expected = format!("leaves {} features to each head: rotary positions turn pairs", features / heads);
    must(key, heads, turns, &expected)
}

fn positions(layer: &LayerRecipe, path: &str, known: Positions) -> Result<(), RecipeError> {
    let Some(positions) = layer.positions else { return Ok(()) };
    let expected = format!("must be \"{}\" or \"none\" here", Name(&known));
    let is_known = positions == known || positions == Positions::None;
    must(&format!("{path}.positions"), format!("\"{}\"", Name(&positions)), is_known, &expected)
}
