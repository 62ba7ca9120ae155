//! The server, asked over real connections.

#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use isogain_view::{Options, Server, serve};
use support::{Answer, Stream, append, ask, get, run_lines, step_line, write_run};

fn serving(root: &std::path::Path) -> Server {
    serve(Options { roots: vec![root.to_path_buf().into()], ..Options::default() }).unwrap()
}

/// Address of the page of the only run.
fn run_path(server: &Server) -> String {
    let list = get(server, "/").text();
    let at = list.find("/run/").unwrap_or_else(|| panic!("no run is listed: {list}"));
    list[at..at + "/run/".len() + 12].to_owned()
}

#[test]
fn the_list_the_run_and_the_headers() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("runs/a"), &run_lines(5));
    let server = serving(&folder.path().join("runs"));
    let path = run_path(&server);
    let page = get(&server, &path);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Loss while training") && page.text().contains("data-events=\"/run/"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "frame-ancestors 'none'"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.text();
    let policy = policy.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("connect-src 'self'"));
    assert!(!policy.contains("unsafe") && !policy.contains("http"));
    assert!(server.url().starts_with("http://127.0.0.1:") && !server.url().contains("token"));
}

#[test]
fn other_sites_other_hosts_and_other_methods_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &run_lines(2));
    let server = serving(folder.path());
    let port = server.address().port();
    let status = |method: &str, headers: &str| ask(&server, &format!("{method} / HTTP/1.1\r\n{headers}\r\n")).status;
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    assert_eq!(status("GET", &host), 303, "a run that was given itself is where one lands");
    assert_eq!(status("GET", "Host: localhost\r\n"), 303);
    assert_eq!(status("GET", "Host: evil.example\r\n"), 403, "a name turned to this address");
    assert_eq!(status("GET", &format!("Host: evil.example:{port}\r\n")), 403);
    assert_eq!(status("GET", &format!("{host}Origin: http://evil.example\r\n")), 403);
    assert_eq!(status("GET", &format!("{host}Origin: null\r\n")), 403);
    assert_eq!(status("GET", &format!("{host}Origin: http://127.0.0.1:{port}\r\n")), 303);
    assert_eq!(status("POST", &format!("{host}Content-Length: 0\r\n")), 405);
    assert_eq!(status("DELETE", &host), 405);
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("a"), &run_lines(2));
    let options =
        Options { roots: vec![folder.path().to_path_buf().into()], address: "0.0.0.0".parse().unwrap(), port: 0 };
    let server = serve(options).unwrap();
    let url = server.url();
    let (_, token) = url.split_once("/?token=").unwrap();
    assert_eq!(token.len(), 32);
    let with =
        |path: &str, headers: &str| ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n"));
    assert_eq!(with("/", "").status, 401);
    assert_eq!(with("/events", "").status, 401);
    assert_eq!(with("/?token=00000000000000000000000000000000", "").status, 401);
    let entered = with(&format!("/?token={token}"), "");
    assert_eq!((entered.status, entered.header("location")), (303, Some("/")));
    let cookie = entered.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(with("/", &format!("Cookie: {cookie}\r\n")).status, 200);
    assert_eq!(with("/", &format!("Authorization: Bearer {token}\r\n")).status, 200);
}

#[test]
fn no_other_file_is_served() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("runs/a"), &run_lines(2));
    std::fs::write(folder.path().join("secret"), "a secret").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("runs/a/link")).unwrap();
    let server = serving(&folder.path().join("runs"));
    let run = run_path(&server);
    let depths =
        ["/..", "/../..", "/%2e%2e", "/..%2f..%2fsecret", "/%2e%2e%2f%2e%2e%2fsecret", "/..\\..\\secret", "/link"];
    let paths = depths.iter().flat_map(|path| [(*path).to_owned(), format!("{run}{path}"), format!("/run{path}")]);
    let others =
        ["/secret", "/run.jsonl", "/recipe.toml", "//etc/passwd", "/run//etc/passwd", "/compare?runs=../../secret,a"];
    for path in paths.chain(others.map(str::to_owned)).chain([format!("{run}/run.jsonl"), format!("{run}%00")]) {
        let answer = get(&server, &path);
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("a secret") && !answer.text().contains("root:"), "{path}");
    }
}

