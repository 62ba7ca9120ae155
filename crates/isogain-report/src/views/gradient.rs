//! The gradient's size at every layer before training, on one batch, with what theory expects: flat is what a trainable
//! network looks like.

use isogain_core::flow::Flow;
use isogain_core::flow::profile::{Layer, Profile};
use isogain_core::recipe::Recipe;
use isogain_core::render::numbers;
use isogain_core::summary::CheckReport;
use isogain_core::theory::phase_diagram::log_gain;
use isogain_core::theory::{Activation, finite_width};

use super::phase;
use crate::chart::{Axis, Band, Plot, Series, Strip, field};
use crate::markup::{MISSING, factor, spoken_factor, text};

/// The chart; `after` is the cured network on the same batch.
pub(crate) fn figure(before: &Flow, after: Option<&Flow>, theories: &[(&'static str, Theory)]) -> String {
    let before = Profile::of(before);
    let after = after.map(Profile::of);
    let profiles = [Some(&before), after.as_ref()];
    let count = profiles.iter().flatten().map(|profile| profile.layers.len()).max().unwrap_or(0);
    if count == 0 {
        return String::new();
    }
    let all = profiles.iter().flatten().flat_map(|profile| profile.layers.iter().map(|layer| layer.cotangent_rms));
    let mut series = Vec::new();
    // What the gradient would do if every layer handed it on at its size.
    let last = before.layers.last().map(|layer| layer.cotangent_rms).filter(|rms| *rms > 0.0);
    if let Some(rms) = last {
        let points = vec![(1.0, rms), (count as f64, rms)];
        series.push(Series { class: "reference", points, dots: false, name: String::new() });
    }
    let class = if after.is_some() { "before" } else { "alone" };
    let mut bands = Vec::new();
    for (of, theory) in theories {
        let profile = if *of == "after" { after.as_ref() } else { Some(&before) };
        let Some((points, band)) = profile.and_then(|profile| theory.drawn(profile)) else { continue };
        series.push(Series { class: "theory", points, dots: false, name: format!("theory, {of}") });
        bands.push(Band { class: "theory", edges: band });
    }
    series.push(line(class, &before));
    series.extend(after.as_ref().map(|after| line("after", after)));
    let of_layer = |profile: &Profile| profile.slope().map_or_else(|| "signal lost".to_owned(), factor);
    let mut legend =
        vec![(class, format!("{}{} per layer", if after.is_some() { "before: " } else { "" }, of_layer(&before)))];
    legend.extend(after.as_ref().map(|after| ("after", format!("after: {} per layer", of_layer(after)))));
    legend.extend(last.map(|_| ("reference", "equal gain".to_owned())));
    if !bands.is_empty() {
        legend.push(("theory", "theory, and where 95 % of such networks lie".to_owned()));
    }
    let strips: Vec<Strip> = (0..count).map(|index| strip(&before, after.as_ref(), index)).collect();
    Plot {
        id: "gradient",
        title: "Gradient by layer, before the first step",
        summary: summary(&before, after.as_ref()),
        axes: ["layer, from input to head", "rms of dL/dz (log scale)"],
        x: Axis::linear(1.0, count as f64),
        y: Axis::log(all, 2.0),
        bands: &bands,
        series: &series,
        legend: &legend,
        strips: &strips,
        table: table(&before, after.as_ref(), count),
        csv: csv(&before, after.as_ref(), count),
    }
    .figure()
}

/// What theory expects of the gradient's way back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Theory {
    /// Factor of its RMS per layer, of networks of infinite width.
    pub(crate) factor: f64,
    /// Activation and width, where the scatter of finite width has a law.
    pub(crate) law: Option<(Activation, usize)>,
}

/// Standard deviations of a band to each side.
const DEVIATIONS: f64 = 2.0;

impl Theory {
    /// Of a check: its limits, and the scatter of a plain network.
    pub(crate) fn of(report: &CheckReport) -> Option<Self> {
        // With auxiliary heads it is no straight line.
        let is_straight = report.recipe.network.supervise_every.is_none();
        let factor = report.limits.gradient_rms_per_layer.filter(|factor| is_straight && *factor > 0.0)?;
        Some(Self { factor, law: law(&report.recipe) })
    }

    /// Of a recipe, by what its initialiser draws.
    pub(crate) fn of_recipe(recipe: &Recipe) -> Option<Self> {
        let field = phase::drawn(recipe).filter(|_| recipe.network.supervise_every.is_none())?;
        let factor = log_gain(&field).exp();
        Some(Self { factor, law: law(recipe) })
    }

    /// The line from the last layer back, and its band; of few layers nothing is expected.
    #[expect(clippy::type_complexity, reason = "points of a line, edges of a band")]
    fn drawn(&self, profile: &Profile) -> Option<(Vec<(f64, f64)>, Vec<(f64, f64, f64)>)> {
        let last = profile.layers.last().filter(|layer| layer.cotangent_rms > 0.0 && profile.layers.len() > 2)?;
        let q = profile.layers.first().map_or(1.0, |layer| layer.activation_rms.powi(2));
        let scatter = self.law.map(|(activation, width)| finite_width::layer(activation, q, width));
        let (mean, variance) = scatter.map_or((0.0, 0.0), |scatter| (scatter.mean, scatter.variance));
        let count = profile.layers.len();
        let points: Vec<(f64, f64, f64)> = (0..count)
            .map(|index| {
                let layers = (count - 1 - index) as f64;
                let middle = last.cotangent_rms * (layers * (self.factor.ln() + 0.5 * mean)).exp();
                ((index + 1) as f64, middle, DEVIATIONS * 0.5 * (layers * variance).sqrt())
            })
            .collect();
        let edges = points.iter().map(|(x, middle, spread)| (*x, middle * (-spread).exp(), middle * spread.exp()));
        let edges = if self.law.is_some() { edges.collect() } else { Vec::new() };
        Some((points.iter().map(|(x, middle, _)| (*x, *middle)).collect(), edges))
    }
}

fn law(recipe: &Recipe) -> Option<(Activation, usize)> {
    phase::drawn(recipe).map(|field| (field.activation, recipe.network.width))
}

fn line(class: &'static str, profile: &Profile) -> Series {
    let points = profile.layers.iter().enumerate();
    Series {
        class,
        points: points.map(|(index, layer)| ((index + 1) as f64, layer.cotangent_rms)).collect(),
        dots: true,
        name: String::new(),
    }
}

fn rms(profile: &Profile, index: usize) -> Option<String> {
    profile.layers.get(index).map(|layer| numbers::scientific(layer.cotangent_rms))
}

fn strip(before: &Profile, after: Option<&Profile>, index: usize) -> Strip {
    let mut parts = Vec::new();
    let first = if after.is_some() { "before " } else { "" };
    for (name, profile) in [(first, Some(before)), ("after ", after)] {
        if let Some((rms, layer)) = profile.and_then(|profile| Some((rms(profile, index)?, profile.layers.get(index)?)))
        {
            parts.push(format!("{name}{}: {rms}", layer.name));
        }
    }
    let name = before.layers.get(index).or_else(|| after?.layers.get(index)).map(|layer| layer.name.clone());
    Strip { x: (index + 1) as f64, reading: format!("layer {} · {}", index + 1, parts.join(" · ")), layer: name }
}

fn summary(before: &Profile, after: Option<&Profile>) -> String {
    let told = |profile: &Profile| {
        let slope = profile.slope().map_or_else(|| "an unknown factor".to_owned(), spoken_factor);
        format!("changes by {slope} per layer over {} layers", profile.layers.len())
    };
    let after = after.map_or_else(String::new, |after| format!(" After treatment it {}.", told(after)));
    format!("On its way back the gradient {}.{after}", told(before))
}

fn table(before: &Profile, after: Option<&Profile>, count: usize) -> String {
    let cells = |profile: &Profile, index: usize| match profile.layers.get(index) {
        Some(layer @ Layer { log_gain, .. }) => format!(
            "<td>{}</td><td>{}</td><td>{}</td>",
            text(&layer.name),
            numbers::scientific(layer.cotangent_rms),
            log_gain.map_or_else(|| MISSING.to_owned(), factor)
        ),
        None => "<td></td><td></td><td></td>".to_owned(),
    };
    let row = |index: usize| {
        let after = after.map_or_else(String::new, |after| cells(after, index));
        format!("<tr><th scope=\"row\">{}</th>{}{after}</tr>", index + 1, cells(before, index))
    };
    let heads = |name: &str| {
        ["layer", "rms of dL/dz", "gain"].map(|column| format!("<th scope=\"col\">{column}{name}</th>")).concat()
    };
    let (first, second) =
        if after.is_some() { (heads(", before"), heads(", after")) } else { (heads(""), String::new()) };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">no.</th>{first}{second}</tr></thead><tbody>{}</tbody></table></div>",
        (0..count).map(row).collect::<String>()
    )
}

fn csv(before: &Profile, after: Option<&Profile>, count: usize) -> String {
    let cells = |profile: &Profile, index: usize| {
        profile
            .layers
            .get(index)
            .map_or_else(|| ",".to_owned(), |layer| format!("{},{:e}", field(&layer.name), layer.cotangent_rms))
    };
    let head = if after.is_some() { "no,layer before,rms before,layer after,rms after\n" } else { "no,layer,rms\n" };
    let row = |index: usize| {
        let after = after.map_or_else(String::new, |after| format!(",{}", cells(after, index)));
        format!("{},{}{after}\n", index + 1, cells(before, index))
    };
    head.to_owned() + &(0..count).map(row).collect::<String>()
}
