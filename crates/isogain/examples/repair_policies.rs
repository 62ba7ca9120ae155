//! Three ways to repair a network that does not train, at the same number of optimizer updates: this program's search,
//! random search over the same remedies and learning rates, and a fixed order of repairs by the kind of problem.
//!
//!     repair_policies RECIPE...
//!
//! Prints one row of a Markdown table for each recipe, and at the end how many each repaired. All three are judged alike:
//! by a paired comparison on three seeds with the untreated network at its own best learning rate.
//!
//! The fixed order is that of AutoTrainer (Zhang et al., ICSE 2021): its problems, thresholds and repairs, written anew for
//! these recipes. It trains with the recipe's learning rate, looks whether the problem is gone, and goes on with its next
//! repair if not. It knows classification alone.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogain::check::Subject;
use isogain::cure::{Options, Watch, search};
use isogain::train::Trainer;
use isogain::trials::Runner;
use isogain_core::network::NormKind;
use isogain_core::recipe::{Clip, ClipKind, OptimizerName, Recipe, parse};
use isogain_core::record::StepRecord;
use isogain_core::theory::activations::Activation;
use isogain_core::theory::initializers::Initializer;
use isogain_core::trial::paired::Paired;
use isogain_core::trial::result::TrialReport;
use isogain_core::trial::verdict::Judge;
use isogain_core::trial::{Score, SeedScore, Verdict};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Seeds that verdicts rest on.
const SEEDS: u64 = 3;

fn main() -> Result<(), Failure> {
    isogain_allocator::keep_freed();
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("give recipes of networks that do not train".into());
    }
    println!("| recipe | our search | random search | fixed order |\n|---|---|---|---|");
    let mut tally = [Tally::default(); 3];
    for path in &paths {
        let results = compare(Path::new(path))?;
        let cells = results.iter().map(Repaired::cell).collect::<Vec<_>>().join(" | ");
        let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        println!("| `{name}` | {cells} |");
        tally.iter_mut().zip(&results).for_each(|(tally, result)| tally.add(result));
    }
    let cells = tally.map(|tally| tally.cell(paths.len())).join(" | ");
    println!("| **repaired** | {cells} |");
    Ok(())
}

/// What one policy achieved.
struct Repaired {
    what: String,
    improves: bool,
    accuracy: Option<f64>,
    loss: Option<f64>,
    steps: usize,
}

impl Repaired {
    fn cell(&self) -> String {
        let verdict = if self.improves { "repaired" } else { "not repaired" };
        let quality = match (self.accuracy, self.loss) {
            (Some(accuracy), _) => format!("accuracy {accuracy:.2}"),
            (None, Some(loss)) if loss >= 1e6 => format!("loss {loss:.1e}"),
            (None, Some(loss)) => format!("loss {loss:.3}"),
            (None, None) => "not finite".to_owned(),
        };
        format!("{verdict}: {} ({quality}; {} updates)", self.what, self.steps)
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    repaired: usize,
    steps: usize,
    accuracy: f64,
    classified: usize,
}

impl Tally {
    fn add(&mut self, result: &Repaired) {
        self.repaired += usize::from(result.improves);
        self.steps += result.steps;
        if let Some(accuracy) = result.accuracy {
            self.accuracy += accuracy;
            self.classified += 1;
        }
    }

