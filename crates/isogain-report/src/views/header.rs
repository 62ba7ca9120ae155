//! The verdict in one sentence, what was examined, and the numbers that matter most.

use isogain_core::flow::Flow;
use isogain_core::flow::profile::Profile;
use isogain_core::recipe::{
    BranchScale, ClipKind, Level, LossScale, NamedScale, NetworkKind, Recipe, Schedule, ScheduleKind, Task,
};
use isogain_core::render::numbers::{accuracy, loss, setting};
use isogain_core::render::words::{self, End};
use isogain_core::summary::{CheckReport, CureReport, median_loss, median_test_accuracy, median_train_accuracy};

use crate::markup::{factor, prose, text};

/// The head of a cure's page.
pub(crate) fn cure(report: &CureReport) -> String {
    let end = End::of(report);
    let (class, sign) = match end {
        End::Cured | End::Healthy => ("good", "✓"),
        End::NotCured => ("bad", "✗"),
    };
    let sentence = match (report.cure(), report.check.findings.first()) {
        (Some((cure, result)), Some(finding)) if end == End::Cured => format!(
            "<b>{}</b>: cured by <b>{}</b>{}",
            text(&finding.rule),
            text(&cure.remedies.join(" + ")),
            parameters(&result.parameters)
        ),
        (Some((cure, result)), _) => {
            format!(
                "nothing to cure; still improved by <b>{}</b>{}",
                text(&cure.remedies.join(" + ")),
                parameters(&result.parameters)
            )
        }
        (None, Some(finding)) if end == End::NotCured => {
            format!("<b>{}</b>: {}", text(&finding.rule), prose(&words::outcome(report)))
        }
        (None, _) => prose(&words::outcome(report)),
    };
    let tiles = tiles(report);
    format!(
        "<header>\n<p class=\"brand\">isogain <span>cure</span></p>\n\
         <h1><span class=\"badge {class} big\"><span aria-hidden=\"true\">{sign}</span> {}</span> {sentence}</h1>\n\
         <p class=\"subject\">{}</p>\n{tiles}</header>\n",
        end.word(),
        subject(&report.recipe),
    )
}

/// The head of a check's page.
pub(crate) fn check(report: &CheckReport) -> String {
    let worst = report.levels().max().filter(|worst| *worst > Level::Note);
    let (class, sign, word) = match worst {
        Some(Level::Deny) => ("bad", "✗", "ill"),
        Some(_) => ("warn", "!", "at risk"),
        None => ("good", "✓", "healthy"),
    };
    // Among findings of the same level the first one is the cause of the most.
    let first = report.findings.iter().find(|finding| Some(finding.level) == worst);
    let remark = report.remarks.iter().find(|remark| Some(remark.level) == worst);
    let sentence = match (first, remark) {
        (Some(finding), _) => format!("<b>{}</b>: {}", text(&finding.rule), prose(&finding.message)),
        (None, Some(remark)) => prose(&remark.message),
        (None, None) => prose(&words::healthy(report)),
    };
    let depth = words::trainable_depth(report).filter(|_| first.is_some());
    let depth = depth.map_or_else(String::new, |depth| format!(" · {}", text(&depth)));
    format!(
        "<header>\n<p class=\"brand\">isogain <span>check</span></p>\n\
         <h1><span class=\"badge {class} big\"><span aria-hidden=\"true\">{sign}</span> {word}</span> {sentence}</h1>\n\
         <p class=\"subject\">{}{depth}</p>\n</header>\n",
        subject(&report.recipe),
    )
}

fn parameters(parameters: &str) -> String {
    if parameters.is_empty() { String::new() } else { format!(" <span class=\"soft\">({})</span>", text(parameters)) }
}

fn tiles(report: &CureReport) -> String {
    let (_, before) = report.trial.before();
    let after = report.cure().map_or(&[][..], |(cure, _)| &cure.seeds[..]);
    let slope = |flow: &Flow| Profile::of(flow).slope();
    let mut tiles = vec![tile(
        "loss, median",
        &loss(median_loss(before)),
        (!after.is_empty()).then(|| loss(median_loss(after))).as_deref(),
    )];
    let accuracies = [
        ("training accuracy", median_train_accuracy(before), median_train_accuracy(after)),
        ("test accuracy", median_test_accuracy(before), median_test_accuracy(after)),
    ];
    for (name, before, after) in accuracies {
        if let Some(before) = before {
            tiles.push(tile(name, &accuracy(before), after.map(accuracy).as_deref()));
        }
    }
    let after_slope = report.cured_flow.as_ref().and_then(slope).map(factor);
    if let Some(before) = slope(&report.check.flow) {
        tiles.push(tile("gradient per layer, backward", &factor(before), after_slope.as_deref()));
    }
    if !after.is_empty() {
        let (won, seeds) = words::seeds_won(before, after);
        tiles.push(format!("<div><dt>seeds that got better</dt><dd><b>{won} of {seeds}</b></dd></div>"));
    }
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat())
}

