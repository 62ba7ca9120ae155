//! The recipe: a network, its data and its training, as a short TOML file.

mod clip;
mod data;
mod defaults;
mod error;
mod keys;
mod layer;
mod network;
mod optimizer;
mod run;
mod schedule;
mod source;
mod table;
mod variants;

pub mod edit;
pub mod expand;
pub mod read;
pub mod validate;
pub mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use clip::{Clip, ClipKind};
pub use data::{Data, Format, LossName, Task};
pub use error::{Place, RecipeError, Suggestion};
pub use layer::{LayerRecipe, NamedPadding, Padding};
pub use network::{
    Block, BranchScale, Head, NamedScale, NetworkKind, NetworkRecipe, NormPlacement, OutputActivation, Pooling,
    Positions,
};
pub use optimizer::{AdjustLr, Optimizer, OptimizerName};
pub use read::{parse, parse_with_rules};
pub use run::{Device, Level, LossScale, Precision, Run};
pub use schedule::{Schedule, ScheduleKind};
pub use validate::{validate, validate_rules};
pub use write::to_toml;

/// A whole recipe. Every table but `network` may be left out; unknown keys are errors.
///
/// The default is the built-in recipe: a 30-layer ReLU network with PyTorch's default initialisation on the digits, the
/// most common real case of a vanishing gradient.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// What the network is trained on.
    pub data: Data,
    /// The network.
    pub network: NetworkRecipe,
    /// How a gradient becomes an update.
    pub optimizer: Optimizer,
    /// How the learning rate changes over the run.
    pub schedule: Schedule,
    /// What happens to a gradient before the optimizer sees it.
    pub clip: Clip,
    /// How long, from which seed, in which precision.
    pub run: Run,
    /// Level of each rule that should not have its default: `vanishing-gradient = "allow"`.
    pub rules: BTreeMap<String, Level>,
}
