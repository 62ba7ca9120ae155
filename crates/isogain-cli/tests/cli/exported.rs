//! What other programs say of our exports, and we of theirs: TensorBoard, DuckDB, PyTorch's `SummaryWriter`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::desk::Desk;

/// A Python with these packages; `None` where there is none, which is a failure when CI=true.
fn python(packages: &[&str]) -> Option<PathBuf> {
    let chosen = std::env::var("ISOGAIN_PYTHON").ok().map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let imports = packages.iter().map(|package| format!("import {package}\n")).collect::<String>();
    let works = Command::new(&chosen)
        .args(["-c", &imports])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        println!("skipped: no Python with {} (set ISOGAIN_PYTHON)", packages.join(" and "));
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no Python with {}", packages.join(" and "));
    }
    works.then_some(chosen)
}

fn said(python: &PathBuf, desk: &Desk, script: &str) -> String {
    let ran = Command::new(python).args(["-W", "ignore", "-c", script]).current_dir(desk.path(".")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn trained(desk: &Desk) {
    let ran = desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "run"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
}

#[test]
fn tensorboard_opens_what_is_exported() {
    let Some(python) = python(&["tensorboard"]) else { return };
    let desk = Desk::with_tiny();
    trained(&desk);
    let ran = desk.isogain(&["export", "run", "--to", "tensorboard"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("tensorboard --logdir run/tensorboard"), "{}", ran.stderr);
    // The reader that TensorBoard itself has; a checksum that is wrong would end it.
    let script = "\
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator('run/tensorboard', size_guidance={'scalars': 0, 'histograms': 0})
events.Reload()
tags = events.Tags()
loss = events.Scalars('loss')
print(len(loss), loss[0].step, round(loss[0].value, 3))
print(sorted(tag for tag in tags['scalars'] if tag.startswith('cotangent_rms/fc')))
histogram = events.Histograms('cotangent_exponents/fc1')[0].histogram_value
print(int(histogram.num) == int(sum(histogram.bucket)) > 0)
";
    let said = said(&python, &desk, script);
    let csv = desk.isogain(&["export", "run", "--to", "csv"]).stdout;
    let loss = csv.lines().find_map(|line| line.strip_prefix("0,run,step,loss,")).unwrap();
    let expected = format!("40 0 {:.3}", loss.parse::<f64>().unwrap()).trim_end_matches('0').to_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0].trim_end_matches('0'), expected);
    assert_eq!(
        &lines[1..],
        ["['cotangent_rms/fc1', 'cotangent_rms/fc2', 'cotangent_rms/fc3', 'cotangent_rms/fc4']", "True"],
        "{said}"
    );
}

#[test]
fn duckdb_reads_the_parquet() {
    let Some(python) = python(&["duckdb"]) else { return };
    let desk = Desk::with_tiny();
    trained(&desk);
    for format in ["parquet", "csv"] {
        let ran = desk.isogain(&["export", "run", "--to", format, "--out", &format!("run.{format}")]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let script = "\
import duckdb
print(duckdb.sql(\"describe select * from 'run.parquet'\").fetchall())
read = \"read_csv('run.csv', types={'step': 'BIGINT', 'value': 'DOUBLE'})\"
same = 'step, name, kind, statistic, value'
print(duckdb.sql(f\"select count(*) from (select {same} from 'run.parquet' except all select {same} from {read})\").fetchall()[0][0])
print(duckdb.sql(f\"select count(*) = (select count(*) from {read}) and count(*) > 1000 from 'run.parquet'\").fetchall()[0][0])
";
    let said = said(&python, &desk, script);
    let lines: Vec<&str> = said.lines().collect();
    for (name, kind) in
        [("step", "BIGINT"), ("name", "VARCHAR"), ("kind", "VARCHAR"), ("statistic", "VARCHAR"), ("value", "DOUBLE")]
    {
        assert!(lines[0].contains(&format!("('{name}', '{kind}'")), "{said}");
    }
    assert_eq!(lines[1..3], ["0", "True"], "every row of the text, with the same number: {said}");
    assert!(desk.bytes("run.parquet").len() * 2 < desk.bytes("run.csv").len());
}

/// What PyTorch's tutorial writes: scalars by hand, histograms of parameters and gradients.
#[test]
fn event_files_of_pytorch_are_runs() {
    let Some(python) = python(&["torch", "tensorboard"]) else { return };
    let desk = Desk::with_tiny();
    let script = "\
import torch
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter('logs')
values = torch.tensor([3.0, -4.0, 0.0, 5.0])
for step in range(6):
    writer.add_scalar('Loss/train', 2.5 - 0.25 * step, step)
    writer.add_scalar('Loss/validation', 9.0, step)
    writer.add_histogram('fc1.weight', values, step)
    writer.add_histogram('fc1.weight/grad', values * 10.0 ** -step, step)
writer.add_text('notes', 'hello')
writer.close()
";
    said(&python, &desk, script);
    let ran = desk.isogain(&["view", "logs", "--format", "json"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    let run: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let steps = run["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[5]["loss"]), (6, &1.25.into()));
    let gradient = &steps[2]["parameters"][0]["gradient"];
    // 100 times smaller than 3, -4, 0 and 5, whose squares add up to 50.
    assert!(
        (gradient["sum_of_squares"].as_f64().unwrap() - 50e-4).abs() < 1e-8 && gradient["count"] == 4,
        "{gradient}"
    );
    assert!(run["notes"].to_string().contains("Loss/validation"), "{}", run["notes"]);
    let ran = desk.isogain(&["view", "logs", "--html", "logs.html"]);
    assert!(ran.stderr.contains("wrote logs.html"), "{}", ran.stderr);
    assert!(desk.read("logs.html").contains("data-view=\"loss\""));
    // Beside a run of ours.
    trained(&desk);
    let ran = desk.isogain(&["compare", "run", "logs"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("where the losses part"), "{}", ran.stderr);
    let ran = desk.isogain(&["export", "logs", "--to", "csv"]);
    assert!(ran.stdout.contains("2,fc1.weight,gradient,count,4"), "{}", ran.stdout);
}