/// `before` and `after` are markup.
fn tile(name: &str, before: &str, after: Option<&str>) -> String {
    let values = match after {
        Some(after) => {
            format!(
                "<span class=\"before\">{before}</span> <span class=\"soft\">→</span> <b class=\"after\">{after}</b>"
            )
        }
        None => format!("<b>{before}</b>"),
    };
    format!("<div><dt>{name}</dt><dd>{values}</dd></div>")
}

/// Network, optimizer, data and run in one line.
pub(crate) fn subject(recipe: &Recipe) -> String {
    let network = &recipe.network;
    let shape = match network.kind {
        NetworkKind::Mlp => {
            format!("{} layers of width {}, {}", network.depth, network.width, network.activation.name())
        }
        NetworkKind::Residual => {
            let joined = match (network.gate_bias, network.growth, network.branch_scale) {
                (Some(bias), ..) => format!("gates from {}", setting(bias)),
                (_, Some(growth), _) => format!("each with {growth} features more"),
                (.., BranchScale::Number(scale)) => format!("branches × {}", setting(scale)),
                (.., BranchScale::Named(NamedScale::Depth)) => "branches × 1/√depth".to_owned(),
            };
            let (depth, width, activation) = (network.depth, network.width, network.activation.name());
            format!("residual, {depth} layers of width {width}, {activation}, {joined}")
        }
        NetworkKind::Convnet => {
            let (depth, width, activation) = (network.depth, network.width, network.activation.name());
            format!("{depth} convolutions from {width} channels, {activation}")
        }
        NetworkKind::Resnet => {
            let (depth, width, activation) = (network.depth, network.width, network.activation.name());
            let name = if network.skip { "ResNet" } else { "plain ResNet" };
            format!("{name} of {depth} layers from {width} channels, {activation}")
        }
        NetworkKind::Rnn => {
            format!("{} recurrent layers of width {}, {}", network.depth, network.width, network.activation.name())
        }
        NetworkKind::Lstm => format!("{} LSTM layers of width {}", network.depth, network.width),
        NetworkKind::Gru => format!("{} GRU layers of width {}", network.depth, network.width),
        NetworkKind::Transformer => {
            let (depth, width, heads) = (network.depth, network.width, network.heads);
            format!("transformer of {depth} blocks of width {width}, {heads} heads, {}", network.activation.name())
        }
        NetworkKind::Layers => format!("{} explicit layers", network.layers.len()),
    };
    let optimizer = recipe.optimizer.name.title();
    let task = match recipe.data.task {
        Task::Classification => "classification",
        Task::Regression => "regression",
    };
    let mut parts = vec![
        shape,
        format!("{} initialisation", network.init.name()),
        format!("{optimizer}, learning rate {}{}", setting(recipe.optimizer.learning_rate), course(&recipe.schedule)),
        format!("{} ({task}), batch {}", recipe.data.source, recipe.data.batch),
        format!("{} steps", recipe.run.steps),
        format!("seed {}", recipe.run.seed),
    ];
    if recipe.clip.kind != ClipKind::None {
        parts.insert(3, "clipped gradients".to_owned());
    }
    if let Some(format) = recipe.run.precision.narrow() {
        parts.push(format!("{} (emulated)", format.name));
    }
    match recipe.run.loss_scale {
        Some(LossScale::Number(scale)) => parts.push(format!("loss scale {}", setting(scale))),
        Some(LossScale::Named(_)) => parts.push("dynamic loss scale".to_owned()),
        None => {}
    }
    parts.iter().map(|part| text(part)).collect::<Vec<_>>().join(" · ")
}

/// What a schedule does to the learning rate.
fn course(schedule: &Schedule) -> String {
    let climb = if schedule.warm_up > 0 { format!(", warm-up over {} steps", schedule.warm_up) } else { String::new() };
    match schedule.kind {
        ScheduleKind::Constant => String::new(),
        ScheduleKind::WarmUp => climb,
        ScheduleKind::Cosine => format!("{climb}, cosine to {} of it", setting(schedule.final_fraction)),
        ScheduleKind::Step => {
            format!("{climb}, times {} every {} steps", setting(schedule.factor), schedule.every)
        }
    }
}
