//! Recipes that cannot be used: each file in `hostile/` names in its first line the whole message it must give.

#![cfg(test)]

use std::fs;
use std::path::Path;

use isogain_core::network::Shape;
use isogain_core::recipe::{RecipeError, expand, parse_with_rules};

const RULES: [&str; 3] = ["dead-units", "exploding-gradient", "vanishing-gradient"];

/// What a program does with a recipe for data of 64 columns and 10 classes.
fn read(text: &str, file: &str) -> Result<(), RecipeError> {
    let recipe = parse_with_rules(text, file, &RULES)?;
    expand::network(&recipe, Shape::vector(64), 10).map_err(|error| error.in_text(text, file))?;
    Ok(())
}

fn message(text: &str) -> String {
    read(text, "net.toml").unwrap_err().to_string()
}

#[test]
fn every_hostile_recipe_gives_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 90, "{} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let file = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let found = read(&text, file).map_or_else(|error| error.to_string(), |()| format!("{file}: no error"));
        if found != expected {
            wrong.push(format!("expected {expected}\n   found {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_empty_file_says_what_the_shortest_recipe_is() {
    let shortest = "the shortest recipe is the two lines `[network]` and `depth = 30`";
    for text in ["", "\n\n", "\u{feff}", "# nothing\r\n"] {
        assert_eq!(message(text), format!("net.toml: the recipe is empty; {shortest}"), "{text:?}");
    }
    assert!(read("[network]\ndepth = 30", "net.toml").is_ok());
}

#[test]
fn garbage_ends_in_one_short_message() {
    // A fixed linear congruential generator: the same bytes in every run.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from((state >> 24) as u8 & 0x7f)
    };
    let noise: String = (0..1 << 20).map(|_| next()).collect();
    let texts = [
        noise.clone(),
        "[".repeat(1 << 20),
        "a.".repeat(1 << 19),
        "\"".repeat(1 << 20),
        format!("[network]\nactivation = \"{}\"", "x".repeat(1_000_000)),
        format!("[network]\n{} = 1", "x".repeat(1_000_000)),
        format!("[network]\ndepth = {}", "9".repeat(1_000_000)),
        format!("[network]\nkind = \"layers\"\nlayers = [{}]", "{linear=9},".repeat(90_000)),
        format!("{noise}x"),
    ];
    // The longest that is reasonable: it lists the keys of [network].
    let longest = message("[network]\nunknown = 1").len();
    for (index, text) in texts.iter().enumerate() {
        let message = message(text);
        assert!(message.starts_with("net.toml:"), "{index}: {message}");
        assert!(message.len() < longest + 100, "{index}: {} bytes", message.len());
        assert!(!message.contains('\n'), "{index}: {message}");
    }
    assert_eq!(
        message(&texts[6]),
        format!("net.toml:2: network.depth = {}...: must be from 1 to 10000", "9".repeat(60))
    );
    assert_eq!(message(&texts[7]), "net.toml:3: network.layers: has 90000 layers: must be at most 10000");
    assert_eq!(message(&texts[8]), "net.toml: 1048577 bytes are too many for a recipe: must be at most 1048576");
}

#[test]
fn branches_nest_sixteen_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let (open, close) = ("{ residual = [".repeat(depth), "] },".repeat(depth));
        format!(
            "[network]\nkind = \"layers\"\nlayers = [{{ linear = 4 }},\n{open}{{ linear = 4 }}{close}\n{{ linear = 10 }}]"
        )
    };
    assert_eq!(read(&nested(16), "net.toml"), Ok(()));
    let message_17 = message(&nested(17));
    assert!(message_17.starts_with("net.toml:4: network.layers[1].residual[0]."), "{message_17}");
    assert!(message_17.ends_with(": must not be nested deeper than 16 branches"), "{message_17}");
    assert!(message(&nested(10_000)).starts_with("net.toml:4: "), "{}", message(&nested(10_000)));
}

#[test]
fn errors_are_data_too() {
    let error = read("[network]\n\nwidht = 64\n", "net.toml").unwrap_err();
    let RecipeError::UnknownKey { place, key, table, suggestion } = error else { panic!("{error}") };
    assert_eq!((place.file.as_str(), place.line), ("net.toml", Some(3)));
    assert_eq!((key.as_str(), table.as_str()), ("widht", "network"));
    assert_eq!(suggestion.nearest.as_deref(), Some("width"));
    assert!(suggestion.known.iter().any(|key| key == "depth"));
}
