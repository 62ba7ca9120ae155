//! Chromium over its DevTools protocol: a WebSocket with JSON in it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser with one page.
pub(crate) struct Browser {
    process: Child,
    _profile: tempfile::TempDir,
    socket: TcpStream,
    next: u64,
    /// What the console said, what went wrong, and every address that was asked for.
    pub(crate) complaints: Vec<String>,
    /// See `complaints`.
    pub(crate) requests: Vec<String>,
}

/// The program, or `None` where there is none; then the test is skipped, which is a failure when CI=true.
fn program() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let folders = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let found =
        folders.iter().flatten().flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: chromium not found");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "chromium not found");
    }
    found
}

impl Browser {
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"])
            .args(["--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the browser does not start");
            if let Some(address) = line.trim().strip_prefix("DevTools listening on ws://") {
                break address.split('/').next().unwrap().to_owned();
            }
        };
        // What it says later would fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let mut request = TcpStream::connect(&address).unwrap();
        request.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(request, "GET /json/list HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        // The browser may keep the connection; the answer is whole when its JSON is.
        let mut bytes = [0; 4096];
        let page = loop {
            let read = request.read(&mut bytes).unwrap();
            answer += &String::from_utf8_lossy(&bytes[..read]);
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            if let Ok(targets) = serde_json::from_str::<Value>(body) {
                let page = targets.as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
                break page["webSocketDebuggerUrl"].as_str().unwrap().to_owned();
            }
            assert!(read > 0, "{answer}");
        };
        let path = page.split_once(&address).unwrap().1.to_owned();
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            exact(&mut socket, &mut byte);
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut browser =
            Self { process, _profile: profile, socket, next: 0, complaints: Vec::new(), requests: Vec::new() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Sends a command and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "id": id, "method": method, "params": parameters }).to_string());
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no answer to {method}");
            let Some(message) = self.receive() else { continue };
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// Opens a page and waits until its script has run.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        let url = Value::from(url);
        self.wait(&format!(
            "location.href === {url} && document.documentElement?.dataset.ready === 'yes' && document.readyState === 'complete'"
        ));
    }

    /// The value of an expression; of a promise, what it comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.call("Runtime.evaluate", asked);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {}", found["exceptionDetails"]);
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.evaluate(expression) != true {
            assert!(start.elapsed() < PATIENCE, "never true: {expression}; {:?}", self.complaints);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    pub(crate) fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }

    pub(crate) fn click(&mut self, x: f64, y: f64) {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses at a place, moves by so much, lets go.
    pub(crate) fn drag(&mut self, [x, y]: [f64; 2], [dx, dy]: [f64; 2]) {
        for (kind, share) in [
            ("mouseMoved", 0.0),
            ("mousePressed", 0.0),
            ("mouseMoved", 0.5),
            ("mouseMoved", 1.0),
            ("mouseReleased", 1.0),
        ] {
            let (x, y) = (x + share * dx, y + share * dy);
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Writes a picture of the whole page into `target/pages`, where people look at it.
    pub(crate) fn picture(&mut self, name: &str) {
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let height = size["height"].as_f64().unwrap().min(8000.0);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let found = self.call("Page.captureScreenshot", asked);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pages");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), decoded(found["data"].as_str().unwrap())).unwrap();
    }

    fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // A client must mask; with zeros the text stays what it is.
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.socket.write_all(&frame).unwrap();
    }

    /// The next message, if one comes soon; what the page does beside is taken note of.
    fn receive(&mut self) -> Option<Value> {
        let mut text = Vec::new();
        loop {
            let mut head = [0; 2];
            match self.socket.read(&mut head[..1]) {
                Err(error) if text.is_empty() && is_slow(&error) => return None,
                Err(error) if is_slow(&error) => continue,
                found => assert_eq!(found.unwrap(), 1, "the browser has gone"),
            }
            exact(&mut self.socket, &mut head[1..]);
            let length = match head[1] & 0x7f {
                126 => {
                    let mut bytes = [0; 2];
                    exact(&mut self.socket, &mut bytes);
                    u64::from(u16::from_be_bytes(bytes))
                }
                127 => {
                    let mut bytes = [0; 8];
                    exact(&mut self.socket, &mut bytes);
                    u64::from_be_bytes(bytes)
                }
                short => u64::from(short),
            };
            let start = text.len();
            text.resize(start + length as usize, 0);
            exact(&mut self.socket, &mut text[start..]);
            if head[0] & 0x80 != 0 {
                break;
            }
        }
        let message: Value = serde_json::from_slice(&text).unwrap();
        let told = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown") => self.complaints.push(told.to_string()),
            Some("Log.entryAdded") => self.complaints.push(told["entry"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.requests.push(told["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
        Some(message)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_slow(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn exact(socket: &mut TcpStream, mut bytes: &mut [u8]) {
    let start = Instant::now();
    while !bytes.is_empty() {
        match socket.read(bytes) {
            Err(error) if is_slow(&error) => assert!(start.elapsed() < PATIENCE, "half a message"),
            found => {
                let read = found.unwrap();
                assert!(read > 0, "the browser has gone");
                bytes = &mut bytes[read..];
            }
        }
    }
}

/// Base64, as the protocol writes it.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        let bits = four.iter().fold(0, |bits, c| bits << 6 | digit(*c)) << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
