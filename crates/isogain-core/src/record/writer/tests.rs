use super::super::line::Note;
use super::super::samples::{header, outcome, step};
use super::super::{Run, read};
use super::*;

fn note(text: impl Into<String>) -> Line {
    Line::Note(Note { text: text.into() })
}

fn written(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(RUN_FILE)).unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("runs/first");
    let mut writer = Writer::create(&run_folder, header()).unwrap();
    for number in 0..300 {
        writer.write(&Line::Step(Box::new(step(number)))).unwrap();
    }
    writer.write(&Line::Outcome(outcome())).unwrap();
    writer.finish().unwrap();
    let expected = Run { steps: (0..300).map(step).collect(), outcome: Some(outcome()), ..Run::new(header()) };
    assert_eq!(read(&run_folder).unwrap(), expected);
    assert_eq!(fs::read_to_string(run_folder.join(RECIPE_FILE)).unwrap(), header().recipe);
}

#[test]
fn dropping_writes_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), header()).unwrap();
    for number in 0..50 {
        writer.write(&note(number.to_string())).unwrap();
    }
    drop(writer);
    assert_eq!(read(folder.path()).unwrap().notes.len(), 50);
}

#[test]
fn after_a_sync_every_line_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), header()).unwrap();
    for number in 0..50 {
        writer.write(&note(number.to_string())).unwrap();
    }
    writer.sync().unwrap();
    assert_eq!(read(folder.path()).unwrap().notes.len(), 50);
    writer.write(&note("after")).unwrap();
    writer.finish().unwrap();
    assert_eq!(read(folder.path()).unwrap().notes.len(), 51);
}

#[test]
fn a_line_is_there_for_readers_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), header()).unwrap();
    writer.write(&note("x")).unwrap();
    let patience = std::time::Instant::now();
    while read(folder.path()).unwrap().notes.is_empty() {
        assert!(patience.elapsed().as_secs() < 60);
        thread::yield_now();
    }
    writer.finish().unwrap();
}

#[test]
fn a_run_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), header()).unwrap().finish().unwrap();
    let before = written(folder.path());
    let error = Writer::create(folder.path(), header()).unwrap_err().to_string();
    assert!(error.contains(RUN_FILE) && error.contains("a run is recorded there already"), "{error}");
    assert_eq!(written(folder.path()), before);
}

#[test]
fn a_recipe_of_the_users_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(RECIPE_FILE), "# mine").unwrap();
    Writer::create(folder.path(), header()).unwrap().finish().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join(RECIPE_FILE)).unwrap(), "# mine");
}

#[test]
fn an_empty_file_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(RUN_FILE), "").unwrap();
    Writer::create(folder.path(), header()).unwrap().finish().unwrap();
    assert_eq!(read(folder.path()).unwrap().header, header());
}

#[test]
fn resuming_after_a_crash_at_any_byte_loses_only_the_line_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), header()).unwrap();
    writer.write(&note("one")).unwrap();
    writer.write(&note("two".repeat(50))).unwrap();
    writer.finish().unwrap();
    let whole = written(folder.path());
    let header_end = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in header_end - 1..=whole.len() {
        fs::write(folder.path().join(RUN_FILE), &whole[..cut]).unwrap();
        let before = read(folder.path()).unwrap();
        let mut writer = Writer::append(folder.path()).unwrap();
        writer.write(&note("three")).unwrap();
        writer.finish().unwrap();
        let after = read(folder.path()).unwrap();
        assert!(!after.truncated);
        assert_eq!(after.notes, [before.notes, vec!["three".to_owned()]].concat(), "{cut}");
    }
}

#[test]
fn a_long_line_cut_short_is_found_across_blocks() {
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), header()).unwrap().finish().unwrap();
    let whole = written(folder.path());
    let torn = [&whole[..], br#"{"line":"note","text":""#, &vec![b'x'; 300_000][..]].concat();
    fs::write(folder.path().join(RUN_FILE), torn).unwrap();
    Writer::append(folder.path()).unwrap().finish().unwrap();
    assert_eq!(written(folder.path()), whole);
}

