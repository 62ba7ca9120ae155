//! How deep a plain network can be trained, by the variances of its weights and biases, for a person at a terminal.

use crate::summary::phase_map::{MapPoint, PhaseMap};
use crate::theory::mean_field::Phase;

use super::escape::printable;
use super::numbers::{count, number, setting};
use super::text::{INDENT, Style};
use super::{Context, Format, columns, json};

/// Depths beyond this are written as more than it.
const DEEP: f64 = 10_000.0;

/// The map as text or JSON; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn phase_map(map: &PhaseMap, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    if format == Format::Json { json::of(map) } else { Ok(page(map, context.style)) }
}

fn page(map: &PhaseMap, style: Style) -> String {
    let mut page = style.bold(&format!("{}: how deep a plain network can be trained", map.activation)) + "\n";
    page += &format!(
        "{INDENT}layers by the variance of the weights (times fan-in, across) and of the biases (down): the smaller of 6 xi_c \
         and of the depth over which the gradient changes by 10^4\n{INDENT}- the gradient vanishes, + it explodes\n\n"
    );
    let heads = map.rows.first().into_iter().flatten().map(|point| setting(point.weight_variance));
    let heads: Vec<String> =
        std::iter::once("bias".to_owned()).chain(heads).chain(["critical at".to_owned()]).collect();
    let rows = map.rows.iter().zip(&map.critical).map(|(row, critical)| {
        let bias = row.first().map(|point| setting(point.bias_variance)).unwrap_or_default();
        let edge = critical.map_or_else(|| "nowhere".to_owned(), |point| setting(point.weight_variance));
        std::iter::once(bias).chain(row.iter().map(cell)).chain([edge]).collect()
    });
    let table: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    page += &(columns::align(&table, INDENT).join("\n") + "\n");
    if let Some(place) = &map.network {
        page += &format!("\n{}\n{INDENT}{}\n", style.bold("this network"), sentence(map).unwrap_or_default());
        if place.point.trainable_depth.is_some_and(|depth| depth < place.depth as f64) {
            page += &format!("{INDENT}{}\n", style.bad("deeper than it can be trained"));
        }
    }
    page
}

/// `fc2 has weight variance 0.333 and bias variance 0.0052: gradient x0.408 per layer, about 10 layers; it has 30`.
pub fn sentence(map: &PhaseMap) -> Option<String> {
    let place = map.network.as_ref()?;
    let point = &place.point;
    let depth = match point.trainable_depth {
        Some(depth) => format!("about {} layers", depth_in_words(depth)),
        None => "no limit by either".to_owned(),
    };
    Some(format!(
        "{} has a weight variance of {} and a bias variance of {}: gradient x{} per layer, {depth}; the network has {}",
        printable(&place.layer),
        setting(point.weight_variance),
        setting(point.bias_variance),
        number(point.chi.sqrt()),
        place.depth
    ))
}

fn cell(point: &MapPoint) -> String {
    let sign = match point.phase {
        Phase::Ordered => "-",
        Phase::Critical => "",
        Phase::Chaotic => "+",
    };
    point.trainable_depth.map_or_else(|| "any".to_owned(), |depth| depth_in_words(depth) + sign)
}

fn depth_in_words(depth: f64) -> String {
    if depth > DEEP { format!(">{}", count(DEEP as usize)) } else { count(depth.max(1.0) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;
    use crate::recipe::{Recipe, expand};
    use crate::theory::activations::Activation;

    #[test]
    fn the_map_says_where_a_network_stands() {
        let network = expand::network(&Recipe::default(), Shape::vector(64), 10).unwrap();
        let map = PhaseMap::new(Activation::relu(), Some(&network));
        let text = phase_map(&map, Format::Text, &Context::default()).unwrap();
        assert!(text.starts_with("relu: how deep a plain network can be trained\n"), "{text}");
        assert!(text.contains("gradient x0.408 per layer, about 3 layers; the network has 30"), "{text}");
        assert!(text.contains("deeper than it can be trained"), "{text}");
        let json = phase_map(&map, Format::Json, &Context::default()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["network"]["layer"], "fc2");
    }

    #[test]
    fn a_column_for_each_weight_variance() {
        let text = phase_map(&PhaseMap::new(Activation::tanh(), None), Format::Text, &Context::default()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3 + 1 + 7, "{text}");
        assert!(lines.last().unwrap().ends_with("3.443"), "{text}");
    }
}
