//! What can be said on the command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use isogain_core::recipe::validate::MAX_SEED;
use isogain_core::render::Format;

/// Finds where a deep network's gradient vanishes or explodes, explains which factor of the chain rule does it, tries
/// the remedies on your own network and data, and proves which one works.
#[derive(Debug, Parser)]
#[command(
    name = "isogain",
    version,
    max_term_width = 100,
    after_help = "\
Without a recipe, check, cure and train use the built-in one: 30 ReLU layers of width 64 with PyTorch's default \
initialisation on 1,797 images of digits, the most common real case of a vanishing gradient.

A recipe is a short TOML file:

    [network]
    depth = 30
    width = 64
    activation = \"relu\"
    init = \"pytorch-default\"

    [optimizer]
    name = \"sgd\"
    learning_rate = 0.05

Optimizers: sgd, momentum, nesterov, adam, adamw, rmsprop, adagrad, muon, sign-sgd. A table [schedule] has the course \
of the learning rate (kind = \"constant\", \"warm-up\", \"cosine\", \"step\"); [run] the precision (f32, f64; bf16 and fp16 are \
emulated) and the loss_scale (a number or \"dynamic\").

Exit status: 0 nothing is wrong (cure: or a cure was proved), 1 findings (cure: and none was), 2 an error, 130 stopped \
by Ctrl-C."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find, explain, try, verify: diagnose the network, train it with each remedy, and prove a cure
    Cure(Cure),
    /// Before training: one batch and closed-form theory say whether this network can learn; of weights alone what they
    /// say without data
    Check(Check),
    /// Train and record, watched; stop with Ctrl-C and go on with --resume
    Train(Train),
    /// Recorded runs as a page, live while they are written or in a file; piped, one of them as text
    View(View),
    /// Recorded runs side by side: what differs, where the losses part, how they ended
    Compare(Compare),
    /// A recorded run for TensorBoard, as Parquet or CSV for a data frame, or as one JSON document
    Export(Export),
    /// How smooth the loss is along the gradient while a network trains; several recipes are compared
    Smooth(Smooth),
    /// How deep a plain network can be trained, by the variances of its weights and biases, and where a network stands
    Map(Map),
    /// Results of theory and of the literature, measured again by this program, beside what they should be
    Reproduce(Reproduce),
    /// The classic account of vanishing and exploding gradients, each claim measured on small networks, as one page
    Tour(Tour),
    /// What a rule or a remedy means: the problem, the formula, a network that has it, what to do
    Explain(Explain),
}

/// Options that every command with a recipe takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// The recipe, a TOML file; the built-in one when left out
    pub(crate) recipe: Option<PathBuf>,
    /// Seed instead of the recipe's
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// No progress, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse().ok().filter(|seed| *seed <= MAX_SEED);
    seed.ok_or_else(|| format!("must be a whole number from 0 to {MAX_SEED}"))
}

/// How the result is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatName {
    /// For a person at a terminal
    Text,
    /// Everything, for programs
    Json,
    /// Annotations for GitHub Actions
    Github,
    /// Static analysis results, SARIF 2.1.0
    Sarif,
    /// For a pull request
    Markdown,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Text => Self::Text,
            FormatName::Json => Self::Json,
            FormatName::Github => Self::Github,
            FormatName::Sarif => Self::Sarif,
            FormatName::Markdown => Self::Markdown,
        }
    }
}

/// `isogain cure`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cure {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Folder for the cured recipe, its weights, both records and the report
    ///
    /// runs/cure when left out, or runs/cure-2, -3 ... when that is taken
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
    /// Trials at the same time; the number of processor cores when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Paired seeds that a verdict rests on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) seeds: u8,
    /// Time for everything: 90s, 5m, 1h
    ///
    /// What does not fit is left out, random search first, and the result says so. Which trials fit depends on the speed of
    /// the machine; without a budget the same recipe and seed give the same result.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) budget: Option<Duration>,
    /// Run every training, also those that an earlier search ran
    ///
    /// A training is its recipe, its data and this program: what is known of one is kept beside the results, in
    /// runs/.trainings, and a search that was stopped or is wanted on more seeds begins where the last one ended.
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// A number of seconds, minutes or hours: `90s`, `5m`, `1.5h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("must be a number with its unit: 90s, 5m, 1h".to_owned()),
    };
    let number: Option<f64> = number.parse().ok().filter(|number: &f64| number.is_finite());
    let time = number.map(|number| number * seconds).filter(|time| (1.0..=MOST_SECONDS).contains(time));
    time.map(Duration::from_secs_f64).ok_or_else(|| "must be a time from 1s to 8760h, such as 90s, 5m, 1h".to_owned())
}

