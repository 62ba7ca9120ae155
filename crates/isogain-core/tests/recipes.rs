//! The recipes in `recipes/`: all of them can be read, expanded and written.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use isogain_core::network::Shape;
use isogain_core::recipe::{Data, Recipe, Task, expand, parse, to_toml};

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes")
}

fn all() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    collect(&folder(), &mut paths);
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_recipe_is_read_expanded_and_written() {
    let recipes = all();
    assert!(recipes.len() >= 27, "{} recipes", recipes.len());
    for (file, text) in recipes {
        let recipe = parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
        let length = recipe.data.length;
        let source = recipe.data.source.rsplit('/').next().unwrap_or_default();
        let vocabulary = (source == "moby-dick.txt").then_some(83);
        let (inputs, outputs) = match (source, recipe.data.task) {
            ("fashion-mnist", _) => (Shape::image(28, 28, 1), 10),
            ("cifar-10", _) => (Shape::image(32, 32, 3), 10),
            ("JapaneseVowels_TRAIN.ts", _) => (Shape::sequence(29, 12), 9),
            ("moby-dick.txt", _) => (Shape::sequence(length, 1), 83),
            ("digits", _) => (Shape::image(8, 8, 1), 10),
            ("adding", _) => (Shape::sequence(length, 2), 1),
            ("temporal-order", _) => (Shape::sequence(length, 6), 4),
            (_, Task::Classification) => (Shape::vector(64), 10),
            (_, Task::Regression) => (Shape::vector(10), 1),
        };
        let inputs = expand::Inputs { shape: inputs, vocabulary };
        expand::network(&recipe, inputs, outputs).unwrap_or_else(|error| panic!("{}", error.in_text(&text, &file)));
        let written = to_toml(&recipe);
        assert_eq!(parse(&written, &file), Ok(recipe.clone()), "{written}");
        // The hand-written reader and the derived one, which reads recipes out of records, agree.
        assert_eq!(toml::from_str::<Recipe>(&text), Ok(recipe), "{file}");
        assert!(text.starts_with("# "), "{file} does not say what it is");
    }
}

#[test]
fn files_named_in_recipes_are_there() {
    for (file, text) in all() {
        let source = parse(&text, &file).unwrap().data.source;
        let path = Path::new(&file).parent().unwrap().join(&source);
        let is_there = Data::BUILT_IN.contains(&source.as_str()) || path.exists();
        // What `cargo xtask data` fetches may not have been fetched.
        let is_fetched = source.starts_with("../../target/data/");
        assert!(is_there || is_fetched, "{file}: {}", path.display());
    }
}

#[test]
fn the_default_recipe_is_the_one_with_the_comments() {
    let text = fs::read_to_string(folder().join("plain-relu-30.toml")).unwrap();
    assert_eq!(parse(&text, "plain-relu-30.toml"), Ok(Recipe::default()));
}

#[test]
fn the_shortest_recipe_is_the_default() {
    assert_eq!(parse("[network]\ndepth = 30\n", "net.toml"), Ok(Recipe::default()));
}
