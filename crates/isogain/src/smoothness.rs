//! How smooth the loss is along the gradient while a network trains ([`isogain_core::summary::smoothness`]).

use std::sync::atomic::{AtomicBool, Ordering};

use isogain_core::summary::smoothness::{MULTIPLES, SmoothStep};

use crate::Error;
use crate::check::Subject;
use crate::data::Samples;
use crate::direction::{Direction, flat, moved, norm};
use crate::model::Model;
use crate::snapshot::loss_and_gradients;
use crate::train::Trainer;

/// Trains the recipe's steps and measures at about `points` of them, evenly spread from the first on. Measuring changes no
/// number of the training: it looks at copies, and no running statistics follow it.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` is set.
pub fn measure(
    subject: &Subject,
    points: usize,
    stop: &AtomicBool,
    progress: &dyn Fn(usize),
) -> Result<Vec<SmoothStep>, Error> {
    let steps = subject.recipe.run.steps;
    let every = steps.div_ceil(points.max(1)).max(1);
    let mut trainer = Trainer::new(&subject.recipe, &subject.network, &subject.data, subject.recipe.run.seed);
    let mut found = Vec::new();
    for step in 0..steps {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let batch = trainer.next_batch(&subject.data);
        if step % every == 0 {
            let rate = subject.recipe.optimizer.learning_rate;
            found.push(along_the_gradient(&trainer.model, &batch, rate, step as u64));
        }
        trainer.advance_on(&batch, false);
        progress(step + 1);
        if trainer.is_broken() {
            break;
        }
    }
    Ok(found)
}

/// The neighbourhood of the weights along minus the gradient of this batch, at the multiples of `rate`.
pub fn along_the_gradient(model: &Model, batch: &Samples, rate: f64, step: u64) -> SmoothStep {
    let (loss, gradients) = loss_and_gradients(model, batch, None);
    let (origin, here) = (flat(&model.parameters), flat(&gradients));
    let length = norm(&here);
    let probes = MULTIPLES.map(|multiple| {
        let eta = multiple * rate;
        let (loss, there) = loss_and_gradients(&moved(model, &origin, &here, -eta), batch, None);
        let change = norm(&difference(flat(&there), &here));
        (loss, change / length, change / (eta * length))
    });
    // A NaN among them must show.
    let extreme = |of: fn(&(f64, f64, f64)) -> f64, better: fn(f64, f64) -> f64| {
        let values = probes.iter().map(of);
        finite(if values.clone().all(f64::is_finite) { values.reduce(better).unwrap_or(f64::NAN) } else { f64::NAN })
    };
    SmoothStep {
        step,
        loss: finite(loss),
        gradient_norm: finite(length),
        lowest: extreme(|probe| probe.0, f64::min),
        highest: extreme(|probe| probe.0, f64::max),
        gradient_change: extreme(|probe| probe.1, f64::max),
        smoothness: extreme(|probe| probe.2, f64::max),
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn difference(mut there: Direction, here: &Direction) -> Direction {
    for (name, values) in &mut there {
        values.iter_mut().zip(&here[name]).for_each(|(there, here)| *there -= here);
    }
    there
}
