//! What a check has to say that no rule measures.

use serde::{Deserialize, Serialize};

use crate::recipe::Level;
use crate::rules::severity;

/// One sentence about how the check was made: a part of the model that no gradient reaches, or that runs as after training.
/// No remedy is meant for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// How loudly it speaks.
    #[serde(with = "severity")]
    pub level: Level,
    /// The sentence.
    pub message: String,
}
