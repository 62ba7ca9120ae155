//! Blocks of attention and a feed-forward network, each a residual operation (Vaswani et al. 2017; GPT-2, Radford et al.
//! 2019; T-Fixup, Huang et al. 2020; Sandwich-LN, Ding et al. 2021; DeepNorm and Sub-LN, Wang et al. 2022). Images are read
//! position by position, row by row.

use super::chain::{Attending, Factor, begin};
use super::{Inputs, branch_scale};
use crate::network::{Linear, Op};
use crate::recipe::error::RecipeError;
use crate::recipe::validate;
use crate::recipe::{NetworkRecipe, NormPlacement, Positions};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::theory::residual;

pub(super) fn ops(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Result<Vec<Op>, RecipeError> {
    let positions = positions(net, inputs)?;
    let weights = Weights::of(net)?;
    let mut chain = begin(net, inputs, positions == Positions::Learned, weights.input_factor);
    let embedding = inputs.vocabulary.map(|_| "embedding".to_owned());
    if embedding.is_none() {
        chain.linear("fc_in", net.width, weights.input, Activation::linear());
    }
    chain.own_dropout("dropout");
    // Without norms, of which T-Fixup has none, it places nothing.
    let is_pre = !matches!(net.norm_placement, NormPlacement::Post | NormPlacement::Deepnorm);
    for block in 1..=net.depth {
        for (half, part) in [(1, "attention"), (2, "mlp")] {
            let name = format!("block{block}.{part}");
            let mut branch = chain.fork();
            if is_pre {
                branch.own_norm(format!("{name}.norm"));
            }
            if half == 1 {
                let init = net.init.reading_no_pairs();
                let qkv = Linear::new(net.width, 3 * net.width, init, Activation::linear());
                let (value_gain, weight_norm) = (weights.value_gain, net.weight_norm);
                branch.push_linear(format!("{name}.qkv"), Linear { value_gain, weight_norm, ..qkv });
                if net.qk_norm {
                    branch.qk_norm(format!("{name}.qk_norm"), net.heads);
                }
                let NetworkRecipe { heads, logit_cap, .. } = *net;
                let rotary = positions == Positions::Rotary;
                let attending = Attending { heads, causal: net.causal(), rotary, logit_cap };
                branch.attention(format!("{name}.attention"), attending);
            } else {
                branch.linear(format!("{name}.fc"), net.mlp_ratio * net.width, weights.inner, net.activation);
                branch.activation(format!("{name}.{}", net.activation.name()), net.activation);
            }
            if net.norm_placement == NormPlacement::Sub {
                branch.own_norm(format!("{name}.inner_norm"));
            }
            branch.linear(format!("{name}.proj"), net.width, weights.last, Activation::linear());
            branch.own_dropout(format!("{name}.dropout"));
            if net.norm_placement == NormPlacement::Sandwich {
                branch.own_norm(format!("{name}.out_norm"));
            }
            branch.own_stochastic_depth(format!("{name}.drop"), 2 * (block - 1) + half, 2 * net.depth);
            chain.residual(name, branch, Vec::new(), Factor::of(net, weights.scale));
            if !is_pre {
                chain.own_norm(format!("block{block}.norm{half}"));
            }
        }
    }
    if is_pre {
        chain.own_norm("norm");
    }
    if net.tied && (embedding.is_none() || inputs.vocabulary != Some(outputs)) {
        let expected = match inputs.vocabulary {
            Some(vocabulary) => format!("needs as many outputs as tokens: {vocabulary} tokens, {outputs} outputs"),
            None => "needs tokens: numbers have no embedding to share".to_owned(),
        };
        return Err(RecipeError::value("network.tied", true, expected));
    }
    let tied = embedding.filter(|_| net.tied);
    Ok(chain.finish(net.head(), outputs, tied))
}

/// How a step knows its place, where the recipe does not say.
fn positions(net: &NetworkRecipe, inputs: &Inputs) -> Result<Positions, RecipeError> {
    let of_data = if inputs.vocabulary.is_some() { Positions::Learned } else { Positions::Rotary };
    let positions = net.positions.unwrap_or(of_data);
    if positions == Positions::Learned && inputs.vocabulary.is_none() {
        let expected = "needs tokens, whose embedding has a row for each step; numbers have \"rotary\" or \"none\"";
        return Err(RecipeError::value("network.positions", "\"learned\"", expected));
    }
    if positions == Positions::Rotary {
        validate::network::rotary(net)?;
    }
    Ok(positions)
}

/// How branches start.
struct Weights {
    /// Of the linear layer in front of the blocks.
    input: Initializer,
    /// Factor on an embedding in its place.
    input_factor: f64,
    /// Of the first feed-forward layer.
    inner: Initializer,
    /// Of the layers that end in the residual stream.
    last: Initializer,
    /// Factor on the values.
    value_gain: Option<f64>,
    /// Factor on each branch.
    scale: f64,
}

impl Weights {
    fn of(net: &NetworkRecipe) -> Result<Self, RecipeError> {
        let branches = 2 * net.depth;
        let unscaled = Self {
            input: net.init,
            input_factor: 1.0,
            inner: net.init,
            last: net.init,
            value_gain: None,
            scale: branch_scale(net.branch_scale, branches),
        };
        let scaled = |factor: f64| {
            net.init.scaled(factor).ok_or_else(|| {
                RecipeError::value("network.init", format!("\"{}\"", net.init), "has no gain that could be scaled")
            })
        };
        if net.norm_placement == NormPlacement::Deepnorm {
            let (alpha, beta) = residual::deep_norm(net.depth);
            let init = scaled(beta)?;
            let scale = alpha.recip();
            return Ok(Self { inner: init, last: init, value_gain: Some(beta), scale, ..unscaled });
        }
        if net.fixup {
            let (factor, input_factor) = residual::t_fixup(net.depth);
            let init = scaled(factor)?;
            // The factor is for a layer of values alone, which some initialisers draw larger than one of three parts.
            let deviation = |units| {
                let variance = net.init.weight_variance(net.width, units, Activation::linear());
                variance.max(f64::MIN_POSITIVE).sqrt()
            };
            let value_gain = Some(factor * deviation(net.width) / deviation(3 * net.width));
            return Ok(Self {
                input: scaled(input_factor)?,
                input_factor,
                inner: init,
                last: init,
                value_gain,
                ..unscaled
            });
        }
        let last = match net.residual_init {
            Some(_) => scaled((branches as f64).sqrt().recip())?,
            None => net.init,
        };
        Ok(Self { last, ..unscaled })
    }
}
