//! `isogain map`: how deep a plain network of an activation can be trained, and where a network stands.

use anyhow::{Context, Error, Result};
use isogain_core::network::{Network, OpKind};
use isogain_core::render;
use isogain_core::summary::phase_map::PhaseMap;
use isogain_core::theory::Activation;

use crate::args::{Common, Map};
use crate::input::Input;
use crate::output::{self, Status};

pub(crate) fn run(options: &Map) -> Result<Status> {
    let asked = options.activation.as_deref().map(Activation::named).transpose().map_err(Error::msg)?;
    let network = options.recipe.is_some().then(|| network(options)).transpose()?;
    let own = network.as_ref().and_then(activation_of);
    let activation = asked.or(own).unwrap_or_else(Activation::tanh);
    let map = PhaseMap::new(activation, network.as_ref());
    if let Some(path) = &options.html {
        let page = isogain_report::map_html(&map)?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output::result(&render::phase_map::phase_map(&map, options.format.into(), &output::rendering())?)?;
    Ok(Status::Clean)
}

/// The network of the recipe; its data is read for the shape alone.
fn network(options: &Map) -> Result<Network> {
    let input = Input::of(&Common { recipe: options.recipe.clone(), seed: None, quiet: true })?;
    let recipe = &input.recipe;
    let data = isogain::data::Dataset::load(&recipe.data, &input.folder).map_err(isogain::Error::from);
    let data = input.place(data)?;
    input.place(isogain::check::network(recipe, &data))
}

/// The first activation of a network.
fn activation_of(network: &Network) -> Option<Activation> {
    network.walk().into_iter().find_map(|op| match op.kind {
        OpKind::Activation { activation } => Some(activation),
        _ => None,
    })
}
