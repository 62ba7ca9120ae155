//! Bad input: one clear line with file, line, value and what would be right; status 2, nothing written, no panic.

use crate::desk::{Desk, TINY};

/// Runs what must fail and gives its one line.
fn fault(desk: &Desk, arguments: &[&str]) -> String {
    let ran = desk.isogain(arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "{arguments:?}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [line] = lines.as_slice() else { panic!("{arguments:?}: not one line: {}", ran.stderr) };
    line.strip_prefix("error: ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn recipes_that_say_what_cannot_be() {
    let cases = [
        ("", "r.toml: the recipe is empty; the shortest recipe is the two lines `[network]` and `depth = 30`"),
        ("[network\ndepth = 3\n", "r.toml:1: not valid TOML: unclosed table, expected `]`"),
        ("[network]\ndepht = 3\n", "r.toml:2: unknown key 'depht' in [network]; did you mean 'depth'?"),
        ("[netwrok]\ndepth = 3\n", "r.toml:1: unknown table 'netwrok'; did you mean 'network'?"),
        ("[network]\ndepth = 0\n", "r.toml:2: network.depth = 0: must be from 1 to 10000"),
        ("[network]\ndepth = 1000000000\n", "r.toml:2: network.depth = 1000000000: must be from 1 to 10000"),
        ("[network]\ndepth = -3\n", "r.toml:2: network.depth = -3: must be from 1 to 10000"),
        ("[network]\ndepth = \"deep\"\n", "r.toml:2: network.depth = \"deep\": must be a whole number"),
        ("[network]\nwidth = 0\n", "r.toml:2: network.width = 0: must be from 1 to 65536"),
        ("[network]\nactivation = \"rellu\"\n", "r.toml:2: unknown activation 'rellu'; did you mean 'relu'?"),
        ("[network]\ndepth = 3\n[run]\nsteps = 0\n", "r.toml:4: run.steps = 0: must be from 1 to 1000000000"),
        (
            "[network]\ndepth = 3\n[rules]\nvanishing-gradeint = \"allow\"\n",
            "r.toml:4: unknown rule 'vanishing-gradeint'; did you mean 'vanishing-gradient'?",
        ),
        (
            "[data]\nbatch = 5000\n[network]\ndepth = 3\n",
            "r.toml:2: data.batch = 5000: must be at most 1438, the training samples of digits (359 more are kept for \
             testing)",
        ),
        (
            "[data]\nbatch = 1\n[network]\ndepth = 3\nnorm = \"batch\"\n",
            "r.toml:5: network.norm = \"batch\": needs data.batch of 2 or more: over a batch of 1 every normalised \
             value is 0",
        ),
        (
            "[data]\ntask = \"regression\"\n[network]\ndepth = 3\n",
            "r.toml:2: data.task = \"regression\": the digits have classes: must be \"classification\"",
        ),
        (
            "[network]\nkind = \"layers\"\nlayers = [{ linear = 7 }]\n",
            "r.toml:3: network.layers[0].linear = 7: must be 10, the number of outputs",
        ),
    ];
    let desk = Desk::new();
    for (recipe, expected) in cases {
        desk.write("r.toml", recipe);
        for command in ["check", "train", "cure"] {
            let told = fault(&desk, &[command, "r.toml"]);
            assert!(told.starts_with(expected), "{recipe}\n{told}\n{expected}");
        }
        assert!(!desk.path("runs").exists(), "{recipe}");
    }
}

#[test]
fn recipes_that_are_no_text_files() {
    let desk = Desk::new();
    desk.write("latin.toml", b"# a recipe\n# \xe9t\xe9\n[network]\n");
    assert_eq!(fault(&desk, &["check", "latin.toml"]), "latin.toml:2: not UTF-8 text; a recipe is a TOML file");
    let missing = fault(&desk, &["check", "missing.toml"]);
    assert!(missing.starts_with("cannot read the recipe missing.toml: "), "{missing}");
    let folder = fault(&desk, &["check", "."]);
    assert!(folder.starts_with("cannot read the recipe .: "), "{folder}");
}

/// Header, and 40 samples of 2 columns and 2 classes.
fn table() -> Vec<String> {
    let rows = (0..40).map(|row| format!("{},{},{}", row % 7, row % 5, row % 2));
    std::iter::once("a,b,label".to_owned()).chain(rows).collect()
}

#[test]
fn data_that_cannot_be_learned() {
    let line_5 = |text: &str| {
        let mut lines = table();
        text.clone_into(&mut lines[4]);
        lines.join("\n")
    };
    let all = |label: &str| {
        let rows = (0..40).map(|row| format!("{row},1,{label}\n"));
        format!("a,b,label\n{}", rows.collect::<String>())
    };
    let header = "expected a header line with at least one input and a target column, separated by commas";
    let class = "labels are whole numbers from 0 to 999 (or names). For a number to predict, set data.task = \
                 \"regression\"";
    let cases = [
        (line_5("nan,1,0"), "data.csv:5: column 'a' = 'nan': expected a number (at most 3.4e38 in size)".to_owned()),
        (line_5("1,-inf,0"), "data.csv:5: column 'b' = '-inf': expected a number (at most 3.4e38 in size)".to_owned()),
        (
            line_5("1e300,1,0"),
            "data.csv:5: column 'a' = '1e300': expected a number (at most 3.4e38 in size)".to_owned(),
        ),
        (line_5(",1,0"), "data.csv:5: column 'a' = '': expected a number (at most 3.4e38 in size)".to_owned()),
        (line_5("1,2,-1"), format!("data.csv:5: target 'label' = -1: not a class; {class}")),
        (line_5("1,2,0.5"), format!("data.csv:5: target 'label' = 0.5: not a class; {class}")),
        (
            line_5("1,2,9"),
            "data.csv:5: target 'label' = 9: no sample has class 2; the 3 classes are numbered from 0 to 2 without a \
             gap (or named)"
                .to_owned(),
        ),
        (line_5("1,2,nan"), "data.csv:5: target 'label' = 'nan': expected a class".to_owned()),
        (line_5("1,2"), "data.csv:5: 2 fields; the header line has 3".to_owned()),
        (String::new(), format!("data.csv:1: the file is empty; {header}")),
        (table().join("\n").replace(',', ";"), format!("data.csv:1: 1 column; {header} (not by ';')")),
        ("a,b\n".to_owned(), "data.csv: 0 samples; at least 2 are needed, one to train and one to test".to_owned()),
        (all("1"), "data.csv: target 'label' is 1 on every sample; there is nothing to learn".to_owned()),
        (
            "a,label\n1,0\n1,1\n".to_owned(),
            "data.csv: all samples have the same inputs; there is nothing to tell them apart by".to_owned(),
        ),
    ];
    let desk = Desk::new();
    desk.write("r.toml", format!("[data]\nsource = \"data.csv\"\nbatch = 8\n\n{TINY}"));
    for (data, expected) in cases {
        desk.write("data.csv", data);
        assert_eq!(fault(&desk, &["check", "r.toml"]), expected);
    }
    desk.write("data.csv", b"a,b,label\n1,2,\xff\xfe\n");
    assert_eq!(fault(&desk, &["check", "r.toml"]), "data.csv:2: field 3: not UTF-8 text");
    desk.write("data.csv", table().join("\n"));
    assert_ne!(desk.isogain(&["check", "r.toml"]).code, Some(2), "the table itself is fine");
    desk.write("r.toml", format!("[data]\nsource = \"data.csv\"\ntarget = \"lable\"\n\n{TINY}"));
    assert_eq!(
        fault(&desk, &["check", "r.toml"]),
        "data.csv:1: no column 'lable' (data.target); did you mean 'label'?"
    );
    desk.write("r.toml", format!("[data]\nsource = \"nowhere.csv\"\n\n{TINY}"));
    let told = fault(&desk, &["check", "r.toml"]);
    assert!(told.starts_with("r.toml:2: data.source = \"nowhere.csv\": cannot read nowhere.csv: "), "{told}");
    assert!(told.contains("; must be the path of a file or folder, or built in: digits, "), "{told}");
}

#[test]
fn folders_that_cannot_be_written() {
    let desk = Desk::with_tiny();
    desk.write("file", "");
    for command in ["train", "cure"] {
        assert_eq!(
            fault(&desk, &[command, "tiny.toml", "--quiet", "--out", "file"]),
            "--out file: is a file; a folder is needed"
        );
        // Below a file there can be no folder, not even for root.
        let told = fault(&desk, &[command, "tiny.toml", "--quiet", "--out", "file/below"]);
        assert!(told.starts_with("cannot create the folder file/below: "), "{told}");
        assert_eq!(told.matches("os error").count(), 1, "{told}");
    }
}

#[test]
fn what_is_on_disk_is_never_written_over() {
    let desk = Desk::with_tiny();
    std::fs::create_dir(desk.path("mine")).unwrap();
    desk.write("mine/notes.txt", "mine");
    for command in ["train", "cure"] {
        assert_eq!(
            fault(&desk, &[command, "tiny.toml", "--out", "mine"]),
            "--out mine: is not empty; choose another folder"
        );
    }
    assert_eq!(std::fs::read_dir(desk.path("mine")).unwrap().count(), 1);
}

#[test]
fn arguments_that_mean_nothing() {
    let desk = Desk::with_tiny();
    let seed = "for '--seed <N>': must be a whole number from 0 to 9223372036854775807";
    for command in ["check", "train", "cure"] {
        for value in ["-1", "9223372036854775808", "18446744073709551616", "1.5", "x"] {
            let ran = desk.isogain(&[command, "tiny.toml", "--seed", value]);
            assert_eq!(ran.code, Some(2));
            assert!(ran.stderr.starts_with(&format!("error: invalid value '{value}' {seed}")), "{}", ran.stderr);
        }
    }
    for (arguments, expected) in [
        (["cure", "--threads", "0"], "'0' for '--threads <N>': 0 is not in 1..=1024"),
        (["check", "--format", "xml"], "'xml' for '--format <FORMAT>'"),
    ] {
        let ran = desk.isogain(&arguments);
        assert_eq!(ran.code, Some(2));
        let first = ran.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: invalid value ") && first.contains(expected), "{first}");
    }
}

#[test]
fn a_closed_pipe_is_no_error_and_a_full_one_is() {
    let desk = Desk::with_tiny();
    let mut child = desk.command(&["explain"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    if let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
        let output = desk.command(&["explain"]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("error: cannot write the result: "), "{told}");
    }
}
