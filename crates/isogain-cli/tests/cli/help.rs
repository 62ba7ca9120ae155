//! The help teaches: what there is, how a recipe looks, what the exit status means.

use snapbox::{assert_data_eq, file};

use crate::desk::Desk;

#[test]
fn help_is_as_written() {
    let desk = Desk::new();
    assert_data_eq!(desk.isogain(&["--help"]).stdout, file!["help/isogain.txt"]);
    for (command, expected) in [
        ("cure", file!["help/cure.txt"]),
        ("check", file!["help/check.txt"]),
        ("train", file!["help/train.txt"]),
        ("view", file!["help/view.txt"]),
        ("compare", file!["help/compare.txt"]),
        ("export", file!["help/export.txt"]),
        ("smooth", file!["help/smooth.txt"]),
        ("map", file!["help/map.txt"]),
        ("reproduce", file!["help/reproduce.txt"]),
        ("tour", file!["help/tour.txt"]),
        ("explain", file!["help/explain.txt"]),
    ] {
        assert_data_eq!(desk.isogain(&[command, "--help"]).stdout, expected);
    }
}

#[test]
fn nothing_said_shows_the_help() {
    let desk = Desk::new();
    let ran = desk.isogain(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("Usage: isogain <COMMAND>"), "{}", ran.stderr);
}

/// The recipe that the help shows is one.
#[test]
fn the_recipe_in_the_help_works() {
    let desk = Desk::new();
    let help = desk.isogain(&["--help"]).stdout;
    let recipe: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let start = recipe.iter().position(|line| *line == "[network]").unwrap();
    desk.write("net.toml", recipe[start..].join("\n"));
    let ran = desk.isogain(&["check", "net.toml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("error[vanishing-gradient]: "), "{}", ran.stdout);
}