/// A year.
const MOST_SECONDS: f64 = 8760.0 * 3600.0;

/// `isogain check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A recipe is trained on nothing: one batch goes forward and back. Where the gradient's way is at fault, single factors of \
it (slopes, weights, norms, skips, loss) are made ideal, which says which of them matters. A .safetensors file of any model \
is read alone: the scale of each layer against theory, singular values, dead or repeated units, values that are not finite.

    isogain check network.toml
    isogain check model.safetensors")]
pub(crate) struct Check {
    /// The recipe, a TOML file (the built-in one when left out), or weights: .safetensors files, several for the shards
    /// of one model
    pub(crate) paths: Vec<PathBuf>,
    /// Seed instead of the recipe's
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// No progress, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
    /// Write a page there too, that opens in any browser, offline
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// `isogain train`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Folder of the run: recipe, record, checkpoint, weights, report
    ///
    /// runs/train when left out, or runs/train-2, -3 ... when that is taken; with --resume the last of these
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in that folder, to the same losses bit for bit
    #[arg(long, conflicts_with = "seed")]
    pub(crate) resume: bool,
    /// Answer what is found on the way by the repair that helps most
    ///
    /// Each is tried on a copy of the training, over the batches that come next, beside a copy that nothing was done
    /// to: clipping, learning rate, eps, loss scale, layers balanced without changing what the network computes, dead
    /// units reset, or the same from an earlier state. The best one is applied if it makes the loss 10 % smaller, and
    /// the record tells what was tried and what was done
    #[arg(long)]
    pub(crate) heal: bool,
    /// Threads that share each step; the number of processor cores when left out
    ///
    /// How many there are changes no number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// How the findings are written
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
}

/// `isogain view`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
On a terminal the page is served, to this machine alone, and follows what is still written; runs that begin later are \
listed too. Where the output is piped, one run is written as text.

    isogain view                                   all runs below runs/
    isogain view runs/train --html page.html       a page that opens offline
    isogain view runs/train --format json
    isogain view logs/events.out.tfevents.123      what TensorBoard reads, or a .csv of curves")]
pub(crate) struct View {
    /// Folders of runs, or of many runs; TensorBoard's event files and CSV of other programs too; runs/ when left out
    pub(crate) runs: Vec<PathBuf>,
    /// Write the page of one run there; it opens in any browser, offline
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "open", "port", "address"])]
    pub(crate) html: Option<PathBuf>,
    /// Write one run as text or json
    #[arg(long, value_enum, conflicts_with_all = ["open", "port", "address"])]
    pub(crate) format: Option<FormatName>,
    /// Serve the page, and open it in a browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Serve the page at this port; a free one when left out or 0
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Serve the page to other machines too, at this address of this one; whoever opens it needs the printed token
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
}

/// `isogain compare`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// Folders of runs, two or more, or files of other programs; the others are compared with the first
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Write a page there that opens in any browser, offline
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How the comparison is written: text or json
    #[arg(long, value_enum, default_value = "text", conflicts_with = "html")]
    pub(crate) format: FormatName,
}

/// `isogain export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// Folder of a run, or its run.jsonl; what other programs wrote, as for view
    pub(crate) run: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    pub(crate) to: ExportFormat,
    /// Write to this file, not to standard output
    ///
    /// For TensorBoard a folder: RUN/tensorboard when left out
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What a run is exported to.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExportFormat {
    /// An event file: scalars by layer, and histograms where they were recorded
    Tensorboard,
    /// One number a row, typed: step, name, kind, statistic, value
    Parquet,
    /// One number a row: step,name,kind,statistic,value
    Csv,
    /// One document
    Json,
}

