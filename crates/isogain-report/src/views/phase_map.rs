//! How deep a plain network can be trained, by the variances of its weights and biases: a curve for each bias variance.

use isogain_core::render::numbers::setting;
use isogain_core::render::phase_map::sentence;
use isogain_core::summary::phase_map::{MapPoint, PhaseMap};
use isogain_core::summary::reproduction::{Figure, Mark, Scale};

use super::reproduced::plot;
use crate::markup::{capital, text};

/// Rows of the map that are drawn: bias variances 0.001, 0.05 and 0.3, spread over all of them.
const DRAWN: [usize; 3] = [1, 3, 5];

/// Depths that are drawn at most; the curves grow without limit towards the critical variances.
const DEEPEST: f64 = 1000.0;

/// The page's body.
pub(crate) fn body(map: &PhaseMap) -> String {
    let of = |row: &Vec<MapPoint>| -> Vec<(f64, f64)> {
        let drawn = |point: &MapPoint| Some((point.weight_variance, point.trainable_depth?.min(DEEPEST)));
        row.iter().filter_map(drawn).collect()
    };
    let title = format!("{}: trainable depth", map.activation);
    let mut figure = Figure::new(&title, Scale::linear("weight variance, times fan-in"), Scale::log("layers"));
    for row in DRAWN.into_iter().filter_map(|row| map.rows.get(row)) {
        let bias = row.first().map(|point| setting(point.bias_variance)).unwrap_or_default();
        figure = figure.with(format!("bias variance {bias}"), Mark::Line, of(row));
    }
    if let Some(place) = &map.network {
        let depth = vec![(place.point.weight_variance, place.depth as f64)];
        figure = figure.with(format!("this network ({})", place.layer), Mark::Dots, depth);
    }
    let said = sentence(map).map_or_else(String::new, |said| format!("<p>{}.</p>\n", text(&capital(&said))));
    format!(
        "<header>\n<p class=\"brand\">isogain <span>map</span></p>\n<h1>How deep a plain {} network can be trained</h1>\n</header>\n\
         <main>\n<p>The smaller of six e-folding depths of the correlation between two inputs and of the depth over which the \
         gradient changes by 10<sup>4</sup>, by mean-field theory.</p>\n{said}{}</main>\n",
        text(&map.activation.to_string()),
        plot(&figure, "map")
    )
}
