//! How smooth the loss is along the gradient, for a person at a terminal.

use crate::summary::smoothness::{SmoothNetwork, SmoothReport, SmoothStep};

use super::escape::printable;
use super::numbers::{number_or_missing, plural};
use super::text::{INDENT, Style};
use super::{Context, Format, columns, json};

/// Most steps shown of one network.
const MOST_STEPS: usize = 12;

/// The report as text or JSON; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn smoothness(report: &SmoothReport, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    if format == Format::Json { json::of(report) } else { Ok(page(report, context.style)) }
}

fn page(report: &SmoothReport, style: Style) -> String {
    let mut page = style.bold("the loss along the gradient") + "\n";
    page += &format!(
        "{INDENT}at each step, on the step's own batch: the loss and its gradient after {} steps of 0.5 to 4 times the \
         learning rate\n\n",
        report.multiples.len()
    );
    for network in &report.networks {
        page += &format!("{}\n", style.bold(&printable(&network.name)));
        page += &table(network);
        if network.broken() > 0 {
            page += &format!("{INDENT}{}\n", style.bad(&broken(network)));
        }
        page += "\n";
    }
    page + &style.bold("medians") + "\n" + &medians(report)
}

fn broken(network: &SmoothNetwork) -> String {
    let verb = if network.broken() == 1 { "is" } else { "are" };
    format!(
        "{} {verb} left out of the medians: a number along the gradient was not finite",
        plural(network.broken(), "step")
    )
}

fn table(network: &SmoothNetwork) -> String {
    let headings = ["step", "loss", "lowest", "highest", "gradient changes by", "beta"].map(str::to_owned);
    let every = network.steps.len().div_ceil(MOST_STEPS).max(1);
    let row = |step: &SmoothStep| {
        let values = [step.loss, step.lowest, step.highest, step.gradient_change, step.smoothness];
        [step.step.to_string()].into_iter().chain(values.map(number_or_missing)).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> =
        [headings.to_vec()].into_iter().chain(network.steps.iter().step_by(every).map(row)).collect();
    columns::align(&rows, INDENT).join("\n") + "\n"
}

/// One line for each network; what follows the first also as a part of it.
fn medians(report: &SmoothReport) -> String {
    type Of = fn(&SmoothStep) -> Option<f64>;
    const MEASURES: [(&str, Of); 3] = [
        ("band of losses", SmoothStep::band),
        ("gradient changes by (of its length)", |step| step.gradient_change),
        ("beta (per unit of distance)", |step| step.smoothness),
    ];
    let mut rows = vec![
        [String::new()].into_iter().chain(MEASURES.iter().map(|(name, _)| (*name).to_owned())).collect::<Vec<String>>(),
    ];
    let first = report.networks.first();
    for (index, network) in report.networks.iter().enumerate() {
        let cell = |(_, of): &(&str, Of)| {
            let value = network.median(of);
            let base = first.filter(|_| index > 0).and_then(|first| first.median(of)).filter(|base| *base > 0.0);
            match (value, base) {
                (Some(value), Some(base)) => {
                    format!("{} (x{})", number_or_missing(Some(value)), number_or_missing(Some(value / base)))
                }
                (value, _) => number_or_missing(value),
            }
        };
        rows.push([printable(&network.name)].into_iter().chain(MEASURES.iter().map(cell)).collect());
    }
    columns::align(&rows, INDENT).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn network(name: &str, band: f64) -> SmoothNetwork {
        let step = |step: u64| SmoothStep {
            step,
            loss: Some(1.0),
            gradient_norm: Some(2.0),
            lowest: Some(0.5),
            highest: Some(0.5 + band),
            gradient_change: Some(band / 2.0),
            smoothness: (step < 3).then_some(10.0 * band),
        };
        SmoothNetwork { name: name.into(), recipe: Recipe::default(), steps: (0..4).map(step).collect() }
    }

    #[test]
    fn a_second_network_is_told_as_a_part_of_the_first() {
        let report = SmoothReport::new(vec![network("plain.toml", 1.0), network("\u{1b}[31mnormed.toml", 0.25)]);
        let text = smoothness(&report, Format::Text, &Context::default()).unwrap();
        assert!(text.contains("0.250 (x0.250)"), "{text}");
        assert!(text.contains("2.50 (x0.250)"), "{text}");
        assert!(text.contains("1 step is left out of the medians"), "{text}");
        assert!(!text.contains('\u{1b}'));
        let json = smoothness(&report, Format::Json, &Context::default()).unwrap();
        assert_eq!(serde_json::from_str::<SmoothReport>(&json).unwrap(), report);
    }
}
