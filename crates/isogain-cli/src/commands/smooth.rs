//! `isogain smooth`: how smooth the loss is along the gradient while a network trains.

use anyhow::Result;
use isogain::check::Subject;
use isogain::smoothness;
use isogain_core::render;
use isogain_core::summary::smoothness::{SmoothNetwork, SmoothReport};

use crate::args::{Common, Smooth};
use crate::input::Input;
use crate::output::{self, Status};
use crate::{interrupt, progress, threads};

pub(crate) fn run(options: &Smooth) -> Result<Status> {
    let recipes =
        if options.recipes.is_empty() { vec![None] } else { options.recipes.iter().cloned().map(Some).collect() };
    let line = progress::line("measuring", options.quiet);
    let pool = threads::pool(1)?;
    interrupt::orderly();
    let mut networks = Vec::with_capacity(recipes.len());
    for recipe in recipes {
        let input = Input::of(&Common { recipe, seed: options.seed, quiet: options.quiet })?;
        let subject = input.place(pool.install(|| Subject::load(&input.recipe, &input.folder)))?;
        progress::stage(&line, "measuring", Some(input.recipe.run.steps as u64));
        let tell = |step: usize| line.set_position(step as u64);
        let steps = pool.install(|| smoothness::measure(&subject, options.points.into(), interrupt::flag(), &tell));
        match steps {
            Ok(steps) => networks.push(SmoothNetwork { name: input.name, recipe: input.recipe, steps }),
            Err(isogain::Error::Interrupted) => {
                line.finish_and_clear();
                return Ok(Status::Interrupted);
            }
            Err(error) => return Err(error.into()),
        }
    }
    line.finish_and_clear();
    let report = SmoothReport::new(networks);
    output::result(&render::smoothness::smoothness(&report, options.format.into(), &output::rendering())?)?;
    Ok(Status::Clean)
}
