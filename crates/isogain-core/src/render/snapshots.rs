//! What every renderer writes for the same few reports.

use super::fixture::{context, cured, healthy, hostile, improved, remarked, uncured, vanishing};
use crate::rules::TABLE;

use super::{Context, Door, Format, RecipeFile, Style, check, cure, json};

#[test]
fn text() {
    insta::assert_snapshot!("text_check", check(&vanishing(), Format::Text, &context()).unwrap());
    insta::assert_snapshot!("text_healthy", check(&healthy(), Format::Text, &context()).unwrap());
    insta::assert_snapshot!("text_cure", cure(&cured(), Format::Text, &context()).unwrap());
    insta::assert_snapshot!("text_uncured", cure(&uncured(), Format::Text, &context()).unwrap());
    insta::assert_snapshot!("text_hostile", cure(&hostile(), Format::Text, &context()).unwrap());
}

#[test]
fn remarks_stand_in_every_format() {
    insta::assert_snapshot!("text_remarked", check(&remarked(), Format::Text, &context()).unwrap());
    insta::assert_snapshot!("github_remarked", check(&remarked(), Format::Github, &context()).unwrap());
    insta::assert_snapshot!("markdown_remarked", check(&remarked(), Format::Markdown, &context()).unwrap());
    insta::assert_snapshot!("sarif_remarked", without_rules(&check(&remarked(), Format::Sarif, &context()).unwrap()));
    let mut report = cured();
    report.check.remarks = remarked().remarks;
    let text = cure(&report, Format::Text, &context()).unwrap();
    assert!(text.starts_with("warning: stem.weight (1 of 62 parameters"), "{text}");
}

#[test]
fn a_healthy_network_has_nothing_to_cure() {
    for (mut report, said) in [(improved(), "nothing to cure; still improved by "), (uncured(), "nothing to cure; ")] {
        report.check = healthy();
        let text = cure(&report, Format::Text, &context()).unwrap();
        assert!(text.contains(&format!("\nhealthy: {said}")) && !text.contains("\ncured: "), "{text}");
        let page = cure(&report, Format::Markdown, &context()).unwrap();
        assert!(page.starts_with("### isogain: healthy\n\nnothing to cure; "), "{page}");
    }
}

#[test]
fn colour_only_adds_escapes() {
    let coloured = Context { style: Style::Coloured, ..context() };
    for report in [cured(), uncured()] {
        let text = cure(&report, Format::Text, &coloured).unwrap();
        assert_eq!(without_escapes(&text), cure(&report, Format::Text, &context()).unwrap());
        assert_ne!(text, without_escapes(&text));
    }
}

fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
}

#[test]
fn help_is_that_of_the_door() {
    let text = |door| check(&vanishing(), Format::Text, &Context { door, ..context() }).unwrap();
    let (command, call) = (text(Door::CommandLine), text(Door::Python));
    assert!(command.contains("`isogain cure recipes/thirty.toml`"), "{command}");
    assert!(call.contains("`isogain.cure(build_model, data, loss_fn)`"), "{call}");
    assert!(!call.contains("isogain cure"), "{call}");
}

#[test]
fn github() {
    insta::assert_snapshot!("github_check", check(&vanishing(), Format::Github, &context()).unwrap());
    insta::assert_snapshot!("github_cure", cure(&cured(), Format::Github, &context()).unwrap());
    let built_in = Context { file: RecipeFile::default(), ..context() };
    insta::assert_snapshot!("github_built_in", cure(&uncured(), Format::Github, &built_in).unwrap());
    insta::assert_snapshot!("github_hostile", cure(&hostile(), Format::Github, &context()).unwrap());
    assert_eq!(check(&healthy(), Format::Github, &context()).unwrap(), "");
}

#[test]
fn no_name_can_write_a_workflow_command() {
    let commands = cure(&hostile(), Format::Github, &context()).unwrap();
    let check = hostile().check;
    assert_eq!(commands.lines().count(), check.findings.len() + check.remarks.len() + 1);
    for line in commands.lines() {
        let (properties, _) = line[2..].split_once("::").unwrap();
        assert!(properties.matches(',').count() == 2 && !properties.contains(':'), "{properties}");
    }
}

