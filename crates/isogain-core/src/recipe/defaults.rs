//! What a network has where a recipe says nothing: some defaults depend on the kind.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::network::{Block, BranchScale, Head, NetworkKind, NetworkRecipe, NormPlacement, Pooling};
use crate::network::NormKind;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

impl NetworkRecipe {
    /// The defaults of a kind.
    pub fn of(kind: NetworkKind) -> Self {
        let default = Self::default();
        let named = |name| Activation::named(name).unwrap_or(default.activation);
        match kind {
            NetworkKind::Mlp | NetworkKind::Residual | NetworkKind::Convnet | NetworkKind::Layers => {
                Self { kind, ..default }
            }
            NetworkKind::Resnet => Self { kind, depth: 20, width: 16, ..default },
            NetworkKind::Rnn | NetworkKind::Lstm | NetworkKind::Gru => {
                Self { kind, depth: 1, activation: named("tanh"), ..default }
            }
            NetworkKind::Transformer => {
                Self { kind, depth: 4, activation: named("gelu"), norm: Some(NormKind::Layer), ..default }
            }
        }
    }

    /// What the head reads.
    pub fn head(&self) -> Head {
        self.head.unwrap_or(match self.kind {
            NetworkKind::Transformer => Head::Every,
            kind if kind.is_recurrent() => Head::Last,
            _ => Head::Mean,
        })
    }

    /// Whether a step of a transformer sees only itself and those before.
    pub fn causal(&self) -> bool {
        self.causal.unwrap_or(self.head() == Head::Every)
    }

    /// How the weights from state to state start.
    pub fn hidden_init(&self) -> Initializer {
        self.hidden_init.unwrap_or(self.init)
    }
}

impl Default for NetworkRecipe {
    fn default() -> Self {
        Self {
            kind: NetworkKind::Mlp,
            depth: 30,
            width: 64,
            activation: Activation::relu(),
            init: Initializer::PYTORCH_DEFAULT,
            head_init: None,
            norm: None,
            norm_groups: 8,
            norm_ramp: 100,
            norm_eps: 1e-5,
            ghost_batch: None,
            weight_norm: None,
            branch_scale: BranchScale::Number(1.0),
            learnable_scale: false,
            scale_per_channel: false,
            supervise_every: None,
            supervise_share: 1.0,
            gate_bias: None,
            growth: None,
            output_activation: None,
            dropout: 0.0,
            stochastic_depth: 0.0,
            stochastic_depth_uniform: false,
            kernel: 3,
            stages: 1,
            pool: Pooling::Max,
            head: None,
            block: Block::Basic,
            skip: true,
            hidden_init: None,
            forget_bias: None,
            vanishing_penalty: None,
            antisymmetric_step: None,
            diagonal: false,
            oscillator: None,
            heads: 4,
            qk_norm: false,
            logit_cap: None,
            mlp_ratio: 4,
            norm_placement: NormPlacement::Pre,
            positions: None,
            causal: None,
            tied: false,
            residual_init: None,
            fixup: false,
            layers: Vec::new(),
        }
    }
}

impl Serialize for NetworkRecipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for NetworkRecipe {
    /// Fills in what depends on the kind, which may stand anywhere, and leaves the rest to the derived reader.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut given = Map::<String, Value>::deserialize(deserializer)?;
        let kind =
            given.get("kind").map_or(Ok(NetworkKind::Mlp), NetworkKind::deserialize).map_err(D::Error::custom)?;
        let Self { depth, width, activation, norm, .. } = Self::of(kind);
        let norm = norm.filter(|_| given.get("fixup") != Some(&Value::Bool(true)));
        let defaults = [
            ("depth", serde_json::to_value(depth)),
            ("width", serde_json::to_value(width)),
            ("activation", serde_json::to_value(activation)),
            ("norm", serde_json::to_value(norm)),
        ];
        for (key, default) in defaults {
            given.entry(key).or_insert(default.map_err(D::Error::custom)?);
        }
        Self::deserialize(Value::Object(given)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_may_leave_out_what_its_kind_has() {
        let read = |text: &str| serde_json::from_str::<NetworkRecipe>(text).map_err(|error| error.to_string());
        for kind in [NetworkKind::Mlp, NetworkKind::Resnet, NetworkKind::Lstm, NetworkKind::Transformer] {
            let name = serde_json::to_string(&kind).unwrap();
            assert_eq!(read(&format!("{{\"kind\": {name}}}")), Ok(NetworkRecipe::of(kind)));
            let whole = serde_json::to_string(&NetworkRecipe::of(kind)).unwrap();
            assert_eq!(read(&whole), Ok(NetworkRecipe::of(kind)));
        }
        let some = read("{\"width\": 7, \"kind\": \"rnn\"}").unwrap();
        let fixed_up = read("{\"kind\": \"transformer\", \"fixup\": true}").unwrap();
        assert_eq!((fixed_up.norm, fixed_up.depth), (None, 4));
        assert_eq!(read(&serde_json::to_string(&fixed_up).unwrap()), Ok(fixed_up));
        assert_eq!((some.width, some.depth, some.activation.name()), (7, 1, "tanh"));
        assert!(read("{\"kind\": \"unet\"}").unwrap_err().contains("unknown variant `unet`"));
        assert!(read("{\"widht\": 7}").unwrap_err().contains("unknown field `widht`"));
    }
}
