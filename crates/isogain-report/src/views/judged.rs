//! How the verdicts came about, so that a reader can judge the judge.

use isogain_core::render::numbers::{count, loss, percent, seconds, setting};
use isogain_core::summary::{CureReport, median_loss};
use isogain_core::trial::result::RateResult;
use isogain_core::trial::verdict::Judge;

/// The rules of the trial, the untreated network at every learning rate, and the cost.
pub(crate) fn text(report: &CureReport) -> String {
    let judge = Judge::default();
    let trial = &report.trial;
    let seeds = trial.baseline.seeds.len();
    let spent = &trial.spent;
    let random = match &trial.random_search {
        Some(random) => format!(
            "Random search over the same remedies and learning rates had {} trainings and {} steps; its best configuration was judged \
             in the same way.",
            count(random.trials),
            count(random.steps)
        ),
        None => "The budget left nothing for a random search.".to_owned(),
    };
    let rows: String =
        trial.baseline.learning_rates.iter().map(|rate| row(rate, trial.baseline.learning_rate)).collect();
    format!(
        "<ul>\n<li>Every remedy is compared with the untreated network <b>at that network's own best learning rate</b>, another learning rate alone with the recipe's, on the same \
         {seeds} seeds, the same order of the data and the same {} steps. Loss and accuracy are those of evaluation mode on the \
         unchanged data.</li>\n\
         <li><b>improves</b> and <b>harms</b> need at least {} paired seeds, a median change of the loss of at least {}, agreement \
         beyond an exact signed-rank test's {} for all comparisons together, and, where so few seeds cannot reach that, two groups \
         that do not overlap and lie further apart than the untreated network's own spread. Everything else is <b>no effect</b> or \
         <b>inconclusive</b>.</li>\n\
         <li>The <b>first step</b> is predicted before training: the part of the loss of knowing nothing by which one step of the \
         optimizer tells samples apart that it has not seen. Below it, for what was trained to the end, the effective rank of the samples' \
         gradients: 1 where all pull in one direction. <b>Superiority</b> is the probability that a run with the remedy ends \
         with a smaller loss than one without, ties counted half.</li>\n\
         <li>Remedies were chosen on other seeds than those they are judged on.</li>\n<li>{random}</li>\n\
         <li>All of it took {} trainings, {} steps and {}.</li>\n</ul>\n\
         <div class=\"scroll\"><table><caption>The untreated network at every learning rate of the search</caption><thead><tr>\
         <th scope=\"col\">learning rate</th><th scope=\"col\">median loss</th><th scope=\"col\">loss of each seed</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>\n",
        count(report.recipe.run.steps),
        judge.min_seeds,
        percent(1.0 - (-judge.margin).exp()),
        percent(judge.alpha),
        count(spent.trials),
        count(spent.steps),
        seconds(spent.seconds),
    )
}

fn row(rate: &RateResult, best: f64) -> String {
    let mark = if rate.learning_rate == best { " <span class=\"badge calm\">best</span>" } else { "" };
    let losses: Vec<String> = rate.seeds.iter().map(|run| loss(run.score.loss)).collect();
    format!(
        "<tr><th scope=\"row\">{}{mark}</th><td>{}</td><td>{}</td></tr>",
        setting(rate.learning_rate),
        loss(median_loss(&rate.seeds)),
        losses.join(", ")
    )
}
