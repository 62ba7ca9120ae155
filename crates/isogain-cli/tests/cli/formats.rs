//! What the formats promise: JSON that follows its schema, the same bytes from the same seed, on any number of threads.

use serde_json::Value;

use crate::desk::{Desk, repository};

/// A network that is ill, and quickly trained.
const ILL: &str = "\
[network]
depth = 8
width = 16

[run]
steps = 40
";

fn schema(name: &str) -> Value {
    let text = std::fs::read_to_string(repository("schema").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every place where `value` lacks a key that the schema requires, or has one that it does not know.
fn faults(schema: &Value, root: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let other = (!file.is_empty()).then(|| self::schema(file));
        let root = other.as_ref().unwrap_or(root);
        return faults(root.pointer(pointer).unwrap(), root, value, at, found);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let of = |choice: &Value| {
            let mut found = Vec::new();
            faults(choice, root, value, at, &mut found);
            found
        };
        if choices.iter().all(|choice| !of(choice).is_empty()) {
            found.push(format!("{at}: no choice fits"));
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |allowed: &str| allowed == kind || (allowed == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::String(allowed) => is(allowed),
        Value::Array(allowed) => allowed.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        found.push(format!("{at}: is {kind}"));
    }
    if let Value::Object(members) = value {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(required.filter(|key| !members.contains_key(*key)).map(|key| format!("{at}/{key}: missing")));
        for (key, member) in members {
            match schema["properties"].get(key) {
                Some(schema) => faults(schema, root, member, &format!("{at}/{key}"), found),
                None if schema["additionalProperties"] == false => found.push(format!("{at}/{key}: unknown")),
                None => {}
            }
        }
    }
    if let Value::Array(items) = value
        && schema["items"].is_object()
    {
        for (index, item) in items.iter().enumerate() {
            faults(&schema["items"], root, item, &format!("{at}/{index}"), found);
        }
    }
}

fn follows(value: &Value, name: &str) {
    let schema = schema(name);
    let mut found = Vec::new();
    faults(&schema, &schema, value, "", &mut found);
    assert!(found.is_empty(), "{name}: {found:#?}");
}

#[test]
fn check_follows_its_schema_and_repeats_its_bytes() {
    let desk = Desk::with_tiny();
    desk.write("ill.toml", ILL);
    for (recipe, code) in [("tiny.toml", 0), ("ill.toml", 1)] {
        let first = desk.isogain(&["check", recipe, "--format", "json"]);
        assert_eq!(first.code, Some(code), "{recipe}: {}", first.stdout);
        assert_eq!(first.stderr, "");
        let value: Value = serde_json::from_str(&first.stdout).unwrap();
        follows(&value, "check.schema.json");
        assert_eq!(value["seed"], 0);
        assert_eq!(first.stdout, desk.isogain(&["check", recipe, "--format", "json"]).stdout);
        let other = desk.isogain(&["check", recipe, "--format", "json", "--seed", "7"]);
        assert_eq!(serde_json::from_str::<Value>(&other.stdout).unwrap()["seed"], 7);
        assert_ne!(first.stdout, other.stdout);
    }
}

#[test]
fn the_document_of_every_kind_of_network_follows_the_schema() {
    let desk = Desk::new();
    let images = [
        ("convnet", ""),
        ("resnet", ""),
        ("residual", ""),
        ("residual", "gate_bias = -2.0"),
        ("residual", "growth = 4"),
        ("mlp", "supervise_every = 3"),
    ];
    let steps = [("rnn", ""), ("lstm", ""), ("gru", ""), ("transformer", "head = \"mean\"")];
    let adding = "[data]\nsource = \"adding\"\ntask = \"regression\"\nlength = 12\n";
    let kinds = images.map(|network| ("", network)).into_iter().chain(steps.map(|network| (adding, network)));
    for (data, (kind, more)) in kinds {
        desk.write("kind.toml", format!("{data}[network]\nkind = \"{kind}\"\ndepth = 8\nwidth = 8\n{more}\n"));
        let check = desk.isogain(&["check", "kind.toml", "--format", "json"]);
        assert_eq!(check.stderr, "", "{kind}");
        follows(&serde_json::from_str(&check.stdout).unwrap(), "check.schema.json");
    }
}

/// The parts add up to the total, and the total is that of the last gradient over the first.
#[test]
fn the_parts_of_the_flow_add_up() {
    let desk = Desk::new();
    desk.write("ill.toml", ILL);
    let text = desk.isogain(&["check", "ill.toml", "--format", "json"]).stdout;
    let value: Value = serde_json::from_str(&text).unwrap();
    let total = value["flow"]["total_log_gain"].as_f64().unwrap();
    let joints = value["flow"]["joints"].as_array().unwrap();
    let sum: f64 = joints.iter().filter_map(|joint| joint["log_gain"].as_f64()).sum();
    assert!((sum - total).abs() <= 1e-9 * total.abs(), "{sum} and {total}");
}

/// JSON without what depends on the clock.
fn timeless(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    let seconds = value["trial"]["spent"].get("seconds").or_else(|| value["spent"].get("seconds"));
    assert!(seconds.and_then(Value::as_f64).is_some_and(|seconds| seconds > 0.0));
    for spent in ["/spent", "/trial/spent"] {
        if let Some(Value::Object(spent)) = value.pointer_mut(spent) {
            spent.remove("seconds");
        }
    }
    value
}

#[test]
fn cure_follows_its_schema_and_does_not_depend_on_threads() {
    let desk = Desk::new();
    desk.write("ill.toml", ILL);
    let run = |threads: &str, out: &str| {
        desk.isogain(&["cure", "ill.toml", "--quiet", "--format", "json", "--threads", threads, "--out", out])
    };
    let one = run("1", "one");
    assert_eq!((one.code, one.stderr.as_str()), (Some(0), ""));
    follows(&serde_json::from_str(&one.stdout).unwrap(), "cure.schema.json");
    let three = run("3", "three");
    assert_eq!(timeless(&one.stdout), timeless(&three.stdout));
    assert_eq!(timeless(&one.stdout), timeless(&desk.read("one/cure.json")));
    assert_eq!(desk.read("one/cured.toml"), desk.read("three/cured.toml"));
    assert_eq!(desk.bytes("one/cured/weights.safetensors"), desk.bytes("three/cured/weights.safetensors"));
}

#[test]
fn other_formats_point_at_the_recipe() {
    let desk = Desk::with_tiny();
    desk.write("ill.toml", ILL);
    let github = desk.isogain(&["check", "ill.toml", "--format", "github"]);
    assert_eq!(github.code, Some(1));
    assert!(
        github
            .stdout
            .lines()
            .any(|line| line.starts_with("::error title=isogain vanishing-gradient,file=ill.toml,line=1::")),
        "{}",
        github.stdout
    );

    let sarif = desk.isogain(&["check", "ill.toml", "--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&sarif.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let found = &sarif["runs"][0]["results"][0];
    assert_eq!(found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "ill.toml");

    let markdown = desk.isogain(&["check", "ill.toml", "--format", "markdown"]);
    assert!(markdown.stdout.starts_with("### isogain"), "{}", markdown.stdout);

    let text = desk.isogain(&["check", "ill.toml"]);
    assert!(!text.stdout.contains('\u{1b}'), "no colour off a terminal");
    assert!(text.stdout.starts_with("error["), "{}", text.stdout);

    let healthy = desk.isogain(&["check", "tiny.toml"]);
    assert_eq!(healthy.code, Some(0), "{}", healthy.stdout);
    assert!(healthy.stdout.starts_with("ok: the gradient changes by x"), "{}", healthy.stdout);
}
