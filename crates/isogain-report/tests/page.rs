//! The page, as text and in a real browser.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use isogain_core::record::{Line, Run};
use isogain_core::summary::{CheckReport, CureReport};
use isogain_report::{check_html, html, run_html};

/// Room for everything but the report's own numbers.
const MOST_BYTES: usize = 400_000;

fn cure(json: &str) -> String {
    html(&serde_json::from_str::<CureReport>(json).unwrap()).unwrap()
}

fn check(json: &str) -> String {
    check_html(&serde_json::from_str::<CheckReport>(json).unwrap()).unwrap()
}

/// A recorded run, by its lines; `name` is its folder.
fn run(lines: &str, name: &str) -> String {
    let mut lines = lines.lines().map(|line| Line::parse(line.as_bytes()).unwrap());
    let Some(Line::Header(header)) = lines.next() else { panic!("a run starts with its header") };
    let mut run = Run::new(*header);
    lines.for_each(|line| run.absorb(line));
    run_html(&run, name).unwrap()
}

/// A run with names that want to be markup, a layer without gradient and one that is not finite.
const HOSTILE_RUN: &str = include_str!("runs/hostile.jsonl");

/// Every page, by the name of its document.
fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("cure", cure(include_str!("../../../schema/examples/cure.json"))),
        ("cure_uncured", cure(include_str!("../../../schema/examples/cure_uncured.json"))),
        ("cure_hostile", cure(include_str!("../../../schema/examples/cure_hostile.json"))),
        ("check", check(include_str!("../../../schema/examples/check.json"))),
        ("check_healthy", check(include_str!("../../../schema/examples/check_healthy.json"))),
        ("check_remarked", check(include_str!("../../../schema/examples/check_remarked.json"))),
        ("run", run(HOSTILE_RUN, "runs/<i>")),
        ("run_only_begun", run(HOSTILE_RUN.lines().next().unwrap(), "runs/new")),
    ]
}

/// The page before its data.
fn visible(page: &str) -> &str {
    page.split_once("<script type=\"application/json\"").unwrap().0
}

#[test]
fn the_page_is_small_and_asks_for_nothing() {
    for (name, page) in pages() {
        let (before, rest) = page.split_once("<script type=\"application/json\" id=\"report\">").unwrap();
        let (data, after) = rest.split_once("</script>").unwrap();
        assert!(before.len() + after.len() < MOST_BYTES, "{name}: {} bytes", before.len() + after.len());
        println!("{name}: {} bytes, of which {} are data", page.len(), data.len());
        for outside in ["http:", "https:", "//", "@import", "url("] {
            let lines = before.lines().chain(after.lines()).filter(|line| !line.trim_start().starts_with("// "));
            assert_eq!(lines.filter(|line| line.contains(outside)).count(), 0, "{name}: {outside}");
        }
        assert!(!page.contains(" style=") && !before.contains(" onload"), "{name}: the policy would block it");
    }
}

#[test]
fn the_data_is_the_report() {
    let document = include_str!("../../../schema/examples/cure_hostile.json");
    let page = cure(document);
    let data = page.split_once("id=\"report\">").unwrap().1.split_once("</script>").unwrap().0;
    let expected: serde_json::Value = serde_json::from_str(document).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(data).unwrap() == expected, "the data differs from the document");
}

#[test]
fn no_name_becomes_markup() {
    let page = cure(include_str!("../../../schema/examples/cure_hostile.json"));
    assert_eq!(page.matches("<script").count(), 2, "the data and the page's own");
    assert_eq!(page.matches("</script").count(), 2);
    assert!(visible(&page).contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"));
    assert!(!visible(&page).contains('\u{202e}') && !visible(&page).contains('\u{1b}'));
}

#[test]
fn no_name_of_a_run_becomes_markup() {
    let page = run(HOSTILE_RUN, "runs/<i>\u{202e}");
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let text = visible(&page);
    assert!(
        text.contains("runs/&lt;i&gt;\\u{202e}") && text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{text}"
    );
    assert!(!text.contains("<i>") && !text.contains("<script>alert"));
}

#[test]
fn a_run_is_shown_by_layer_and_step() {
    let page = run(HOSTILE_RUN, "runs/x");
    let text = visible(&page);
    for said in [
        "Loss while training",
        "Gradient by layer",
        "Signal by layer",
        "Update over weight",
        "exactly zero",
        "NaN or infinite",
        "vanishing-gradient",
        "data-steps=\"0 ",
        "learning_rate = 0.05",
        "4 steps, loss 2.300",
    ] {
        assert!(text.contains(said), "{said}");
    }
    // What was tried while training, the repair that was applied among it, and its step in the loss.
    for said in [
        "1 of 1 finding answered with a repair",
        "&lt;b&gt;diverging&lt;/b&gt;",
        "clip-by-global-norm (threshold = &lt;i&gt;0.5&lt;/i&gt;) <span class=\"badge good\">applied</span>",
        "<td>broke</td>",
        "· 1 repair while training",
        "&quot;&#39;=cmd()&quot;,no,1,3,\n",
        "<li class=\"reference\">a repair</li>",
    ] {
        assert!(text.contains(said), "{said}");
    }
    // A run of which only the header is written has nothing to draw, and says so.
    let begun = run(HOSTILE_RUN.lines().next().unwrap(), "runs/new");
    assert!(visible(&begun).contains("No step is written yet") && !visible(&begun).contains("<figure"));
}

#[test]
fn everything_that_was_found_is_said() {
    let page = cure(include_str!("../../../schema/examples/cure.json"));
    let text = visible(&page);
    for said in [
        "vanishing-gradient",
        "he gradient shrinks by 10<sup>11.6</sup>",
        "weights too small",
        "isogain explain vanishing-gradient",
        "frozen-layer",
        "add-skip",
        "scale = 1/sqrt(depth)",
        "random search",
        "5 more, dropped on the way",
        "gradient scale",
        "binds",
        "learning_rate = 0.01",
        "57,200 steps",
        "2.303",
    ] {
        assert!(text.contains(said), "{said}");
    }
    let uncured = cure(include_str!("../../../schema/examples/cure_uncured.json"));
    assert!(visible(&uncured).contains("not cured") && !visible(&uncured).contains("id=\"recipe\""));
    let healthy = check(include_str!("../../../schema/examples/check_healthy.json"));
    assert!(visible(&healthy).contains("healthy") && visible(&healthy).contains("Nothing is wrong"));
    let remarked = check(include_str!("../../../schema/examples/check_remarked.json"));
    for said in ["at risk", "the graph is cut at", "dropout is off in drop", "Else nothing is wrong"] {
        assert!(visible(&remarked).contains(said), "{said}");
    }
}

/// A browser, or `None` where there is none; then the test is skipped, which is a failure when CI=true.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let folders =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let found = folders.iter().flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: chromium not found");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "chromium not found");
    }
    found
}