/// `isogain smooth`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
At some steps of the training, on the step's own batch: the loss and its gradient after 7 steps along minus the gradient, \
of 0.5 to 4 times the learning rate. The narrower the band of losses, the less the gradient changes and the smaller beta \
(the change over the distance), the smoother the loss (Santurkar et al. 2018).

    isogain smooth plain.toml with-batch-norm.toml")]
pub(crate) struct Smooth {
    /// Recipes, TOML files; the built-in one when left out
    pub(crate) recipes: Vec<PathBuf>,
    /// Steps at which to measure, spread evenly over the training
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) points: u16,
    /// Seed instead of the recipes'
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// No progress, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How the result is written: text or json
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
}

/// `isogain map`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The phase diagram of mean-field theory: left of the critical weight variance gradients vanish, right of it they explode.

    isogain map --activation tanh
    isogain map network.toml --html map.html")]
pub(crate) struct Map {
    /// A recipe, a TOML file, whose place on the map is shown
    pub(crate) recipe: Option<PathBuf>,
    /// The function after each layer; that of the recipe, or tanh, when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) activation: Option<String>,
    /// Write a page there that opens in any browser, offline
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How the map is written: text or json
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
}

/// `isogain reproduce`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Without a name all experiments are listed, with the time that each takes.

    isogain reproduce batch-norm-explosion
    isogain reproduce --all

A number that ours is compared with is exact (a closed form), published (printed by the source), claimed (the outcome \
that the source describes, with a limit of our own) or measured (by an independent program).

Exit status: 0 each number is as it should be, 1 one is not, 2 an error, 130 stopped by Ctrl-C.")]
pub(crate) struct Reproduce {
    /// An experiment; the list of all when left out
    pub(crate) name: Option<String>,
    /// Run every experiment, and write one page with their tables and figures
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// Folder for the results of --all and their page, report.html
    ///
    /// runs/reproduce when left out, or runs/reproduce-2, -3 ... when that is taken; with --resume the last of these
    #[arg(long, short, value_name = "DIR", requires = "all")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the experiments that are not done yet in that folder
    #[arg(long, requires = "all")]
    pub(crate) resume: bool,
    /// Experiments at the same time; the number of processor cores when left out
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Write a page of one experiment there that opens in any browser, offline
    #[arg(long, value_name = "FILE", requires = "name")]
    pub(crate) html: Option<PathBuf>,
    /// No progress, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How the result is written: text, json or markdown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
}

/// `isogain tour`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The stops, in order: chain-product, three-terms, saturation, dead-units, skip-adds-one, start-scales, batch-norm, \
batch-size, explosion, clipping, no-free-trick. All of them take seconds.

The account is not right in everything: three-terms, dead-units, start-scales and batch-norm have numbers that \
contradict it, and so the whole tour ends with status 1.

    isogain tour
    isogain tour chain-product

Exit status: 0 each claim is as measured, 1 one is contradicted, 2 an error, 130 stopped by Ctrl-C.")]
pub(crate) struct Tour {
    /// One stop; all of them when left out
    pub(crate) name: Option<String>,
    /// Folder for the numbers and the page, report.html
    ///
    /// runs/tour when left out, or runs/tour-2, -3 ... when that is taken
    #[arg(long, short, value_name = "DIR", conflicts_with = "name")]
    pub(crate) out: Option<PathBuf>,
    /// Stops at the same time; the number of processor cores when left out
    #[arg(long, value_name = "N", conflicts_with = "name", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Write a page of one stop there that opens in any browser, offline
    #[arg(long, value_name = "FILE", requires = "name")]
    pub(crate) html: Option<PathBuf>,
    /// No progress, only the result
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How the result is written: text, json or markdown
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: FormatName,
}

/// `isogain explain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// A rule (vanishing-gradient) or a remedy (rescale-init); the list of all when left out
    pub(crate) name: Option<String>,
}
