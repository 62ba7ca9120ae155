//! The README says what the program says: its tables are those of the code, its commands are the program's.

use isogain_core::{remedies, rules};

use crate::desk::{Desk, repository};

fn readme() -> String {
    std::fs::read_to_string(repository("README.md")).unwrap()
}

/// Name and text of every row of the table below that heading, whose names link to the pages in `folder`.
fn table(readme: &str, heading: &str, folder: &str) -> Vec<(String, String)> {
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| [`")?.strip_suffix(" |"));
    let row = |row: &str| {
        let (name, rest) = row.split_once("`](").unwrap();
        let (page, text) = rest.split_once(") | ").unwrap();
        assert_eq!(page, format!("crates/isogain-core/src/{folder}/{name}.md"));
        assert!(repository(page).is_file(), "{page}");
        (name.to_owned(), text.to_owned())
    };
    rows.map(row).collect()
}

#[test]
fn its_tables_are_those_of_the_code() {
    let readme = readme();
    let listed = table(&readme, "What it finds", "rules");
    let known: Vec<_> = rules::TABLE.iter().map(|rule| (rule.name.to_owned(), rule.summary.to_owned())).collect();
    for (listed, known) in listed.iter().zip(&known) {
        assert_eq!(listed.0, known.0);
        // A rule may be told in more words than the list of `explain` has room for.
        assert!(listed.1.starts_with(&known.1), "{}: {} is not {}", listed.0, listed.1, known.1);
    }
    assert_eq!(listed.len(), known.len());
    let known = remedies::TABLE.iter().map(|remedy| (remedy.name.to_owned(), remedy.summary.to_owned()));
    assert_eq!(table(&readme, "What it tries", "remedies"), known.collect::<Vec<_>>());
}

/// The recipe in the README is one, and ill as the text around it says.
#[test]
fn its_recipe_works() {
    let readme = readme();
    let section = readme.split("\n## A recipe\n").nth(1).unwrap();
    let recipe = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let desk = Desk::new();
    desk.write("net.toml", recipe);
    let ran = desk.isogain(&["check", "net.toml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("error[vanishing-gradient]: "), "{}", ran.stdout);
}