    fn cell(self, all: usize) -> String {
        let accuracy = self.accuracy / self.classified.max(1) as f64;
        format!("{} of {all}; mean accuracy {accuracy:.2}; {} updates", self.repaired, self.steps)
    }
}

fn compare(path: &Path) -> Result<[Repaired; 3], Failure> {
    let recipe = parse(&std::fs::read_to_string(path)?, &path.display().to_string())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let stop = AtomicBool::new(false);
    let threads = std::thread::available_parallelism()?.get();
    let runner = Runner { threads, stop: &stop, progress: &|_, _| {} };
    let watch = Watch { stage: &|_| {}, begin: &|_| Ok(()), trial: &|_| {} };
    let found = search(&recipe, folder, Options::from(SEEDS as usize), runner, watch)?;
    let report = &found.report;
    // What all three are allowed: the search without the untreated network's own trainings, which all are judged against.
    let of_random = report.random_search.as_ref().map_or(0, |random| random.steps);
    let of_untreated = report.baseline.learning_rates.iter().map(|rate| rate.seeds.len()).sum::<usize>();
    let steps = report.spent.steps.saturating_sub(of_random + of_untreated * recipe.run.steps);
    let ours = match &report.cure {
        Some(cure) => repaired(cure.remedies.join(" + "), true, &cure.seeds, steps),
        None => repaired("nothing".into(), false, &report.baseline.seeds, steps),
    };
    let random = match &report.random_search {
        Some(random) => {
            let what = if random.remedies.is_empty() { "learning rate".into() } else { random.remedies.join(" + ") };
            repaired(what, random.verdict == Verdict::Improves, &random.seeds, random.steps)
        }
        None => repaired("nothing fitted".into(), false, &report.baseline.seeds, 0),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let fixed = pool.install(|| FixedOrder { subject: &found.subject, report }.run(steps))?;
    Ok([ours, random, fixed])
}

fn repaired(what: String, improves: bool, seeds: &[SeedScore], steps: usize) -> Repaired {
    let middle = |of: &dyn Fn(&Score) -> Option<f64>| {
        let mut values: Vec<f64> = seeds.iter().filter_map(|run| of(&run.score)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let (accuracy, loss) = (middle(&|score| score.train_accuracy), middle(&|score| score.loss));
    Repaired { what, improves, accuracy, loss, steps }
}

/// What a repair is called, and what it changes.
type Repair = (&'static str, fn(&mut Recipe));

/// A kind of problem, as the fixed order tells them apart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Problem {
    Vanishing,
    Exploding,
    Dying,
    Slow,
}

/// A training is well from this accuracy on.
const GOOD_ACCURACY: f64 = 0.7;
/// The first layer's gradient norm over the last one's, and the first one's itself, below which gradients vanish.
const VANISHING: (f64, f64) = (1e-3, 1e-4);
/// The same ratio above which they explode.
const EXPLODING: f64 = 70.0;
/// Share of gradients that are exactly zero from which on ReLUs are dying.
const DYING: f64 = 0.7;

impl Problem {
    /// What is wrong with a training that ended like this; `None` where nothing is.
    fn of(last: Option<&StepRecord>, accuracy: f64, is_broken: bool) -> Option<Self> {
        if accuracy >= GOOD_ACCURACY && !is_broken {
            return None;
        }
        let weights = last.iter().flat_map(|step| &step.parameters).filter(|one| one.name.ends_with(".weight"));
        let norms: Vec<f64> = weights.clone().map(|one| one.gradient.norm()).collect();
        let (zeros, count) = weights.fold((0.0, 0.0), |(zeros, count), one| {
            (zeros + one.gradient.zeros as f64, count + one.gradient.count as f64)
        });
        let (Some(first), Some(end)) = (norms.first(), norms.last()) else { return Some(Self::Slow) };
        let ratio = first / end;
        Some(if is_broken || ratio > EXPLODING || ratio.is_nan() {
            Self::Exploding
        } else if zeros >= DYING * count {
            Self::Dying
        } else if ratio < VANISHING.0 && *first < VANISHING.1 {
            Self::Vanishing
        } else {
            Self::Slow
        })
    }

    /// Its repairs in their order.
    fn repairs(self) -> Vec<Repair> {
        let selu: Repair = ("selu", |recipe| activation(recipe, "selu"));
        let norm: Repair = ("batch norm", |recipe| recipe.network.norm = Some(NormKind::Batch));
        let he: Repair = ("he-uniform", |recipe| init(recipe, "he-uniform"));
        let glorot: Repair = ("glorot-uniform", |recipe| init(recipe, "glorot-uniform"));
        let lecun: Repair = ("lecun-uniform", |recipe| init(recipe, "lecun-uniform"));
        let tenth: Repair = ("a tenth of the rate", |recipe| recipe.optimizer.learning_rate *= 0.1);
        let ten: Repair = ("ten times the rate", |recipe| recipe.optimizer.learning_rate *= 10.0);
        let adam: Repair = ("adam", |recipe| {
            recipe.optimizer.name = OptimizerName::Adam;
            recipe.optimizer.learning_rate = 1e-3;
        });
        match self {
            Self::Vanishing => vec![
                selu,
                ("relu and he-uniform", |recipe| {
                    activation(recipe, "relu");
                    init(recipe, "he-uniform");
                }),
                norm,
            ],
            Self::Exploding => vec![
                selu,
                ("relu", |recipe| activation(recipe, "relu")),
                ("clip values at 10", |recipe| recipe.clip = Clip::at(ClipKind::Value, 10.0)),
                ("tanh", |recipe| activation(recipe, "tanh")),
                norm,
            ],
            Self::Dying => vec![
                selu,
                norm,
                he,
                glorot,
                lecun,
                ("leaky ReLU", |recipe| activation(recipe, "leaky-relu")),
                ("elu", |recipe| activation(recipe, "elu")),
            ],
            Self::Slow => vec![
                adam,
                ("momentum", |recipe| recipe.optimizer.name = OptimizerName::Momentum),
                ten,
                tenth,
                he,
                glorot,
                lecun,
            ],
        }
    }
}

fn activation(recipe: &mut Recipe, name: &str) {
    if let Ok(activation) = Activation::named(name) {
        recipe.network.activation = activation;
    }
}

fn init(recipe: &mut Recipe, name: &str) {
    if let Ok(init) = Initializer::named(name) {
        recipe.network.init = init;
    }
}

/// Repairs one after the other until the problem is gone.
struct FixedOrder<'a> {
    subject: &'a Subject,
    report: &'a TrialReport,
}

/// A training with what its last step showed.
struct Trained {
    score: Score,
    problem: Option<Problem>,
}

impl FixedOrder<'_> {
    fn run(&self, budget: usize) -> Result<Repaired, Failure> {
        let recipe = &self.subject.recipe;
        let untreated = self.train(self.subject, SEEDS)?;
        let mut spent = recipe.run.steps;
        let Some(problem) = untreated.problem.filter(|_| untreated.score.train_accuracy.is_some()) else {
            let what = if untreated.problem.is_none() { "sees no problem" } else { "knows classification alone" };
            return Ok(repaired(what.into(), false, &self.report.baseline.seeds, spent));
        };
        let mut best: Option<(Subject, &str, f64)> = None;
        for (name, change) in problem.repairs() {
            // What the seeds of the verdict cost is kept back.
            if spent + (1 + SEEDS as usize) * recipe.run.steps > budget {
                break;
            }
            let mut treated = recipe.clone();
            change(&mut treated);
            // Networks that cannot be changed like that are left as they are.
            let Ok(subject) = Subject::new(&treated, self.subject.data.clone()) else { continue };
            if treated == *recipe {
                continue;
            }
            let trained = self.train(&subject, SEEDS)?;
            spent += recipe.run.steps;
            let accuracy = trained.score.train_accuracy.unwrap_or_default();
            if best.as_ref().is_none_or(|(.., other)| accuracy > *other) {
                best = Some((subject, name, accuracy));
            }
            if trained.problem.is_none() {
                break;
            }
        }
        let Some((subject, name, _)) = best else {
            return Ok(repaired("no repair applies".into(), false, &self.report.baseline.seeds, spent));
        };
        let runs = (0..SEEDS).map(|seed| {
            let seed = recipe.run.seed + seed;
            Ok(SeedScore { seed, score: self.train(&subject, seed)?.score })
        });
        let runs = runs.collect::<Result<Vec<_>, Failure>>()?;
        spent += SEEDS as usize * recipe.run.steps;
        let chance = self.subject.data.summary.baseline_loss;
        let paired = Paired::new(&self.report.baseline.seeds, &runs, 0.01 * chance);
        let verdict = Judge { untrained_loss: chance, ..Judge::default() }.verdict(&paired);
        Ok(repaired(format!("{problem:?}: {name}"), verdict == Verdict::Improves, &runs, spent))
    }

    fn train(&self, subject: &Subject, seed: u64) -> Result<Trained, Failure> {
        let steps = subject.recipe.run.steps;
        let mut trainer = Trainer::new(&subject.recipe, &subject.network, &subject.data, seed);
        let mut last = None;
        while trainer.step < steps && !trainer.is_broken() {
            let is_last = trainer.step + 1 == steps;
            last = trainer.advance(&subject.data, is_last).or(last);
        }
        let outcome = trainer.outcome(&subject.data);
        let score = Score::new(&outcome, &subject.data.summary, &self.subject.data.summary);
        let accuracy = score.train_accuracy.unwrap_or_default();
        let problem = Problem::of(last.as_ref(), accuracy, trainer.is_broken());
        Ok(Trained { score, problem })
    }
}
