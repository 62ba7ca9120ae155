//! The explicit list of kind `layers`.

use std::collections::HashMap;

use super::Inputs;
use super::chain::{Attending, Chain, Factor, Patch, embedding_init};
use super::recurrent::Layers;
use crate::network::{Dropout, NormKind, Op, OpKind, PoolKind};
use crate::recipe::error::RecipeError;
use crate::recipe::layer::Entry;
use crate::recipe::validate;
use crate::recipe::variants::Name;
use crate::recipe::{LayerRecipe, NetworkKind, NetworkRecipe, Pooling, Positions};
use crate::theory::activations::Activation;

pub(super) fn ops(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Result<Vec<Op>, RecipeError> {
    const KEY: &str = "network.layers";
    let head = net.layers.iter().rposition(|layer| layer.linear.is_some());
    if let Some((head, units)) = head.and_then(|head| Some((head, net.layers[head].linear?)))
        && units != outputs
    {
        let expected = format!("must be {outputs}, the number of outputs, in the last linear layer");
        return Err(RecipeError::value(format!("{KEY}[{head}].linear"), units, expected));
    }
    let following = following(&net.layers).into_iter();
    let mut list = Explicit { vocabulary: inputs.vocabulary, following, given: HashMap::new() };
    let mut chain = Chain::new(net, &inputs.shape);
    list.append(&mut chain, &net.layers, KEY, "", head)?;
    Ok(chain.ops)
}

/// Expands lists, branches included.
struct Explicit {
    vocabulary: Option<usize>,
    /// For each linear layer in forward order, branches included: the activation that follows it.
    following: std::vec::IntoIter<Activation>,
    /// How often each name was given.
    given: HashMap<String, usize>,
}

impl Explicit {
    /// Appends the operations of one list. `prefix` is that of their names, `head` the index of the head if it is in this
    /// list.
    fn append(
        &mut self,
        chain: &mut Chain<'_>,
        list: &[LayerRecipe],
        path: &str,
        prefix: &str,
        head: Option<usize>,
    ) -> Result<(), RecipeError> {
        let net = chain.net;
        let mut weighted = 0;
        for (index, layer) in list.iter().enumerate() {
            let Some(entry) = layer.entry() else { continue };
            let path = format!("{path}[{index}]");
            let mut alike = list.iter().filter(|other| other.entry() == Some(entry));
            let is_alone = !prefix.is_empty() && alike.nth(1).is_none();
            let after_head = head.is_some_and(|head| index > head);
            let is_head = head == Some(index);
            let is_numbered = !is_alone || entry == Entry::Residual;
            weighted += usize::from(is_weighted(layer));
            let number = if entry == Entry::Residual { weighted + 1 } else { weighted };
            let mut name = |kind: &str| {
                let name = if is_numbered { format!("{prefix}{kind}{number}") } else { format!("{prefix}{kind}") };
                self.unique(name)
            };
            let network_init = if is_head { net.head_init.unwrap_or(net.init) } else { net.init };
            let init = layer.init.unwrap_or(network_init);
            match entry {
                Entry::Linear => {
                    let units = layer.linear.unwrap_or(0);
                    if is_head {
                        chain.bare_linear(self.unique("head".into()), units, init, self.next_activation());
                    } else {
                        chain.linear(name("fc"), units, init, self.next_activation());
                    }
                }
                Entry::Convolution => {
                    let patch = Patch {
                        size: layer.kernel.unwrap_or(3),
                        stride: layer.stride.unwrap_or(1),
                        padding: layer.padded(),
                    };
                    let (name, weights) = (name("conv"), (init, self.next_activation()));
                    let channels = layer.convolution.unwrap_or(0);
                    chain.convolution(name, &format!("{path}.convolution"), channels, patch, weights)?;
                }
                Entry::Activation => {
                    let phi = layer.activation.unwrap_or(Activation::linear());
                    let name = if after_head { self.unique("output".into()) } else { name(phi.name()) };
                    chain.activation(name, phi);
                }
                Entry::Norm => {
                    if let Some(kind) = layer.norm {
                        chain.norm(name("norm"), kind);
                        if kind == NormKind::Group {
                            validate::norm_groups(net, chain.shape.features)?;
                        }
                    }
                }
                Entry::Pool => pool(chain, layer, &path, &mut name)?,
                Entry::Flatten => chain.flatten(name("flatten")),
                Entry::Dropout => {
                    let fraction = layer.dropout.unwrap_or(0.0);
                    chain.push(name("dropout"), OpKind::Dropout(Dropout { fraction }));
                }
                Entry::StochasticDepth => {
                    let fraction = layer.stochastic_depth.unwrap_or(0.0);
                    chain.push(name("drop"), OpKind::StochasticDepth(Dropout { fraction }));
                }
                Entry::Recurrent => {
                    if let (Some(cell), Some(units)) = (layer.recurrent, layer.units) {
                        needs_steps(chain, &format!("{path}.recurrent"))?;
                        let layers = Layers {
                            cell,
                            units,
                            init,
                            hidden_init: layer.hidden_init.unwrap_or(init),
                            activation: layer.activation.unwrap_or(NetworkRecipe::of(NetworkKind::Rnn).activation),
                            forget_bias: layer.forget_bias,
                            vanishing_penalty: None,
                            antisymmetric_step: None,
                            diagonal: false,
                        };
                        layers.append(chain, name(&Name(&cell).to_string()), &format!("{path}.forget_bias"))?;
                    }
                }
                Entry::Embedding => {
                    let features = layer.embedding.unwrap_or(0);
                    let Some(vocabulary) = self.vocabulary else {
                        let expected = "needs tokens, but data.source gives numbers";
                        return Err(RecipeError::value(format!("{path}.embedding"), features, expected));
                    };
                    let init = layer.init.unwrap_or_else(|| embedding_init(net.init));
                    let positions = layer.positions == Some(Positions::Learned);
                    chain.embedding("embedding", vocabulary, features, positions, init);
                }
                Entry::Attention => {
                    let (key, heads) = (format!("{path}.attention"), layer.attention.unwrap_or(0));
                    let features = chain.shape.features;
                    needs_steps(chain, &key)?;
                    validate::layers::heads_fit(layer, &key, heads, features)?;
                    let rotary = layer.positions == Some(Positions::Rotary);
                    let qk_norm = layer.qk_norm.then(|| name("qk_norm"));
                    let names = ["qkv", "attention", "proj"].map(&mut name);
                    let [qkv, attention, proj] = names;
                    chain.bare_linear(qkv, 3 * features, init, self.next_activation());
                    if let Some(name) = qk_norm {
                        chain.qk_norm(name, heads);
                    }
                    let attending = Attending { heads, causal: layer.causal, rotary, logit_cap: layer.logit_cap };
                    chain.attention(attention, attending);
                    chain.bare_linear(proj, features, init, self.next_activation());
                }
                Entry::Residual => {
                    let name = name("block");
                    weighted += self.residual(chain, layer, &path, name)?;
                }
            }
        }
        Ok(())
    }

    /// Appends a residual operation, and returns how many weighted layers are in it.
    fn residual(
        &mut self,
        chain: &mut Chain<'_>,
        layer: &LayerRecipe,
        path: &str,
        name: String,
    ) -> Result<usize, RecipeError> {
        let (branch, shortcut) = (layer.residual.as_deref().unwrap_or_default(), layer.shortcut.as_deref());
        let key = format!("{path}.residual");
        let (mut through, mut past) = (chain.fork(), chain.fork());
        self.append(&mut through, branch, &key, &format!("{name}."), None)?;
        if let Some(shortcut) = shortcut {
            self.append(&mut past, shortcut, &format!("{path}.shortcut"), &format!("{name}.shortcut."), None)?;
        }
        if through.shape != past.shape {
            let (x, f) = (&past.shape, &through.shape);
            let expected = match (shortcut, x.grid == f.grid) {
                (None, true) => {
                    let (x, f) = (x.features, f.features);
                    format!("must keep the width of its input: x has {x} features, F(x) has {f}")
                }
                (None, false) => {
                    format!("must keep the positions of its input, or have a shortcut: x is {x}, F(x) is {f}")
                }
                (Some(_), _) => format!("must end like the shortcut: S(x) is {x}, F(x) is {f}"),
            };
            return Err(RecipeError::missing(key, expected));
        }
        let start = layer.scale.unwrap_or(1.0);
        let LayerRecipe { learnable, per_channel, gate_bias, .. } = *layer;
        let factor = Factor { start, learnable, per_channel, gate_bias, concatenates: false };
        chain.residual(name, through, past.ops, factor);
        Ok(count_weighted(branch))
    }

    fn next_activation(&mut self) -> Activation {
        self.following.next().unwrap_or(Activation::linear())
    }

    /// `name`, or `name-2`, `name-3` where it is taken: two activations may follow one linear layer.
    fn unique(&mut self, name: String) -> String {
        let given = self.given.entry(name.clone()).or_default();
        *given += 1;
        if *given == 1 { name } else { format!("{name}-{given}") }
    }
}

fn pool(
    chain: &mut Chain<'_>,
    layer: &LayerRecipe,
    path: &str,
    name: &mut impl FnMut(&str) -> String,
) -> Result<(), RecipeError> {
    let size = layer.size.unwrap_or(2);
    let patch = Patch { size, stride: layer.stride.unwrap_or(size), padding: 0 };
    let key = format!("{path}.pool");
    match layer.pool {
        Some(Pooling::Max) => chain.pool(name("pool"), &key, PoolKind::Max, patch)?,
        Some(Pooling::Average) => chain.pool(name("pool"), &key, PoolKind::Average, patch)?,
        Some(Pooling::Mean) => chain.pool_all(name("mean"), PoolKind::Average),
        Some(Pooling::Last) => chain.pool_all(name("last"), PoolKind::Last),
        None => {}
    }
    Ok(())
}

fn needs_steps(chain: &Chain<'_>, key: &str) -> Result<(), RecipeError> {
    if !chain.shape.grid.is_empty() {
        return Ok(());
    }
    let expected = format!("needs samples with steps, but gets plain vectors of {} numbers", chain.shape.features);
    Err(RecipeError::missing(key, expected))
}

/// Whether people would count it as a layer.
fn is_weighted(layer: &LayerRecipe) -> bool {
    matches!(layer.entry(), Some(Entry::Linear | Entry::Convolution | Entry::Recurrent | Entry::Attention))
}

fn count_weighted(list: &[LayerRecipe]) -> usize {
    list.iter()
        .map(|layer| usize::from(is_weighted(layer)) + count_weighted(layer.residual.as_deref().unwrap_or_default()))
        .sum()
}

/// For each linear layer in forward order, convolutions and those of an attention among them: the activation its output
/// goes into, past normalisations, pooling and the start of branches; `linear` where the next thing is another layer, or
/// for the head the loss.
fn following(list: &[LayerRecipe]) -> Vec<Activation> {
    fn backwards(list: &[LayerRecipe], next: &mut Activation, found: &mut Vec<Activation>) {
        let linear = Activation::linear();
        for layer in list.iter().rev() {
            match layer.entry() {
                Some(Entry::Linear | Entry::Convolution) => found.push(std::mem::replace(next, linear)),
                Some(Entry::Attention) => found.extend([std::mem::replace(next, linear), linear]),
                Some(Entry::Recurrent | Entry::Embedding) => *next = linear,
                Some(Entry::Activation) => *next = layer.activation.unwrap_or(linear),
                _ => {}
            }
            // The skip ends where the branch ends, and comes after it in forward order.
            backwards(layer.shortcut.as_deref().unwrap_or_default(), &mut next.clone(), found);
            backwards(layer.residual.as_deref().unwrap_or_default(), next, found);
        }
    }
    // What follows the head is not what its initialiser refers to.
    let head = list.iter().rposition(|layer| layer.linear.is_some()).map_or(list.len(), |head| head + 1);
    let mut found = Vec::new();
    backwards(&list[..head], &mut Activation::linear(), &mut found);
    found.reverse();
    found
}
