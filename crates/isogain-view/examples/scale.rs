//! How the live page takes a large run, and many readers: `scale [LAYERS STEPS [FOLDER]]`.
//!
//! Writes a record of that size (1000 layers and 1000 steps, some 650 MB, where nothing is said), serves it, and prints how
//! long the page takes to open and to have everything, what memory that takes, and what processor time one reader and ten
//! cost while lines are added. Times are printed and asserted nowhere.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use isogain_view::{Options, Server, serve};

const HEADER: &str = include_str!("../../isogain-report/tests/runs/hostile.jsonl");

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).map_or(Ok(1000), |text| text.parse());
    let (layers, steps) = (number(0)?, number(1)?);
    let folder = arguments.get(2).map_or_else(std::env::temp_dir, PathBuf::from).join("isogain-scale/run");
    std::fs::create_dir_all(&folder)?;
    let record = folder.join("run.jsonl");
    let mut file = BufWriter::new(File::create(&record)?);
    file.write_all(HEADER.lines().next().unwrap_or_default().as_bytes())?;
    file.write_all(b"\n")?;
    for at in 0..steps {
        file.write_all(step(at, layers).as_bytes())?;
    }
    file.flush()?;
    println!("{layers} layers, {steps} steps: {:.0} MB", record.metadata()?.len() as f64 / 1e6);
    let server = serve(Options { roots: vec![folder.clone().into()], ..Options::default() })?;
    let path = path(&server)?;
    let start = Instant::now();
    let page = get(&server, &path)?;
    println!("the page opens after {:.2?}: {:.0} kB", start.elapsed(), page.len() as f64 / 1e3);
    // It begins a sentence.
    let last = format!("At step {}", steps - 1);
    wait(&mut events(&server, &path)?, &last)?;
    println!("everything is read after {:.1?}; most memory {}", start.elapsed(), memory());
    let start = Instant::now();
    let page = get(&server, &path)?;
    println!("opened again after {:.2?}: {:.0} kB", start.elapsed(), page.len() as f64 / 1e3);
    for readers in [0, 1, 10] {
        let streams = (0..readers).map(|_| events(&server, &path)).collect::<Result<Vec<_>, _>>()?;
        let drained: Vec<_> = streams.into_iter().map(|stream| std::thread::spawn(move || drain(stream))).collect();
        std::thread::sleep(Duration::from_secs(1));
        let before = processor();
        let mut file = OpenOptions::new().append(true).open(&record)?;
        let start = Instant::now();
        let mut lines = 0;
        while start.elapsed() < Duration::from_secs(10) {
            file.write_all(step(steps + lines, layers).as_bytes())?;
            lines += 1;
            std::thread::sleep(Duration::from_millis(200));
        }
        let spent = processor() - before;
        println!("{readers} readers, {lines} lines in 10 s: {spent:.2} s of processor time, {}", memory());
        // They end with their connection.
        drop(drained);
    }
    std::fs::remove_dir_all(folder.parent().unwrap_or(&folder))?;
    Ok(())
}

/// A step of so many layers, as a training writes it.
fn step(at: usize, layers: usize) -> String {
    let moments = |rms: f64| {
        format!(
            "{{\"count\":4096,\"sum\":0.5,\"sum_of_squares\":{:e},\"min\":-1.25,\"max\":1.5,\"abs_max\":1.5,\"zeros\":12,\"non_finite\":0}}",
            4096.0 * rms * rms
        )
    };
    let rms = |layer: usize| 1e-3 * 0.98_f64.powi((layers - layer) as i32) * (1.0 + 0.1 * ((at + layer) % 7) as f64);
    let joints: Vec<String> = (0..layers)
        .map(|layer| {
            format!("{{\"name\":\"fc{layer}\",\"activation\":{},\"cotangent\":{}}}", moments(1.0), moments(rms(layer)))
        })
        .collect();
    let parameters: Vec<String> = (0..layers)
        .map(|layer| {
            let (weight, gradient, update) = (moments(0.1), moments(rms(layer)), moments(0.01 * rms(layer)));
            format!("{{\"name\":\"fc{layer}.weight\",\"weight\":{weight},\"gradient\":{gradient},\"update\":{update}}}")
        })
        .collect();
    format!(
        "{{\"line\":\"step\",\"step\":{at},\"loss\":{},\"learning_rate\":0.1,\"joints\":[{}],\"parameters\":[{}],\"clip\":null}}\n",
        2.3 / (1.0 + 0.01 * at as f64),
        joints.join(","),
        parameters.join(",")
    )
}

fn asked(server: &Server, path: &str, close: &str) -> Result<TcpStream, Failed> {
    let mut stream = TcpStream::connect(server.address())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", server.address())?;
    Ok(stream)
}

fn get(server: &Server, path: &str) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    asked(server, path, "Connection: close\r\n")?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The page of the only run, which `/` leads to.
fn path(server: &Server) -> Result<String, Failed> {
    let answer = get(server, "/")?;
    let place = answer.lines().find_map(|line| line.strip_prefix("location: "));
    Ok(place.ok_or("the run is not found")?.trim().to_owned())
}

fn events(server: &Server, path: &str) -> Result<TcpStream, Failed> {
    asked(server, &format!("{path}/events"), "")
}

fn wait(stream: &mut TcpStream, wanted: &str) -> Result<(), Failed> {
    let mut tail = String::new();
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Err("the server has gone".into());
        }
        tail += &String::from_utf8_lossy(&bytes[..read]);
        if tail.contains(wanted) {
            return Ok(());
        }
        let cut = tail.len().saturating_sub(200);
        tail = tail.chars().skip(tail[..tail.floor_char_boundary(cut)].chars().count()).collect();
    }
}

fn drain(mut stream: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while stream.set_read_timeout(Some(Duration::from_secs(12))).is_ok()
        && stream.read(&mut bytes).is_ok_and(|read| read > 0)
    {}
}

/// Most memory that this process has had, where the system tells.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "not told".to_owned(), |line| line.trim().to_owned())
}

/// Seconds of processor time so far; 0 where the system does not tell.
fn processor() -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // Hundredths, on Linux.
    (ticks(11) + ticks(12)) / 100.0
}
