//! A full disk: one clear line and status 2; what was recorded can be read, and with room again the run goes on.

use std::process::Command;

use isogain_core::record;

use crate::desk::{Desk, TINY};

/// Mounts a file system of that size in a mount namespace of its own and runs the script there; `None` where neither
/// root nor user namespaces are at hand.
fn on_small_disk(desk: &Desk, bytes: u64, script: &str) -> Option<String> {
    std::fs::create_dir(desk.path("small")).unwrap();
    let script = format!("mount -t tmpfs -o size={bytes} none small || exit 99\n{script}\ncp -a small kept\n");
    for how in [["-m"].as_slice(), &["-m", "-r"]] {
        let output = Command::new("unshare")
            .args(how)
            .args(["sh", "-c", &script])
            .current_dir(desk.path(""))
            .env("ISOGAIN", snapbox::cmd::cargo_bin!("isogain"))
            .output();
        match output {
            Ok(output) if output.status.success() => return Some(String::from_utf8(output.stdout).unwrap()),
            Ok(output) if output.status.code() == Some(99) || !output.stderr.is_empty() => {}
            _ => {}
        }
    }
    assert!(std::env::var_os("CI").is_none(), "no small disk could be mounted");
    println!("skipped: no small disk could be mounted (neither root nor user namespaces)");
    None
}

/// Room for half of the record; for the record, but not for the checkpoint.
#[test]
fn a_training_says_so_and_goes_on_with_room_again() {
    let desk = Desk::with_tiny();
    desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "whole"]);
    let size = |name: &str| std::fs::metadata(desk.path("whole").join(name)).unwrap().len();
    let record = size("run.jsonl");
    assert!(size("checkpoint.safetensors") > 2 * PAGE);
    fails_and_goes_on(record / 2, "small/run/run.jsonl");
    fails_and_goes_on(record + 2 * PAGE, "small/run/checkpoint.safetensors");
}

/// Smallest piece of a tmpfs, bytes.
const PAGE: u64 = 4096;

fn fails_and_goes_on(room: u64, refused: &str) {
    let desk = Desk::with_tiny();
    let script = "\"$ISOGAIN\" train tiny.toml --quiet --out small/run 2>&1 >/dev/null; echo \"status $?\"";
    let Some(told) = on_small_disk(&desk, room, script) else { return };
    let lines: Vec<&str> = told.lines().collect();
    let [error, status] = lines.as_slice() else { panic!("{told}") };
    assert!(error.starts_with("error: cannot write ") && error.contains(refused), "{error}");
    assert_eq!(error.matches("No space left").count(), 1, "{error}");
    assert_eq!(*status, "status 2");

    let run = record::read(&desk.path("kept/run")).unwrap();
    assert!(!run.steps.is_empty() && run.outcome.is_none());
    let ran = desk.isogain(&["train", "--resume", "--quiet", "--out", "kept/run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    desk.isogain(&["train", "tiny.toml", "--quiet", "--out", "whole"]);
    assert_eq!(desk.bytes("kept/run/weights.safetensors"), desk.bytes("whole/weights.safetensors"));
    let (run, whole) = (record::read(&desk.path("kept/run")).unwrap(), record::read(&desk.path("whole")).unwrap());
    assert_eq!((run.steps, run.outcome), (whole.steps, whole.outcome));
}

#[test]
fn a_search_still_tells_what_it_found() {
    let desk = Desk::new();
    desk.write("net.toml", TINY.replace("init = \"he-normal\"", "").replace("depth = 4", "depth = 8"));
    let script =
        "\"$ISOGAIN\" cure net.toml --quiet --no-cache --out small/out 2>small.err; echo \"status $?\"; cat small.err";
    let Some(told) = on_small_disk(&desk, 12 * PAGE, script) else { return };
    assert!(told.contains("\ncured: "), "{told}");
    let (_, end) = told.split_once("status 2\n").unwrap_or_else(|| panic!("{told}"));
    assert!(end.starts_with("error: cannot write ") && end.lines().count() == 1, "{end}");
    assert!(!record::read(&desk.path("kept/out")).unwrap().trials.is_empty());
}