/// The document after its script has run, and everything the console said.
fn opened(browser: &Path, folder: &Path, name: &str, page: &str) -> (String, Vec<String>) {
    let file = folder.join(format!("{name}.html"));
    std::fs::write(&file, page).unwrap();
    let profile = folder.join(format!("profile-{name}"));
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--log-level=0", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

#[test]
fn a_browser_shows_every_page_without_complaint() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, page) in pages() {
        let (dom, console) = opened(&browser, folder.path(), name, &page);
        assert_eq!(console, Vec::<String>::new(), "{name}");
        let charts = match name {
            "run_only_begun" => 0,
            "run" => 4,
            name if name.starts_with("cure") => 3,
            _ => 2,
        };
        assert!(dom.matches("<figure class=\"chart").count() >= charts, "{name}: {dom}");
        assert!(dom.matches("role=\"img\"").count() >= charts && dom.contains("</footer>"), "{name}");
        if dom.contains("id=\"copy\"") {
            assert!(
                dom.contains("<button type=\"button\" id=\"copy\">Copy</button>"),
                "{name}: the script did not run"
            );
        }
    }
}

/// The guard of the test above: a page that does what the policy forbids is complained about.
#[test]
fn the_policy_holds() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = cure(include_str!("../../../schema/examples/cure.json"));
    for (name, evil) in [
        ("script", "<script>document.title = 'owned'</script>"),
        ("style", "<p style=\"color: red\">x</p>"),
        ("image", "<img src=\"http://127.0.0.1:9/x.png\">"),
    ] {
        let page = page.replacen("<main>", &format!("<main>{evil}"), 1);
        let (dom, console) = opened(&browser, folder.path(), name, &page);
        assert!(!console.is_empty() && !dom.contains("<title>owned"), "{name} is let through: {console:?}");
    }
}

/// Recorded runs of three programs' kinds: every chart is there as text, and its numbers beside it.
#[test]
fn recorded_runs_are_drawn() {
    let runs = [
        ("torch", include_str!("runs/torch.jsonl"), &["split", "time", "histogram-cotangent", "waterfall-after"][..]),
        ("clipped", include_str!("runs/clipped.jsonl"), &["clipping", "depth", "units"]),
        ("attention", include_str!("runs/attention.jsonl"), &["attention", "gradient-map"]),
        ("non_finite", include_str!("runs/non_finite.jsonl"), &["flight", "update-map"]),
    ];
    for (name, lines, views) in runs {
        let page = run(lines, name);
        let (_, body) = page.split_once("<body>").unwrap();
        for view in views {
            let figure =
                body.split("<figure").find(|figure| figure.contains(&format!("data-view=\"{view}\""))).unwrap();
            assert!(figure.contains("<table>"), "{name}: {view} has no numbers");
            assert!(figure.contains("<desc") || *view == "flight", "{name}: {view} has no text");
        }
        assert!(body.contains("Views that this record has nothing for"), "{name}");
    }
    let clipped = run(include_str!("runs/clipped.jsonl"), "x");
    assert!(clipped.contains("class=\"band theory\"") && clipped.contains("acted at 4 of 4 recorded steps"));
    let broken = run(include_str!("runs/non_finite.jsonl"), "x");
    assert!(broken.contains("step 2: output of <b>fc7</b>"), "the operation that the engine itself named");
}

/// Where a mark is tied to a layer by name, the name is still text.
#[test]
fn no_layer_becomes_markup() {
    let evil = r#"</script><img src=x onerror=alert(1)>\"' data-layer=x"#;
    for lines in [include_str!("runs/torch.jsonl"), include_str!("runs/non_finite.jsonl")] {
        let lines = lines.replace("\"body.2\"", &format!("\"{evil}\"")).replace("\"fc7\"", &format!("\"{evil}\""));
        let page = run(&lines, "x");
        assert!(visible(&page).contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"));
        assert!(!page.contains("<img") && !visible(&page).contains("' data-layer=x"));
        assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    }
}
