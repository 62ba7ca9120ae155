//! Whole searches against simulated trainings: what is true is known, so wrong claims can be counted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::learning_rates::grid;
use super::paired::Paired;
use super::plan::{Arm, Plan};
use super::random_search::RandomSearch;
use super::result::Finished;
use super::schedule::{Configuration, Schedule};
use super::verdict::Judge;
use super::{Job, Score, Verdict};
use crate::recipe::Recipe;
use crate::record::{DataSummary, Outcome};
use crate::remedies::Prescription;
use crate::remedies::prescriptions::MOST;
use crate::statistics::Moments;

const LEARNING_RATE: f64 = 0.05;
const UNTRAINED: f64 = std::f64::consts::LN_10;

/// Arms of one and of two remedies, alternating.
fn plan(treated: usize, full_steps: usize) -> Plan {
    let mut arms = vec![Arm::untreated(LEARNING_RATE)];
    arms.extend((0..treated).map(|arm| Arm::treated(LEARNING_RATE, 1 + arm % 2, None)));
    Plan::usual(arms, LEARNING_RATE, vec![0, 1, 2], full_steps, UNTRAINED).unwrap()
}

fn score(loss: f64) -> Score {
    Score { loss: loss.is_finite().then_some(loss), train_accuracy: None, test_accuracy: None, test_loss: None }
}

/// Runs a search with up to `workers` jobs in flight, which finish in an order that `order` draws.
fn run(plan: Plan, workers: usize, order: u64, train: &dyn Fn(&Job) -> f64) -> Schedule {
    let mut schedule = Schedule::new(plan).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(order);
    let mut in_flight: Vec<Job> = Vec::new();
    while !schedule.is_finished() {
        while in_flight.len() < workers {
            let Some(job) = schedule.ask() else { break };
            in_flight.push(job);
        }
        in_flight.shuffle(&mut rng);
        let done = in_flight.pop().unwrap();
        schedule.tell(done.id, score(train(&done))).unwrap();
    }
    assert_eq!(schedule.ask(), None);
    schedule
}

fn verdicts(schedule: &Schedule) -> BTreeMap<usize, Verdict> {
    let plan = schedule.plan();
    let judge = Judge { comparisons: schedule.finalists().len(), ..Judge::default() };
    let judged = |c: &Configuration| {
        let reference = schedule.reference(c.arm, plan.full_steps).unwrap();
        let paired = Paired::new(
            &schedule.scores(reference, plan.full_steps),
            &schedule.scores(*c, plan.full_steps),
            plan.loss_floor,
        );
        (c.arm, judge.verdict(&paired))
    };
    schedule.finalists().iter().map(judged).collect()
}

