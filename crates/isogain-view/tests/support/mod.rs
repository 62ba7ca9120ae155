//! A small HTTP client, and runs to serve.

// Each test file uses its part of it.
#![allow(dead_code)]

pub(crate) mod browser;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use isogain_view::Server;

/// A run with a hostile name in it, a layer without gradient and one that is not finite.
pub(crate) const HOSTILE_RUN: &str = include_str!("../../../isogain-report/tests/runs/hostile.jsonl");

/// A header, and so many steps.
pub(crate) fn run_lines(steps: u64) -> String {
    let mut lines = HOSTILE_RUN.lines().next().unwrap().to_owned() + "\n";
    (0..steps).for_each(|step| lines += &step_line(step, 2.3 - 0.01 * step as f64));
    lines
}

/// One step with two layers.
pub(crate) fn step_line(step: u64, loss: f64) -> String {
    let moments = |rms: f64| {
        format!(
            "{{\"count\":8,\"sum\":0.5,\"sum_of_squares\":{},\"min\":-1.0,\"max\":1.0,\"abs_max\":1.0,\"zeros\":0,\"non_finite\":0}}",
            8.0 * rms * rms
        )
    };
    let joint = |name: &str, rms: f64| {
        format!("{{\"name\":\"{name}\",\"activation\":{},\"cotangent\":{}}}", moments(1.0), moments(rms))
    };
    format!(
        "{{\"line\":\"step\",\"step\":{step},\"loss\":{loss},\"learning_rate\":0.1,\"joints\":[{},{}],\"parameters\":[],\"clip\":null}}\n",
        joint("fc1", 1e-6),
        joint("head", 1e-2)
    )
}

pub(crate) fn write_run(folder: &Path, lines: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("run.jsonl"), lines).unwrap();
}

pub(crate) fn append(folder: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.join("run.jsonl")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.address().port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends a request as it is, but for a header that closes the connection.
pub(crate) fn ask(server: &Server, request: &str) -> Answer {
    let mut stream = connect(server);
    let request = request.strip_suffix("\r\n").unwrap().to_owned() + "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len().saturating_sub(4));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

pub(crate) fn get(server: &Server, path: &str) -> Answer {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()))
}

/// Server-sent events, as they come.
pub(crate) struct Stream {
    stream: TcpStream,
    /// All that came.
    pub(crate) text: String,
    /// Where the last wait ended.
    seen: usize,
}

impl Stream {
    pub(crate) fn open(server: &Server, path: &str) -> Self {
        let mut stream = connect(server);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
        Self { stream, text: String::new(), seen: 0 }
    }

    /// Whether this comes after what was waited for before.
    pub(crate) fn wait_for(&mut self, what: &str, patience: Duration) -> bool {
        let start = Instant::now();
        let mut bytes = [0; 65536];
        loop {
            if let Some(at) = self.text[self.seen..].find(what) {
                self.seen += at;
                return true;
            }
            if start.elapsed() > patience {
                return false;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(read) => self.text += &String::from_utf8_lossy(&bytes[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