#[test]
fn what_is_no_run_is_not_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("", "run.jsonl:1: the file is empty"),
        ("notes of mine", "run.jsonl:1: not JSON"),
        ("notes of mine\n", "run.jsonl:1: not JSON"),
        ("{\"line\":\"header\",\"schema\":99}\n", "written by a newer version"),
        ("{\"line\":\"note\",\"text\":\"x\"}\n", "run.jsonl:1: a run starts with a header line"),
    ] {
        fs::write(folder.path().join(RUN_FILE), content).unwrap();
        let error = Writer::append(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(written(folder.path()), content.as_bytes());
    }
    fs::remove_file(folder.path().join(RUN_FILE)).unwrap();
    let error = Writer::append(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot open ") && error.contains(RUN_FILE), "{error}");
}

#[test]
fn an_unwritable_folder_is_named() {
    // A file in the place of a folder refuses even the superuser.
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "").unwrap();
    for target in [occupied.clone(), occupied.join("run")] {
        let error = Writer::create(&target, header()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create the folder {}: ", target.display())), "{error}");
    }
    let error = Writer::append(&occupied).unwrap_err().to_string();
    assert!(error.starts_with("cannot open "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_second_writer_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(folder.path(), header()).unwrap();
    let error = Writer::append(folder.path()).unwrap_err().to_string();
    assert!(error.contains("another process is writing to this run"), "{error}");
    writer.finish().unwrap();
    Writer::append(folder.path()).unwrap().finish().unwrap();
}

/// `/dev/full` takes no byte, like a full disk.
#[cfg(target_os = "linux")]
mod full_disk {
    use super::*;

    fn full() -> Writer {
        let path = PathBuf::from("/dev/full");
        Writer::start(OpenOptions::new().write(true).open(&path).unwrap(), path).unwrap()
    }

    fn is_full(error: &RecordError) -> bool {
        error.to_string().starts_with("cannot write to /dev/full: No space left on device")
    }

    #[test]
    fn is_reported_at_the_end() {
        let mut writer = full();
        // The line may be handed over before the thread has failed.
        if let Err(error) = writer.write(&note("x")) {
            assert!(is_full(&error), "{error}");
        }
        let error = writer.finish().unwrap_err();
        assert!(is_full(&error), "{error}");
    }

    #[test]
    fn is_reported_by_a_sync() {
        let mut writer = full();
        writer.write(&note("lost")).ok();
        assert!(is_full(&writer.sync().unwrap_err()));
        assert!(is_full(&writer.sync().unwrap_err()));
    }

    #[test]
    fn is_reported_by_every_later_write() {
        let mut writer = full();
        let first = (0..).find_map(|number: u32| writer.write(&note(number.to_string())).err()).unwrap();
        assert!(is_full(&first), "{first}");
        for _ in 0..3 {
            assert!(is_full(&writer.write(&note("y")).unwrap_err()));
        }
        assert!(is_full(&writer.finish().unwrap_err()));
    }

    #[test]
    fn does_not_panic_when_dropped() {
        let mut writer = full();
        writer.write(&note("x")).ok();
    }

    #[test]
    fn stops_a_new_run_at_its_header() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(RUN_FILE)).unwrap();
        let error = Writer::create(folder.path(), header()).unwrap_err().to_string();
        assert!(error.starts_with("cannot write to ") && error.contains("No space left"), "{error}");
    }

    #[test]
    fn stops_a_new_run_at_its_recipe_and_does_not_stand_in_the_way_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join(RECIPE_FILE);
        std::os::unix::fs::symlink("/dev/full", &recipe).unwrap();
        // The link exists, so it is taken for the user's recipe and nothing is written through it.
        Writer::create(folder.path(), header()).unwrap().finish().unwrap();
        assert_eq!(fs::read_link(&recipe).unwrap(), PathBuf::from("/dev/full"));
    }
}
