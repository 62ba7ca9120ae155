//! `isogain tour`: claims measured, as text and as a page.

use isogain::tour::TABLE;

use crate::desk::Desk;

#[test]
fn one_stop_is_told_and_drawn() {
    let desk = Desk::new();
    let ran = desk.isogain(&["tour", "chain-product", "--quiet", "--html", "stop.html"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("chain-product  The gradient of an early weight"), "{}", ran.stdout);
    assert!(ran.stdout.contains("   wrong if "), "{}", ran.stdout);
    let page = desk.read("stop.html");
    assert!(page.contains("<h2 id=\"chain-product-title\">The gradient") && page.contains("What would prove it wrong"));
    assert!(page.matches("<figure").count() >= 2, "{page}");
}

#[test]
fn the_help_has_every_stop_and_a_typo_is_guessed() {
    let desk = Desk::new();
    let help = desk.isogain(&["tour", "--help"]).stdout;
    let words: Vec<&str> = help.split(|sign: char| !sign.is_alphanumeric() && sign != '-').collect();
    for stop in TABLE {
        assert!(words.contains(&stop.name), "{}: {help}", stop.name);
    }
    let ran = desk.isogain(&["tour", "cliping"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("did you mean 'clipping'?"), "{}", ran.stderr);
}

/// Every number of every stop, on one page; the account is contradicted in some, and the status says so.
#[test]
fn the_whole_tour_is_one_page() {
    let desk = Desk::new();
    let ran = desk.isogain(&["tour", "--quiet", "--out", "out"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let page = desk.read("out/report.html");
    for (place, stop) in TABLE.iter().enumerate() {
        assert!(page.contains(&format!("<h2 id=\"{}-title\">{}. ", stop.name, place + 1)), "{}", stop.name);
        assert!(desk.path("out").join(format!("{}.json", stop.name)).is_file(), "{}", stop.name);
    }
    let ran = desk.isogain(&["tour", "--out", "out"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("is not empty"), "{}", ran.stderr);
}
