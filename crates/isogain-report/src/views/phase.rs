//! The phase diagram: the plane of weight and bias variances, how the gradient fares at depth in each place, the edge of
//! chaos, and the network on it.

use isogain_core::forecast;
use isogain_core::recipe::{NetworkKind, Recipe};
use isogain_core::render::numbers::number;
use isogain_core::theory::mean_field::MeanField;
use isogain_core::theory::phase_diagram::{PhaseDiagram, log_gain};

use crate::chart::{Axis, at};
use crate::digest::Digest;
use crate::markup::{spoken_factor, text};

/// Size of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// See [`WIDTH`].
const HEIGHT: f64 = 300.0;
/// Room around the plane.
const LEFT: f64 = 56.0;
/// See [`LEFT`].
const RIGHT: f64 = 14.0;
/// See [`LEFT`].
const TOP: f64 = 12.0;
/// See [`LEFT`].
const BOTTOM: f64 = 46.0;
/// Columns and rows of cells.
const CELLS: [usize; 2] = [56, 28];
/// Deviations that are shown at least.
const SHOWN: [f64; 2] = [2.5, 1.0];
/// Factors of the gradient's RMS per layer at which one shade ends and the next begins, on either side of 1: beyond the
/// last, twenty layers change it by four powers of ten.
const FACTORS: [f64; 6] = [1.01, 1.03, 1.08, 1.18, 1.35, 1.6];

/// A network on the plane.
struct Point {
    class: &'static str,
    name: String,
    field: MeanField,
}

/// Of a recorded run, by the weights that it began with; `None` where it has none of one plain kind.
pub(crate) fn recorded(run: &Digest) -> Option<String> {
    let start = run.start()?;
    // It does not change any more, and a live page is drawn often.
    let drawn = run.phase().get_or_init(|| {
        let field = forecast::mean_field(&run.overview().header.network, start)?;
        let name = "this network, before training".to_owned();
        (field.weight_variance > 0.0).then(|| figure(&[Point { class: "alone", name, field }]))
    });
    drawn.clone()
}

/// Of the recipes before and after a cure, by what their initialiser draws; empty where that says nothing.
pub(crate) fn of_recipes(before: &Recipe, after: Option<&Recipe>) -> String {
    let named = |class, name: &str, recipe| drawn(recipe).map(|field| Point { class, name: name.to_owned(), field });
    let first = if after.is_some() { ("before", "before") } else { ("alone", "this network") };
    let before = named(first.0, first.1, before);
    let after = after.and_then(|after| named("after", "after", after));
    let points: Vec<Point> = before.into_iter().chain(after).collect();
    if points.is_empty() { String::new() } else { figure(&points) }
}

/// The plain layer that a recipe draws.
pub(crate) fn drawn(recipe: &Recipe) -> Option<MeanField> {
    let network = &recipe.network;
    let is_plain = matches!(network.kind, NetworkKind::Mlp) && network.norm.is_none();
    if !is_plain || network.init.is_data_dependent() {
        return None;
    }
    let (width, activation) = (network.width, network.activation);
    Some(MeanField {
        activation,
        weight_variance: width as f64 * network.init.weight_variance(width, width, activation),
        bias_variance: network.init.bias_variance(width, activation),
    })
}

fn figure(points: &[Point]) -> String {
    // Another activation has another plane; the first network's is shown.
    let activation = points[0].field.activation;
    let points: Vec<&Point> = points.iter().filter(|point| point.field.activation == activation).collect();
    let place = |field: &MeanField| [field.weight_variance.sqrt(), field.bias_variance.sqrt()];
    let mut largest = SHOWN;
    for point in &points {
        for (largest, found) in largest.iter_mut().zip(place(&point.field)) {
            *largest = largest.max(1.15 * found.min(1e3));
        }
    }
    let diagram = PhaseDiagram::new(activation, largest, CELLS);
    let x = Axis::linear(0.0, largest[0]).drawn(LEFT, WIDTH - RIGHT);
    let y = Axis::linear(0.0, largest[1]).drawn(HEIGHT - BOTTOM, TOP);
    let mut marks = String::new();
    let mut csv = String::from("sw,sb,gradient factor per layer\n");
    for (sb, row) in diagram.bias_deviations.iter().zip(&diagram.log_gains) {
        for (sw, gain) in diagram.weight_deviations.iter().zip(row) {
            csv += &format!("{sw:.3},{sb:.3},{:.4}\n", gain.exp());
        }
    }
    let edge: Vec<String> = diagram
        .edge
        .iter()
        .filter_map(|&(sw, sb)| Some(format!("{} {}", at(x.place(sw)?), at(y.place(sb)?))))
        .collect();
    if edge.len() > 1 {
        marks += &format!("<path class=\"edge\" d=\"M{}\"/>\n", edge.join("L"));
    }
    let mut told = Vec::new();
    let mut rows = String::new();
    for point in &points {
        let [sw, sb] = place(&point.field);
        let gain = log_gain(&point.field);
        let reading =
            format!("{}: sw {}, sb {}, gradient {} per layer", point.name, number(sw), number(sb), spoken_factor(gain));
        if let (Some(left), Some(top)) = (x.place(sw), y.place(sb)) {
            marks += &format!(
                "<g class=\"point {}\"><circle cx=\"{}\" cy=\"{}\" r=\"6.5\"><title>{}</title></circle></g>\n",
                point.class,
                at(left),
                at(top),
                text(&reading)
            );
        }
        rows += &format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            text(&point.name),
            number(sw),
            number(sb),
            spoken_factor(gain)
        );
        told.push(reading);
    }
    let legend: String =
        points.iter().map(|point| format!("<li class=\"point {}\">{}</li>", point.class, text(&point.name))).collect();
    let edge_legend = if diagram.edge.is_empty() { "" } else { "<li class=\"edge\">edge of chaos: equal gain</li>" };
    let name = text(activation.name());
    format!(
        "<figure class=\"chart phase\" data-view=\"phase\">\n<figcaption><h3>Phase diagram of {name}</h3><ul class=\"legend\">{legend}{edge_legend}</ul>{scale}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" tabindex=\"0\" aria-labelledby=\"phase-title phase-summary\">\
         <title id=\"phase-title\">Phase diagram of {name}</title><desc id=\"phase-summary\">{summary}</desc>\n{cells}{grid}{marks}</svg>\n\
         <details><summary>The numbers</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\" class=\"words\">network</th>\
         <th scope=\"col\">sw</th><th scope=\"col\">sb</th><th scope=\"col\">gradient per layer, at depth</th></tr></thead><tbody>{rows}</tbody></table></div></details>\n{csv}</figure>\n",
        scale = scale(),
        summary = text(&format!("{}.", told.join("; "))),
        cells = cells(&diagram),
        grid = grid(&x, &y),
        csv = crate::chart::csv(&csv),
    )
}