/// A standard normal number that belongs to these values: SplitMix64 (Steele et al. 2014) and Box-Muller.
fn noise(values: &[u64]) -> f64 {
    let mix = |state: u64| {
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let seed = values.iter().fold(0, |state: u64, value| {
        mix(state.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ mix(value.wrapping_add(0x9E37_79B9_7F4A_7C15)))
    });
    let uniform = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let (u, v) = (uniform(mix(seed.wrapping_add(1))), uniform(mix(seed.wrapping_add(2))));
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Nothing helps: the loss is noise of deviation `spread` (nepers) around a curve all arms share. Half of its variance is
/// the luck of arm and seed, which lasts from rung to rung and so survives selection; the rest is new at every rung.
fn without_effect(world: u64, spread: f64) -> impl Fn(&Job) -> f64 {
    move |job| {
        let rate = job.learning_rate.to_bits();
        let lasting = noise(&[world, job.arm as u64, rate, job.seed]);
        let fresh = noise(&[world, job.arm as u64, rate, job.seed, job.steps as u64]);
        let curve = (0.5 * UNTRAINED).ln() - 0.1 * (job.steps as f64).ln();
        (curve + spread * (lasting + fresh) / 2.0_f64.sqrt()).exp()
    }
}

/// Share of searches in which some arm wrongly `improves`, over 1000 searches of 20 arms.
fn false_alarm_rate(spread: f64) -> f64 {
    let searches = 1000;
    let wrong = (0..searches)
        .filter(|world| {
            let schedule = run(plan(20, 1000), 2, 0, &without_effect(*world, spread));
            verdicts(&schedule).values().any(|verdict| *verdict == Verdict::Improves)
        })
        .count();
    wrong as f64 / f64::from(searches as u32)
}

#[test]
fn where_nothing_helps_nothing_improves() {
    for spread in [0.02, 0.1, 0.3, 1.0] {
        let rate = false_alarm_rate(spread);
        println!("spread {spread}: {rate}");
        assert!(rate < 0.05, "spread {spread}: {rate} of the searches claim an improvement");
    }
}

/// An illness of some seeds only: every run is stuck with this probability, whatever the arm.
#[test]
fn luck_of_the_seeds_is_not_an_improvement() {
    for stuck in [0.2, 0.5, 0.8] {
        let searches = 1000;
        let wrong = (0..searches)
            .filter(|world| {
                let train = |job: &Job| {
                    let draw = noise(&[*world, job.arm as u64, job.learning_rate.to_bits(), job.seed]);
                    // The normal quantile of the probability, to three digits.
                    let threshold = if stuck == 0.2 {
                        0.842
                    } else if stuck == 0.5 {
                        0.0
                    } else {
                        -0.842
                    };
                    if draw > threshold { 2.3 } else { 0.05 * (100.0 / job.steps as f64).sqrt() }
                };
                let schedule = run(plan(20, 1000), 2, 0, &train);
                verdicts(&schedule).values().any(|verdict| *verdict == Verdict::Improves)
            })
            .count();
        println!("stuck {stuck}: {}", wrong as f64 / 1000.0);
        assert!(wrong < 50, "stuck {stuck}: {wrong} of 1000 searches claim an improvement");
    }
}

/// One arm of twenty trains, at one learning rate of four; all others are stuck, as the untreated network is.
#[test]
fn the_arm_that_helps_is_found() {
    for helpful in [1, 10, 20] {
        let missed = (0..200)
            .filter(|world| {
                let train = |job: &Job| {
                    let rate = job.learning_rate.to_bits();
                    let jitter = noise(&[*world, job.arm as u64, rate, job.seed, job.steps as u64]);
                    if job.arm == helpful && job.learning_rate < LEARNING_RATE && job.learning_rate > 0.005 {
                        2.3 * (-(job.steps as f64) / 150.0 + 0.1 * jitter).exp()
                    } else {
                        2.3 + 0.01 * jitter
                    }
                };
                let schedule = run(plan(20, 1000), 2, *world, &train);
                let verdicts = verdicts(&schedule);
                verdicts.get(&helpful) != Some(&Verdict::Improves)
                    || verdicts.iter().any(|(arm, verdict)| *arm != helpful && *verdict != Verdict::NoEffect)
            })
            .count();
        assert_eq!(missed, 0, "arm {helpful}");
    }
}

/// A plateau longer than the rounds: until step 300 every loss is that of knowing nothing, but for noise. Then two arms
/// train, one of them at two rates, of which one is far better. Whenever noise lets it live that long it must be found.
#[test]
fn rounds_on_a_plateau_do_not_decide() {
    let fast = Configuration { arm: 1, learning_rate: grid(LEARNING_RATE)[1] };
    let slow = Configuration { arm: 1, learning_rate: LEARNING_RATE };
    let train = |world: u64| {
        move |job: &Job| {
            let rate = job.learning_rate.to_bits();
            let jitter = noise(&[world, job.arm as u64, rate, job.seed, job.steps as u64]);
            let is = |c: Configuration| job.arm == c.arm && job.learning_rate == c.learning_rate;
            let speed = if is(fast) {
                0.01
            } else if is(slow) {
                0.002
            } else {
                0.0
            };
            UNTRAINED * (0.002 * jitter - speed * (job.steps as f64 - 300.0).max(0.0)).exp()
        }
    };
    let (mut reached, mut found) = (0, 0);
    for world in 0..200 {
        let schedule = run(plan(4, 1000), 2, world, &train(world));
        reached += usize::from(!schedule.scores(fast, 200).is_empty());
        found += usize::from(schedule.finalists().contains(&fast));
        assert!(schedule.search_steps() <= plan(4, 1000).most_search_steps());
    }
    assert!(reached > 50 && found == reached, "{found} of {reached}");
}

/// The steps of the whole job on a recipe of 1000 steps: untreated network, search, and a random search as long.
#[test]
fn the_usual_plan_for_a_thousand_steps_stays_within_sixty_thousand() {
    let plan = plan(MOST, 1000);
    assert!(plan.arms.len() >= 20, "only {} arms fit", plan.arms.len());
    let schedule = run(plan.clone(), 2, 0, &without_effect(0, 0.3));
    let random = run_random(&plan, schedule.search_steps(), &without_effect(0, 0.3));
    let steps = schedule.total_steps() + random.total_steps();
    println!("arms {} search {} random {} all {steps}", plan.arms.len(), schedule.search_steps(), random.total_steps());
    assert!(steps <= 60_000 && schedule.total_steps() == plan.untreated_steps() + schedule.search_steps());
    // All but less than one whole training of the random search's share is spent.
    assert!(random.total_steps() + plan.full_steps > schedule.search_steps());
}

fn run_random(plan: &Plan, budget: usize, train: &dyn Fn(&Job) -> f64) -> RandomSearch {
    let mut random = RandomSearch::new(plan, budget, 7);
    while let Some(job) = random.ask() {
        random.tell(job.id, score(train(&job))).unwrap();
    }
    assert!(random.is_finished());
    random
}

#[test]
fn random_search_judges_its_best_on_every_seed() {
    let plan = plan(8, 100);
    let random = run_random(&plan, 2000, &without_effect(3, 0.5));
    let (best, runs) = random.best().unwrap();
    assert_eq!(runs.iter().map(|run| run.seed).collect::<Vec<_>>(), plan.seeds);
    let (judged, drawn): (Vec<Job>, Vec<Job>) =
        random.jobs().iter().cloned().partition(|job| plan.seeds.contains(&job.seed));
    let train = without_effect(3, 0.5);
    let winner = drawn.iter().min_by(|a, b| train(a).total_cmp(&train(b))).unwrap();
    assert!(judged.iter().all(|job| (job.arm, job.learning_rate) == (winner.arm, winner.learning_rate)));
    assert_eq!((drawn.len(), judged.len()), (17, 3));
    assert!(plan.arms[best.arm].learning_rates.contains(&best.learning_rate));
    assert!(RandomSearch::new(&plan, 299, 7).is_finished(), "three seeds of 100 steps do not fit 299 steps");
}

#[test]
fn unasked_answers_are_refused() {
    let mut schedule = Schedule::new(plan(2, 100)).unwrap();
    assert!(schedule.tell(0, score(1.0)).is_err());
    let job = schedule.ask().unwrap();
    schedule.tell(job.id, score(1.0)).unwrap();
    assert!(schedule.tell(job.id, score(1.0)).is_err());
}

#[test]
fn unfair_plans_are_refused() {
    let fair = plan(2, 100);
    let mut unfair = fair.clone();
    unfair.arms[1].learning_rates.push(7.0);
    assert!(unfair.check().unwrap_err().to_string().contains("learning rate 7"));
    let mut twice = fair.clone();
    twice.seeds = vec![1, 1];
    assert!(twice.check().is_err());
    let mut alone = fair.clone();
    alone.arms.clear();
    assert!(alone.check().is_err());
    assert!(fair.within_budget(100).unwrap_err().to_string().contains("the budget is 100"));
}

/// With measured costs: what is planned stays within the time, and what is left is still a fair comparison.
#[test]
fn a_plan_within_a_time_costs_no_more() {
    let mut wanted = plan(20, 1000);
    wanted.overhead_steps = 40.0;
    for (index, arm) in wanted.arms.iter_mut().enumerate().skip(1) {
        arm.cost = [0.5, 1.0, 4.0][index % 3];
    }
    let least = wanted.within_time(0).unwrap_err().to_string();
    assert!(least.contains("the budget is 0"), "{least}");
    let mut arms = 0;
    for budget in [12_000, 20_000, 40_000, 80_000, 200_000] {
        let plan = wanted.within_time(budget).unwrap();
        let train = without_effect(0, 0.3);
        let schedule = run(plan.clone(), 2, 0, &train);
        let cost = |job: &Job| plan.arms[job.arm].cost * (job.steps as f64 + plan.overhead_steps);
        let spent: f64 = schedule.jobs().iter().map(cost).sum();
        assert!(spent <= budget as f64, "{spent} of {budget}");
        assert!(plan.arms.len() >= arms && plan.arms[0].learning_rates.contains(&LEARNING_RATE));
        arms = plan.arms.len();
        assert_eq!(schedule.scores(schedule.finalists()[0], 1000).len(), 3);
    }
    assert_eq!(wanted.within_time(1_000_000).unwrap().arms.len(), wanted.arms.len());
    assert!(wanted.within_time(1_000_000).unwrap().random_search && !wanted.within_time(40_000).unwrap().random_search);
}

/// The usual budget buys the untreated network, two finalists and random search, however many seeds are asked for.
#[test]
fn any_number_of_seeds_fits_the_usual_budget() {
    for seeds in 1..=20 {
        for full_steps in [1, 9, 10, 11, 40, 1000, 1_000_000_000] {
            let mut arms = vec![Arm::untreated(LEARNING_RATE)];
            arms.extend((0..MOST).map(|_| Arm::treated(LEARNING_RATE, 1, None)));
            let plan = Plan::usual(arms, LEARNING_RATE, (0..seeds).collect(), full_steps, UNTRAINED);
            let plan = plan.unwrap_or_else(|error| panic!("{seeds} seeds, {full_steps} steps: {error}"));
            assert!(plan.finalists >= 2 && plan.arms.len() > 2, "{seeds} seeds, {full_steps} steps: {plan:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_jobs_finish_changes_nothing(
        treated in 1..12_usize, workers in 1..9_usize, order: u64, world: u64, steps in 5..400_usize,
    ) {
        let one = run(plan(treated, steps), 1, 0, &without_effect(world, 0.5));
        let other = run(plan(treated, steps), workers, order, &without_effect(world, 0.5));
        prop_assert_eq!(one.jobs(), other.jobs());
        prop_assert_eq!(one.finalists(), other.finalists());
        prop_assert_eq!(verdicts(&one), verdicts(&other));
    }

    #[test]
    fn the_budget_is_never_exceeded(treated in 1..30_usize, trainings in 20..80_usize, steps in 5..2000_usize, world: u64) {
        let Ok(plan) = plan(treated, steps).within_budget(trainings * steps) else { return Ok(()) };
        let schedule = run(plan.clone(), 3, world, &without_effect(world, 0.5));
        let random = run_random(&plan, schedule.search_steps(), &without_effect(world, 0.5));
        prop_assert!(schedule.search_steps() <= plan.most_search_steps());
        prop_assert!(random.total_steps() <= schedule.search_steps());
        prop_assert!(schedule.total_steps() + random.total_steps() <= trainings * steps);
    }

    #[test]
    fn every_final_arm_and_the_untreated_one_are_run_on_the_same_seeds(treated in 1..12_usize, world: u64) {
        let schedule = run(plan(treated, 500), 2, world, &without_effect(world, 0.5));
        let plan = schedule.plan();
        let untreated = plan.arms[0].learning_rates.iter().map(|rate| Configuration { arm: 0, learning_rate: *rate });
        for configuration in untreated.chain(schedule.finalists().iter().copied()) {
            let runs = schedule.scores(configuration, plan.full_steps);
            prop_assert_eq!(runs.iter().map(|run| run.seed).collect::<Vec<_>>(), plan.seeds.clone());
        }
        for rung in &plan.rungs {
            for job in schedule.jobs().iter().filter(|job| job.steps == rung.steps) {
                prop_assert!(rung.seeds.contains(&job.seed));
            }
        }
        prop_assert!(schedule.finalists().iter().any(|c| plan.arms[c.arm].remedies == 1));
    }

    #[test]
    fn an_arm_that_is_worse_everywhere_never_wins(world: u64, bad in 1..8_usize) {
        let train = without_effect(world, 0.3);
        let worse = |job: &Job| train(job) * if job.arm == bad { 20.0 } else { 1.0 };
        let schedule = run(plan(8, 500), 2, world, &worse);
        prop_assert!(verdicts(&schedule).get(&bad).is_none_or(|verdict| *verdict != Verdict::Improves));
        prop_assert!(schedule.finalists()[0].arm != bad);
    }
}

/// A whole report: one remedy trains to 0.1, another to 0.01, a pair as well, one diverges, the rest is stuck.
#[test]
fn the_report_names_the_simplest_cure_and_keeps_every_verdict() {
    let prescription = |remedies: &[&str]| Prescription {
        remedies: remedies.iter().map(|name| (*name).to_owned()).collect(),
        parameters: "p".to_owned(),
        recipe: Recipe::default(),
    };
    let prescriptions = [
        prescription(&["rescale-init"]),
        prescription(&["rescale-init", "add-skip"]),
        prescription(&["add-skip"]),
        prescription(&["clip-by-value"]),
        prescription(&["change-learning-rate"]),
    ];
    let mut arms = vec![Arm::untreated(LEARNING_RATE)];
    arms.extend(prescriptions[..4].iter().map(|p| Arm::treated(LEARNING_RATE, p.remedies.len(), None)));
    arms.push(Arm::other_learning_rate(arms[0].learning_rates[0]));
    let plan = Plan::usual(arms, LEARNING_RATE, vec![0, 1, 2], 1000, UNTRAINED).unwrap();
    let train = |job: &Job| {
        let end = match job.arm {
            1 => 0.1,
            2 => 0.001,
            3 => 0.002,
            4 => return f64::NAN,
            _ => return UNTRAINED + 1e-3 * (job.seed + 1) as f64 * (job.learning_rate / LEARNING_RATE).ln().abs(),
        };
        let rate = (job.learning_rate / (LEARNING_RATE / 5.0)).ln().powi(2);
        end + (UNTRAINED - end) * (-(job.steps as f64) / (100.0 * (1.0 + rate))).exp()
    };
    let schedule = run(plan, 2, 5, &train);
    let random = run_random(schedule.plan(), schedule.search_steps(), &train);
    let finished =
        Finished { schedule: &schedule, random: Some(&random), prescriptions: &prescriptions, predictions: &[] };
    let report = finished.report(1.5).unwrap();

    let verdicts: Vec<Verdict> = report.prescriptions.iter().map(|result| result.verdict).collect();
    use Verdict::{Harms, Improves, NoEffect};
    assert_eq!(verdicts, [Improves, Improves, Improves, Harms, NoEffect]);
    assert!(report.prescriptions.iter().all(|result| result.seeds.len() == 3 && result.steps == 1000));
    // Another rate alone is compared with the recipe's, all else with the untreated network's best; here they are one.
    assert!(report.prescriptions.iter().all(|result| result.against_learning_rate.is_none()));
    let cure = report.cure.unwrap();
    // Both it and the pair are below the floor; it is one remedy.
    assert_eq!((cure.prescription, cure.remedies.as_slice()), (2, &["add-skip".to_owned()][..]));
    assert_eq!(cure.recipe.optimizer.learning_rate, grid(LEARNING_RATE)[1]);
    assert_eq!(report.baseline.learning_rate, LEARNING_RATE);
    assert_eq!(report.baseline.learning_rates.len(), 4);
    assert_eq!(report.spent.steps, schedule.total_steps() + random.total_steps());
    assert_eq!(report.prescriptions[3].effect.as_ref().unwrap().median_loss_ratio, None);
}

/// A recipe whose rate is wrong: the cure is another rate, told against the recipe's and not against itself.
#[test]
fn another_rate_is_told_against_the_recipes() {
    let better = grid(LEARNING_RATE)[1];
    let prescriptions = [Prescription {
        remedies: vec!["change-learning-rate".to_owned()],
        parameters: String::new(),
        recipe: Recipe::default(),
    }];
    let arms = vec![Arm::untreated(LEARNING_RATE), Arm::other_learning_rate(better)];
    let plan = Plan::usual(arms, LEARNING_RATE, vec![0, 1, 2], 1000, UNTRAINED).unwrap();
    let schedule = run(plan, 1, 1, &|job| if job.learning_rate == better { 0.1 } else { UNTRAINED });
    let finished = Finished { schedule: &schedule, random: None, prescriptions: &prescriptions, predictions: &[] };
    let report = finished.report(0.0).unwrap();
    assert_eq!((report.baseline.learning_rate, report.prescriptions[0].verdict), (better, Verdict::Improves));
    let (rate, seeds) = report.before();
    assert_eq!((rate, seeds.len(), seeds[0].score.loss), (LEARNING_RATE, 3, Some(UNTRAINED)));
}

/// What a search says that is stopped after any number of answers: nothing before the untreated network was trained, no
/// claim before it was trained at every rate, and at the end the report itself.
#[test]
fn a_search_that_was_stopped_claims_no_more_than_it_knows() {
    let prescription =
        Prescription { remedies: vec!["add-skip".to_owned()], parameters: String::new(), recipe: Recipe::default() };
    let prescriptions = [prescription];
    let train = |job: &Job| if job.arm == 1 { 0.01 } else { UNTRAINED + 1e-3 * job.seed as f64 };
    let whole = run(plan(1, 100), 1, 0, &train);
    let mut claims = Vec::new();
    for stop in 0..=whole.jobs().len() {
        let mut schedule = Schedule::new(plan(1, 100)).unwrap();
        // The latest first, so that finalists are known before the untreated network is.
        let mut in_flight: Vec<Job> = Vec::new();
        for _ in 0..stop {
            in_flight.extend(std::iter::from_fn(|| schedule.ask()));
            let job = in_flight.remove(in_flight.iter().position(|job| job.steps < 100).unwrap_or(in_flight.len() - 1));
            schedule.tell(job.id, score(train(&job))).unwrap();
        }
        let finished = Finished { schedule: &schedule, random: None, prescriptions: &prescriptions, predictions: &[] };
        let untreated = schedule.answered().filter(|job| job.arm == 0 && job.steps == 100).count();
        assert_eq!(finished.report(0.0).is_some(), stop == whole.jobs().len());
        let Some(report) = finished.so_far(0.0) else {
            assert_eq!(untreated, 0);
            continue;
        };
        assert!(untreated > 0);
        assert_eq!(report.spent.trials, stop);
        let claimed = report.prescriptions[0].verdict;
        assert_eq!(claimed == Verdict::Improves, untreated == 12, "{untreated} of 12 known: {claimed:?}");
        claims.push(claimed);
    }
    assert!(claims.contains(&Verdict::Inconclusive) && claims.last() == Some(&Verdict::Improves));
}

/// Scaling the target by its deviation s divides the squared error by s^2: no better, and so judged.
#[test]
fn a_score_is_in_the_units_of_the_untreated_target() {
    let data = |baseline_loss: f64| DataSummary {
        source: "made up".into(),
        train_samples: 10,
        test_samples: 2,
        input: Moments::default(),
        feature_rms_ratio: 1.0,
        target: None,
        classes: None,
        baseline_loss,
    };
    let outcome = |loss: f64| Outcome {
        seed: 0,
        steps: 1,
        losses: Vec::new(),
        loss: Some(loss),
        test_loss: Some(2.0 * loss),
        train_accuracy: None,
        test_accuracy: None,
        first_non_finite: None,
    };
    let raw = Score::new(&outcome(3000.0), &data(6000.0), &data(6000.0));
    let scaled = Score::new(&outcome(0.5), &data(1.0), &data(6000.0));
    assert_eq!(raw, scaled);
    assert_eq!(scaled.test_loss, Some(6000.0));
    // Classes have no scale: baselines differ only where losses do, and then it is the untreated one's that is told.
    let classes = |baseline_loss: f64| DataSummary { classes: Some(10), ..data(baseline_loss) };
    assert_eq!(Score::new(&outcome(0.02), &classes(10f64.ln()), &classes(0.09)).loss, Some(0.02));
}
