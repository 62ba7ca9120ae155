//! What weights alone say, for a person at a terminal: what is wrong, then one line for each layer.

use crate::weights::{LayerRecord, NormRecord, WeightReport};

use super::escape::{printable, shortened};
use super::numbers::{MISSING, count, factor, number, plural};
use super::text::{self, LINE_WIDTH, Style, wrapped};
use super::{Context, Format};
use super::{columns, json};

/// Most characters of a layer's name.
const NAME_WIDTH: usize = 36;

/// Most names of tensors that are not judged.
const MOST_OTHERS: usize = 6;

/// The report as text or JSON; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn weights(report: &WeightReport, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    if format == Format::Json { json::of(report) } else { Ok(page(report, context.style)) }
}

fn page(report: &WeightReport, style: Style) -> String {
    let mut page = text::bare(&report.findings, style);
    page += &heading(report, style);
    if !report.layers.is_empty() {
        page += &table(&report.layers, style);
        page += &wrapped(LEGEND, LINE_WIDTH, "");
        page += "\n\n";
    }
    if !report.norms.is_empty() {
        page += &norms(&report.norms);
    }
    if !report.others.is_empty() {
        page += &others(&report.others);
    }
    page + &verdict(report, style)
}

/// How the columns are read.
const LEGEND: &str = "sw2: fan_in x mean square, 2 holds the signal under ReLU, 1 in a linear net. x back: by how much \
    the layer changes a gradient without preferred direction, the matrix alone, with ReLU, with tanh at variance 1. \
    sv: singular values.";

fn heading(report: &WeightReport, style: Style) -> String {
    let order = if report.in_model_order {
        "in the order of the model"
    } else {
        "sorted by name, since the file keeps no order"
    };
    let line = format!(
        "{}: {} values, {}, {}; {order}",
        printable(&report.source),
        count(report.values as usize),
        plural(report.layers.len(), "layer"),
        plural(report.norms.len(), "norm"),
    );
    style.bold(&line) + "\n"
}

fn table(layers: &[LayerRecord], style: Style) -> String {
    let odd = layers.iter().any(|layer| !oddities(layer).is_empty());
    let mut rows = vec![
        ["layer", "shape", "rms", "sw2", "x back", "ReLU", "tanh", "sv max", "sv min", "condition", "drawn like"]
            .map(str::to_owned)
            .to_vec(),
    ];
    if odd {
        rows[0].push("units".to_owned());
    }
    rows.extend(layers.iter().map(|layer| row(layer, odd)));
    let mut lines = columns::align(&rows, "");
    lines[0] = style.dim(&lines[0]);
    lines.join("\n") + "\n"
}

fn row(layer: &LayerRecord, odd: bool) -> Vec<String> {
    let missing = || MISSING.to_owned();
    let scale = layer.scale.as_ref();
    let gain = |log_gain: Option<f64>| log_gain.map_or_else(missing, factor);
    let spectrum = layer.spectrum;
    let condition = spectrum.and_then(|spectrum| spectrum.condition());
    let mut cells = vec![
        shortened(&printable(&layer.name), NAME_WIDTH),
        layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
        layer.weight.rms().map_or_else(missing, number),
        scale.map_or_else(missing, |scale| number(scale.sw2)),
        gain(scale.map(|scale| scale.log_gain)),
        gain(scale.map(|scale| scale.log_gain_relu)),
        gain(scale.map(|scale| scale.log_gain_tanh)),
        spectrum.map_or_else(missing, |spectrum| number(spectrum.largest)),
        spectrum.and_then(|spectrum| spectrum.smallest).map_or_else(missing, number),
        condition
            .map_or_else(missing, |condition| if condition.is_finite() { number(condition) } else { ">1e7".into() }),
        scale.map_or_else(missing, |scale| {
            if scale.initializers.is_empty() { missing() } else { scale.initializers.join(", ") }
        }),
    ];
    if odd {
        cells.push(oddities(layer));
    }
    cells
}

fn oddities(layer: &LayerRecord) -> String {
    let counts = &layer.counts;
    let found = [(counts.empty_units, "empty"), (counts.unread_inputs, "unread"), (counts.repeated_units, "repeated")];
    let told = found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    told.collect::<Vec<_>>().join(", ")
}

fn norms(norms: &[NormRecord]) -> String {
    let rms: Vec<f64> = norms.iter().filter_map(|norm| norm.gamma.rms()).collect();
    let (low, high) = rms.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), rms| (low.min(*rms), high.max(*rms)));
    let off: usize = norms.iter().map(|norm| norm.off).sum();
    let channels: u64 = norms.iter().map(|norm| norm.gamma.count).sum();
    let scales = if rms.is_empty() { MISSING.to_owned() } else { format!("{} to {}", number(low), number(high)) };
    format!("norms: gamma rms {scales}; {off} of {} channels off\n", count(channels as usize))
}

fn others(others: &[String]) -> String {
    let named: Vec<String> = others.iter().take(MOST_OTHERS).map(|name| printable(name)).collect();
    let more = others.len().saturating_sub(MOST_OTHERS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let line = format!("not judged (tables, statistics, factors, whole numbers): {}{more}", named.join(", "));
    wrapped(&line, LINE_WIDTH, "   ") + "\n"
}

fn verdict(report: &WeightReport, style: Style) -> String {
    let told = match report.findings.as_slice() {
        [] => style.good("ok"),
        findings if report.is_clean() => format!("{} ({})", style.good("ok"), text::tally(findings)),
        findings => style.bold(&text::tally(findings)),
    };
    // Said whatever was found: the reader must not take silence for a proof.
    let seen = "weights alone were seen: no data, no activation, no skip connection";
    format!("{told}: {seen}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;
    use crate::weights::Survey;

    fn report(poison: f32) -> WeightReport {
        let name = "fc1\u{1b}[31m.weight";
        let shapes = vec![(name.to_owned(), vec![3, 2]), ("n.gamma".into(), vec![2]), ("norm.gamma".into(), vec![2])];
        let mut survey = Survey::new(shapes, true, true).unwrap();
        survey.add(name, &Values::from(vec![3.0, 0.0, 0.0, 2.0, 0.0, poison])).unwrap();
        survey.add("n.gamma", &Values::from(vec![1.0_f32, 1.0])).unwrap();
        survey.add("norm.gamma", &Values::from(vec![1.0_f32, 0.0])).unwrap();
        survey.report("model.pt")
    }

    #[test]
    fn a_table_by_layer() {
        let text = weights(&report(0.0), Format::Text, &Context::default()).unwrap();
        for said in [
            "note[dead-units]: ",
            "model.pt: 10 values, 1 layer, 1 norm; in the order of the model\n",
            "3x2     1.47   4.33   x2.55    x1.80   x1.74   3.00     2.00     1.50        -            1 empty\n",
            "norms: gamma rms 0.707 to 0.707; 1 of 2 channels off\n",
            "not judged (tables, statistics, factors, whole numbers): n.gamma\n",
            "weights alone were seen",
        ] {
            assert!(text.contains(said), "{said:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}') && text.contains("fc1\\u{1b}[31m.weight"));
    }

    #[test]
    fn what_is_not_finite_has_no_spectrum() {
        let text = weights(&report(f32::NAN), Format::Text, &Context::default()).unwrap();
        assert!(text.starts_with("error[non-finite]: 1 of the 6 values of fc1"), "{text}");
        let json = weights(&report(f32::NAN), Format::Json, &Context::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap()["layers"][0]["spectrum"],
            serde_json::Value::Null
        );
    }
}