#[test]
fn sarif() {
    insta::assert_snapshot!("sarif_check", without_rules(&check(&vanishing(), Format::Sarif, &context()).unwrap()));
    insta::assert_snapshot!("sarif_hostile", without_rules(&cure(&hostile(), Format::Sarif, &context()).unwrap()));
    let healthy: serde_json::Value =
        serde_json::from_str(&check(&healthy(), Format::Sarif, &context()).unwrap()).unwrap();
    assert_eq!(healthy["runs"][0]["results"], serde_json::json!([]));
}

/// A SARIF log without the pages of all rules, which are no matter of the renderer; they must be there, though.
fn without_rules(log: &str) -> String {
    let mut log: serde_json::Value = serde_json::from_str(log).unwrap();
    let rules = log["runs"][0]["tool"]["driver"]["rules"].take();
    let rules = rules.as_array().unwrap();
    assert!(
        rules.iter().zip(TABLE).all(|(listed, rule)| listed["id"] == rule.name && listed["help"]["text"] == rule.page)
    );
    assert_eq!(rules.len(), TABLE.len());
    json::of(&log).unwrap()
}

#[test]
fn markdown() {
    insta::assert_snapshot!("markdown_check", check(&vanishing(), Format::Markdown, &context()).unwrap());
    insta::assert_snapshot!("markdown_healthy", check(&healthy(), Format::Markdown, &context()).unwrap());
    insta::assert_snapshot!("markdown_cure", cure(&cured(), Format::Markdown, &context()).unwrap());
    insta::assert_snapshot!("markdown_hostile", cure(&hostile(), Format::Markdown, &context()).unwrap());
}

#[test]
fn no_name_can_leave_its_cell_of_a_markdown_table() {
    let page = cure(&hostile(), Format::Markdown, &context()).unwrap();
    let (before_recipe, recipe) = page.split_once("#### The cured recipe").unwrap();
    assert!(!before_recipe.contains("<script") && !before_recipe.contains("</script"));
    assert!(recipe.trim_start().starts_with("````toml"), "a fence longer than the one inside: {recipe}");
    let rows = before_recipe.lines().filter(|line| line.starts_with('|'));
    for row in rows {
        let bars = row.matches('|').count();
        assert!(bars == 5 || bars == 9, "{row}");
    }
}

/// The documents that `schema/examples` shows, and that the page is tested with. Set `ISOGAIN_WRITE_EXAMPLES` to write
/// them anew.
#[test]
fn json_is_what_the_examples_show() {
    let examples = [
        ("check.json", json::of(&vanishing()).unwrap()),
        ("check_healthy.json", json::of(&healthy()).unwrap()),
        ("check_remarked.json", json::of(&remarked()).unwrap()),
        ("cure.json", json::of(&cured()).unwrap()),
        ("cure_uncured.json", json::of(&uncured()).unwrap()),
        ("cure_hostile.json", json::of(&hostile()).unwrap()),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/examples");
    for (name, written) in examples {
        let path = folder.join(name);
        if std::env::var_os("ISOGAIN_WRITE_EXAMPLES").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        let line = written.lines().zip(expected.lines()).position(|(written, expected)| written != expected);
        assert!(written == expected, "{name} differs from line {:?} on", line.map(|line| line + 1));
    }
}

#[test]
fn json_reads_back_to_the_same_report() {
    let written = json::of(&cured()).unwrap();
    let read: crate::summary::CureReport = serde_json::from_str(&written).unwrap();
    assert_eq!(json::of(&read).unwrap(), written);
    assert_eq!(read, cured());
}

#[test]
fn what_is_not_finite_is_null() {
    let written = json::of(&hostile()).unwrap();
    assert!(written.contains("\"cotangent_rms\": null"));
    assert!(!written.contains("NaN") && !written.contains("Infinity"));
    let value: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(value["check"]["findings"][0]["level"], "error");
    assert_eq!(value["check"]["findings"][1]["level"], "note");
}

#[test]
fn formats_are_found_by_name() {
    assert_eq!(Format::named("sarif"), Ok(Format::Sarif));
    assert_eq!(Format::named("josn").unwrap_err(), "unknown format 'josn'; did you mean 'json'?");
    assert!(Format::named("portable document").unwrap_err().contains("known: text, json"));
}
