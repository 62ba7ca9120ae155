//! What is done with a run that was recorded: `view`, `compare`, `export`; and `check` of the weights that it left.

use crate::desk::Desk;

fn trained(desk: &Desk, out: &str, seed: &str) {
    let ran = desk.isogain(&["train", "tiny.toml", "--quiet", "--seed", seed, "--out", out]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
}

#[test]
fn a_run_is_viewed_compared_and_exported() {
    let desk = Desk::with_tiny();
    trained(&desk, "a", "1");
    trained(&desk, "b", "2");

    let ran = desk.isogain(&["view", "a"]);
    assert!(matches!(ran.code, Some(0 | 1)) && ran.stdout.contains("loss"), "{}{}", ran.stdout, ran.stderr);
    let ran = desk.isogain(&["view", "a", "--html", "a.html"]);
    assert!(ran.stderr.contains("wrote a.html"), "{}", ran.stderr);
    let page = desk.read("a.html");
    assert!(page.starts_with("<!") && page.contains("fc1"), "{}", &page[..200.min(page.len())]);

    let ran = desk.isogain(&["compare", "a", "b"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("what differs") && ran.stdout.contains("seed"), "{}", ran.stdout);
    let ran = desk.isogain(&["compare", "a"]);
    assert_eq!(ran.code, Some(2));

    let ran = desk.isogain(&["export", "a", "--to", "csv"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut lines = ran.stdout.lines();
    assert_eq!(lines.next(), Some("step,name,kind,statistic,value"));
    assert!(lines.clone().any(|line| line.starts_with("0,fc1,activation,")), "{:?}", lines.next());
    let ran = desk.isogain(&["export", "a", "--to", "csv", "--out", "a.csv"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert_eq!(desk.read("a.csv").lines().next(), Some("step,name,kind,statistic,value"));
    let ran = desk.isogain(&["export", "a", "--to", "json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()["steps"].is_array());
}

#[test]
fn weights_are_checked_without_a_recipe() {
    let desk = Desk::with_tiny();
    trained(&desk, "a", "1");
    let ran = desk.isogain(&["check", "a/weights.safetensors"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    assert!(ran.stdout.contains("fc1"), "{}", ran.stdout);

    desk.write("broken.safetensors", "not one");
    let ran = desk.isogain(&["check", "broken.safetensors"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("broken.safetensors"), "{}", ran.stderr);

    let ran = desk.isogain(&["check", "tiny.toml", "tiny.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("one recipe at a time"), "{}", ran.stderr);
}

#[test]
fn what_is_no_run_is_said_to_be_none() {
    let desk = Desk::new();
    for arguments in
        [&["view", "nowhere"][..], &["export", "nowhere", "--to", "csv"], &["compare", "nowhere", "either"]]
    {
        let ran = desk.isogain(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("nowhere"), "{}", ran.stderr);
    }
}