/// The shade of a factor per layer: its side, and how far it is from 1.
fn shade(log_gain: f64) -> String {
    let distance = FACTORS.iter().filter(|factor| log_gain.abs() > factor.ln()).count();
    match distance {
        0 => "even".to_owned(),
        shade if log_gain < 0.0 => format!("down s{shade}"),
        shade => format!("up s{shade}"),
    }
}

/// One path for each shade; neighbours of one shade in a row are one rectangle.
fn cells(diagram: &PhaseDiagram) -> String {
    let [columns, rows] = CELLS;
    let (width, height) = ((WIDTH - LEFT - RIGHT) / columns as f64, (HEIGHT - BOTTOM - TOP) / rows as f64);
    let mut paths: Vec<(String, String)> = Vec::new();
    for (row, gains) in diagram.log_gains.iter().enumerate() {
        let top = HEIGHT - BOTTOM - height * (row + 1) as f64;
        let mut start = 0;
        while start < gains.len() {
            let class = shade(gains[start]);
            let same = gains[start..].iter().take_while(|gain| shade(**gain) == class).count();
            let x = LEFT + width * start as f64;
            let piece = format!("M{x:.2} {top:.2}h{w:.2}v{height:.2}h-{w:.2}z", w = width * same as f64);
            match paths.iter_mut().find(|(known, _)| *known == class) {
                Some((_, path)) => path.push_str(&piece),
                None => paths.push((class, piece)),
            }
            start += same;
        }
    }
    paths.sort();
    let paths: String =
        paths.into_iter().map(|(class, path)| format!("<path class=\"{class}\" d=\"{path}\"/>")).collect();
    format!("<g class=\"shades\" shape-rendering=\"crispEdges\">{paths}</g>\n")
}

fn grid(x: &Axis, y: &Axis) -> String {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut grid = String::from("<g class=\"grid\">");
    for (value, label) in y.ticks() {
        let Some(place) = y.place(value) else { continue };
        grid += &format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", at(LEFT - 8.0), at(place + 4.0));
    }
    for (value, label) in x.ticks() {
        let Some(place) = x.place(value) else { continue };
        grid += &format!(
            "<path d=\"M{} {}v5\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            at(place),
            at(bottom),
            at(place),
            at(bottom + 19.0)
        );
    }
    grid + &format!(
        "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">deviation of a weight, times √inputs (sw)</text>\
         <text class=\"name\" transform=\"translate(12 {}) rotate(-90)\" text-anchor=\"end\">deviation of a bias (sb)</text></g>\n",
        at(right),
        at(HEIGHT - 6.0),
        at(TOP),
    )
}

fn scale() -> String {
    let last = FACTORS[FACTORS.len() - 1];
    let count = FACTORS.len() as i32;
    let swatch = |shade: i32| {
        let class = match shade {
            0 => "even".to_owned(),
            shade if shade < 0 => format!("down s{}", -shade),
            shade => format!("up s{shade}"),
        };
        format!("<i class=\"{class}\"></i>")
    };
    let swatches: String = (-count..=count).map(swatch).collect();
    format!(
        "<p class=\"scale\"><span>×{} <span aria-hidden=\"true\">{swatches}</span> ×{last}</span> <span class=\"soft\">gradient per layer, at depth</span></p>",
        number(1.0 / last)
    )
}
