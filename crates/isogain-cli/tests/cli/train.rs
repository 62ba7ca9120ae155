//! `isogain train`: trains, records, goes on; and what `cure` writes is what `train` runs.

use serde_json::Value;

use crate::desk::{Desk, TINY, repository};

fn lines(desk: &Desk, run: &str) -> Vec<Value> {
    desk.read(&format!("{run}/run.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_is_recorded_and_said_to_be_over() {
    let desk = Desk::with_tiny();
    let ran = desk.isogain(&["train", "tiny.toml", "--out", "run"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("after 40 steps: loss "), "{}", ran.stdout);
    let lines = lines(&desk, "run");
    assert_eq!(lines.first().unwrap()["line"], "header");
    assert_eq!(lines.last().unwrap()["line"], "outcome");
    assert_eq!(lines.last().unwrap()["losses"].as_array().unwrap().len(), 40);

    let before = desk.bytes("run/run.jsonl");
    let again = desk.isogain(&["train", "--resume", "--out", "run"]);
    assert_eq!(again.code, Some(0));
    assert_eq!(
        again.stderr.trim_end(),
        "nothing left to do: all 40 steps are done. To train on, raise run.steps in run/recipe.toml"
    );
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(desk.bytes("run/run.jsonl"), before);
}

/// A run that goes on with more steps is the run that had them from the start.
#[test]
fn more_steps_can_be_asked_for() {
    let desk = Desk::with_tiny();
    desk.write("long.toml", TINY.replace("steps = 40", "steps = 60"));
    desk.isogain(&["train", "long.toml", "--quiet", "--out", "whole"]);
    desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "run"]);
    let recipe = desk.read("run/recipe.toml");
    desk.write("run/recipe.toml", recipe.replace("steps = 40", "steps = 60"));
    let ran = desk.isogain(&["train", "--resume", "--quiet", "--out", "run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for file in ["weights.safetensors", "checkpoint.safetensors"] {
        assert_eq!(desk.bytes(&format!("run/{file}")), desk.bytes(&format!("whole/{file}")), "{file}");
    }
    assert_eq!(lines(&desk, "run").last(), lines(&desk, "whole").last());
}

/// Convolutions large enough that threads share them: the record and the weights are the same bytes.
#[test]
fn the_number_of_threads_changes_nothing() {
    let desk = Desk::with_tiny();
    let recipe = "[data]\nbatch = 128\n[network]\nkind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 24\nnorm = \"batch\"\n\
                  [run]\nsteps = 3\n";
    desk.write("wide.toml", recipe);
    for threads in ["1", "3"] {
        let ran = desk.isogain(&["train", "wide.toml", "--quiet", "--threads", threads, "--out", threads]);
        assert_ne!(ran.code, Some(2), "{}", ran.stderr);
    }
    for file in ["run.jsonl", "weights.safetensors"] {
        assert_eq!(desk.bytes(&format!("1/{file}")), desk.bytes(&format!("3/{file}")), "{file}");
    }
}

/// Without its checkpoint, a run that was cut off starts again and comes to the same end.
#[test]
fn a_run_cut_off_before_its_first_checkpoint_starts_again() {
    let desk = Desk::with_tiny();
    desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "run"]);
    let whole = desk.read("run/run.jsonl");
    let weights = desk.bytes("run/weights.safetensors");
    std::fs::remove_file(desk.path("run/checkpoint.safetensors")).unwrap();
    std::fs::remove_file(desk.path("run/weights.safetensors")).unwrap();
    // In the middle of a line, as a crash leaves it.
    let half = whole.lines().take(9).map(str::len).sum::<usize>();
    desk.write("run/run.jsonl", &whole[..half]);
    let ran = desk.isogain(&["train", "--resume", "--quiet", "--out", "run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(desk.bytes("run/weights.safetensors"), weights);
    assert_eq!(desk.read("run/run.jsonl").lines().last(), whole.lines().last());
}

#[test]
fn a_run_goes_on_only_as_what_it_was() {
    let desk = Desk::with_tiny();
    desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "run"]);
    let recipe = desk.read("run/recipe.toml");
    for (from, to, named) in
        [("learning_rate = 0.1", "learning_rate = 0.2", "[optimizer]"), ("width = 16", "width = 17", "[network]")]
    {
        assert!(recipe.contains(from), "{recipe}");
        desk.write("run/recipe.toml", recipe.replace(from, to));
        let ran = desk.isogain(&["train", "--resume", "--out", "run"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        let expected = format!("error: run/recipe.toml: {named} is not what run.jsonl says the run began with; ");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
    desk.write("run/recipe.toml", &recipe);
    for (arguments, expected) in [
        (["train", "--resume", "--out", "nowhere"].as_slice(), "nowhere holds no run to go on with; begin one with: "),
        (
            &["train", "tiny.toml", "--resume", "--out", "run"],
            "--resume takes the recipe of the run; leave tiny.toml out",
        ),
        (&["train", "tiny.toml", "--out", "run"], "--out run: is not empty; choose another folder, or go on with the "),
    ] {
        let ran = desk.isogain(arguments);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.starts_with(&format!("error: {expected}")), "{}", ran.stderr);
    }
    desk.write("run/checkpoint.safetensors", "torn");
    let ran = desk.isogain(&["train", "--resume", "--out", "run"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("error: checkpoint run/checkpoint.safetensors: damaged: "), "{}", ran.stderr);
}

/// Runs without a folder of their own are numbered, and the last one goes on.
#[test]
fn runs_are_numbered() {
    let desk = Desk::with_tiny();
    for expected in ["runs/train", "runs/train-2", "runs/train-3"] {
        let ran = desk.isogain(&["train", "tiny.toml", "--quiet"]);
        assert!(ran.stdout.trim_end().ends_with(&format!("weights and report.html: {expected}")), "{}", ran.stdout);
    }
    let ran = desk.isogain(&["train", "--resume"]);
    assert!(ran.stderr.contains("raise run.steps in runs/train-3/recipe.toml"), "{}", ran.stderr);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_is_on_disk() {
    let desk = Desk::new();
    desk.write("wild.toml", TINY.replace("learning_rate = 0.1", "learning_rate = 1e30"));
    let ran = desk.isogain(&["train", "wild.toml", "--quiet", "--out", "run"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("error[non-finite]"), "{}", ran.stdout);
    let lines = lines(&desk, "run");
    let broken = &lines.last().unwrap()["first_non_finite"];
    let step = broken["step"].as_u64().unwrap();
    assert!(lines.iter().any(|line| line["line"] == "step" && line["step"] == step), "{broken}");
    let again = desk.isogain(&["train", "--resume", "--quiet", "--out", "run"]);
    // Only the name of the recipe differs, and with its length where lines are broken.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let renamed = words(&again.stdout).replace("run/recipe.toml", "wild.toml");
    assert_eq!((again.code, renamed), (Some(1), words(&ran.stdout)));
    assert!(again.stderr.starts_with("nothing left to do: "), "{}", again.stderr);
    assert_eq!(self::lines(&desk, "run"), lines);
}

/// Every seed and number of seeds that the command line takes can be run; nothing to cure is no failure.
#[test]
fn a_healthy_network_with_few_and_many_seeds() {
    let desk = Desk::new();
    desk.write("net.toml", TINY.replace("depth = 4", "depth = 2").replace("width = 16", "width = 8"));
    assert_eq!(desk.isogain(&["check", "net.toml"]).code, Some(0));
    let largest = i64::MAX.to_string();
    // It is trained as it is, and left alone.
    for (seeds, seed, out) in [("1", largest.as_str(), "one"), ("20", "0", "twenty")] {
        let ran = desk.isogain(&["cure", "net.toml", "--quiet", "--seeds", seeds, "--seed", seed, "--out", out]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
        assert!(ran.stdout.contains("\nhealthy: nothing to cure; the gradient changes by "), "{}", ran.stdout);
        assert!(!desk.path(&format!("{out}/cured.toml")).exists());
        let report: Value = serde_json::from_str(&desk.read(&format!("{out}/cure.json"))).unwrap();
        let baseline = report.pointer("/trial/baseline/seeds").or_else(|| report.pointer("/baseline/seeds"));
        assert_eq!(baseline.unwrap().as_array().unwrap().len().to_string(), seeds);
        // What was recorded can be read again, whatever the seed.
        let again = desk.isogain(&["train", "--resume", "--quiet", "--out", &format!("{out}/untreated")]);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
    }
}

#[test]
fn the_cured_recipe_trains_to_what_cure_says() {
    let desk = Desk::new();
    desk.write("data.csv", std::fs::read(repository("recipes/data/diabetes.csv")).unwrap());
    desk.write(
        "net.toml",
        "[data]\nsource = \"data.csv\"\ntask = \"regression\"\nbatch = 32\nstandardize_target = true\n\n\
         [network]\ndepth = 8\nwidth = 12\n\n[run]\nsteps = 60\n",
    );
    let cured = desk.isogain(&["cure", "net.toml", "--quiet", "--out", "out"]);
    assert_eq!(cured.code, Some(0), "{}{}", cured.stdout, cured.stderr);
    assert!(cured.stdout.contains("\ncured: "), "{}", cured.stdout);
    for file in ["cured.toml", "report.html", "cure.json", "run.jsonl", "untreated/run.jsonl"] {
        assert!(desk.path("out").join(file).is_file(), "{file}");
        assert!(cured.stdout.contains(file.split('/').next().unwrap()), "{file} is not named");
    }
    let report: Value = serde_json::from_str(&desk.read("out/cure.json")).unwrap();
    let said = report.pointer("/cure/seeds/0/loss").and_then(Value::as_f64).unwrap();

    let trained = desk.isogain(&["train", "out/cured.toml", "--quiet", "--out", "again"]);
    assert_ne!(trained.code, Some(2), "{}", trained.stderr);
    let weights = "weights.safetensors";
    assert_eq!(desk.bytes(&format!("again/{weights}")), desk.bytes(&format!("out/cured/{weights}")));
    let outcome = lines(&desk, "again").pop().unwrap();
    assert_eq!(outcome["loss"].as_f64().unwrap(), said);
}