#[test]
fn a_line_that_is_written_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("runs/later");
    let server = serving(&folder.path().join("runs"));
    // The folder does not exist yet; the list says so, and shows the run as soon as there is one.
    let mut list = Stream::open(&server, "/events");
    assert!(list.wait_for("No run yet", Duration::from_secs(20)));
    write_run(&place, &run_lines(3));
    assert!(list.wait_for("runs/later", Duration::from_secs(20)));
    let mut events = Stream::open(&server, &format!("{}/events", run_path(&server)));
    assert!(events.wait_for("at step 2", Duration::from_secs(20)), "{}", events.text);
    let line = step_line(7, 1.25);
    let (first, rest) = line.split_at(60);
    append(&place, first);
    assert!(events.wait_for("cut short", Duration::from_secs(20)), "half a line is no error");
    append(&place, rest);
    let start = Instant::now();
    assert!(events.wait_for("at step 7", Duration::from_secs(20)), "{}", events.text);
    println!("a line arrives after {:?}", start.elapsed());
}

#[test]
fn ten_readers_are_one_follower() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("runs/a");
    write_run(&place, &run_lines(40));
    let server = serving(&folder.path().join("runs"));
    let path = format!("{}/events", run_path(&server));
    let mut readers: Vec<Stream> = (0..10).map(|_| Stream::open(&server, &path)).collect();
    for reader in &mut readers {
        assert!(reader.wait_for("at step 39", Duration::from_secs(30)));
    }
    #[cfg(target_os = "linux")]
    {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        // Other tests run beside this one and have threads of the same name, so that the open file is counted.
        drop(names);
        let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let record = place.join("run.jsonl").canonicalize().unwrap();
        let open = files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == record)).count();
        assert_eq!(open, 1, "one reader of the file for ten of the page");
    }
    append(&place, &step_line(99, 0.5));
    for reader in &mut readers {
        assert!(reader.wait_for("at step 99", Duration::from_secs(30)));
    }
}

#[test]
fn runs_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        write_run(&folder.path().join(name), &run_lines(if name == "a" { 5 } else { 9 }));
    }
    let server = serving(folder.path());
    let list = get(&server, "/").text();
    let mut ids: Vec<&str> = list.match_indices("/run/").map(|(at, _)| &list[at + 5..at + 17]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{list}");
    let mut events = Stream::open(&server, &format!("/compare/events?runs={}", ids.join(",")));
    assert!(events.wait_for("2 runs", Duration::from_secs(20)), "{}", events.text);
    assert!(events.wait_for("compared at 5 steps", Duration::from_secs(20)), "{}", events.text);
    assert_eq!(get(&server, &format!("/compare?runs={}", ids[0])).status, 404, "one run is no comparison");
}

#[test]
fn damaged_and_hostile_records_are_pages_too() {
    let folder = tempfile::tempdir().unwrap();
    let record = |name: &str, bytes: &[u8]| {
        let place = folder.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("run.jsonl"), bytes).unwrap();
    };
    record("empty", b"");
    record("binary", &[0xff; 5000]);
    record("no-header", step_line(1, 1.0).as_bytes());
    record("nested", &[b"{\"line\":\"header\",\"a\":".to_vec(), vec![b'['; 100_000], b"\n".to_vec()].concat());
    record("cut", &run_lines(3).as_bytes()[..run_lines(3).len() - 30]);
    record("<img src=x onerror=alert(1)>", run_lines(1).as_bytes());
    let sparse = folder.path().join("sparse");
    std::fs::create_dir(&sparse).unwrap();
    std::fs::File::create(sparse.join("run.jsonl")).unwrap().set_len(2 << 30).unwrap();
    let server = serving(folder.path());
    let list = get(&server, "/").text();
    assert!(list.contains("&lt;img src=x") && !list.contains("<img"), "{list}");
    let rows: Vec<&str> = list.match_indices("<a href=\"/run/").map(|(at, _)| &list[at + 9..at + 26]).collect();
    assert_eq!(rows.len(), 7);
    let start = Instant::now();
    for path in rows {
        let Answer { status, .. } = get(&server, path);
        assert_eq!(status, 200, "{path}");
    }
    println!("seven damaged records open in {:?}", start.elapsed());
    let sparse = list.split("<tr>").find(|row| row.contains("sparse")).unwrap();
    let at = sparse.find("/run/").unwrap();
    let mut events = Stream::open(&server, &format!("{}/events", &sparse[at..at + 17]));
    assert!(events.wait_for("longer than 16 MiB", Duration::from_secs(60)), "{}", events.text);
}
