//! How smooth the loss is along the gradient, as `smooth` prints it.
//!
//! Santurkar et al. 2018, section 3.2: at a step, with g the gradient on its batch and several step sizes eta, all on the
//! same batch: the range of L(w - eta g), the largest |grad L(w - eta g) - g| (gradient predictiveness), and the largest
//! |grad L(w - eta g) - g| / (eta |g|) (effective beta-smoothness).

use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::statistics::median;

/// Name and version of the document that `smooth` prints.
pub const SMOOTH_SCHEMA: &str = "isogain-smooth/1";

/// Step sizes probed, as multiples of the learning rate: from half of it to four times, evenly in the logarithm.
pub const MULTIPLES: [f64; 7] =
    [0.5, std::f64::consts::FRAC_1_SQRT_2, 1.0, std::f64::consts::SQRT_2, 2.0, 2.0 * std::f64::consts::SQRT_2, 4.0];

/// One or more networks, measured while they train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothReport {
    /// [`SMOOTH_SCHEMA`].
    pub schema: String,
    /// [`MULTIPLES`].
    pub multiples: Vec<f64>,
    /// One entry for each network, in the order asked for.
    pub networks: Vec<SmoothNetwork>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothNetwork {
    /// What it is called: the recipe's file.
    pub name: String,
    /// The recipe, every default written out.
    pub recipe: Recipe,
    /// The steps that were measured.
    pub steps: Vec<SmoothStep>,
}

/// The neighbourhood of the weights at one step, along the gradient of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmoothStep {
    /// Optimizer updates done before.
    pub step: u64,
    /// Loss of the batch; `None` where not finite, as all of these.
    pub loss: Option<f64>,
    /// L2 norm of the gradient.
    pub gradient_norm: Option<f64>,
    /// Lowest loss at any of the step sizes.
    pub lowest: Option<f64>,
    /// Highest loss at any of them.
    pub highest: Option<f64>,
    /// Largest |grad L(w - eta g) - g| over |g|.
    pub gradient_change: Option<f64>,
    /// Largest |grad L(w - eta g) - g| / (eta |g|).
    pub smoothness: Option<f64>,
}

impl SmoothStep {
    /// Width of the band of losses.
    pub fn band(&self) -> Option<f64> {
        Some(self.highest? - self.lowest?)
    }
}

impl SmoothReport {
    /// The document for these networks.
    pub fn new(networks: Vec<SmoothNetwork>) -> Self {
        Self { schema: SMOOTH_SCHEMA.to_owned(), multiples: MULTIPLES.to_vec(), networks }
    }
}

impl SmoothNetwork {
    /// Median of a number over the steps at which it is finite; `None` without any.
    pub fn median(&self, of: impl Fn(&SmoothStep) -> Option<f64>) -> Option<f64> {
        median(self.steps.iter().filter_map(of).filter(|value| value.is_finite()))
    }

    /// Steps at which something along the gradient was not finite.
    pub fn broken(&self) -> usize {
        self.steps.iter().filter(|step| step.band().is_none() || step.smoothness.is_none()).count()
    }
}
