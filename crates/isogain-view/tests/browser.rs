//! The live page in a real browser.

#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Instant;

use isogain_view::{Options, Server, serve};
use serde_json::Value;
use support::browser::Browser;
use support::{append, get, run_lines, step_line, write_run};

const NETWORK: &str = "nav.network rect";

/// Name of a recorded run, its lines, the views that it must draw, and what counts as a mark of each.
type Recorded = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const RUNS: &[Recorded] = &[
    (
        "torch",
        include_str!("../../isogain-report/tests/runs/torch.jsonl"),
        &[
            ("loss", ".line path"),
            ("depth", ".line circle"),
            ("gradient-map", "canvas"),
            ("signal-map", "canvas"),
            ("update-map", "canvas"),
            ("waterfall-before", "rect.bar"),
            ("waterfall-after", "rect.bar"),
            ("split", ".line circle"),
            ("units", ".line circle"),
            ("histogram-cotangent", ".ridge path"),
            ("histogram-activation", ".ridge path"),
            ("time", ".line circle"),
            ("network", "rect"),
        ],
    ),
    (
        "clipped",
        include_str!("../../isogain-report/tests/runs/clipped.jsonl"),
        &[("clipping", ".line circle"), ("depth", "path.band"), ("units", ".line circle")],
    ),
    (
        "attention",
        include_str!("../../isogain-report/tests/runs/attention.jsonl"),
        &[("attention", ".line circle"), ("gradient-map", "canvas")],
    ),
    (
        "non-finite",
        include_str!("../../isogain-report/tests/runs/non_finite.jsonl"),
        &[("flight", "td.broken"), ("network", "rect.lost"), ("gradient-map", "canvas")],
    ),
];

fn serving(root: &Path) -> Server {
    serve(Options { roots: vec![root.to_path_buf().into()], ..Options::default() }).unwrap()
}

/// Addresses of the pages of all runs, by name.
fn addresses(server: &Server) -> Vec<(String, String)> {
    let list = get(server, "/").text();
    let rows = list.split("<a href=\"").skip(1);
    let mut found: Vec<(String, String)> = rows
        .filter_map(|row| {
            let (path, rest) = row.split_once("\">")?;
            let name = rest.split_once("</a>")?.0.rsplit('/').next()?.to_owned();
            Some((name, format!("http://{}{path}", server.address())))
        })
        .collect();
    found.sort();
    found
}

fn address(server: &Server, name: &str) -> String {
    addresses(server).into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is not listed")).1
}

/// Nothing was complained about, and nothing asked for but this server's own pages.
fn is_clean(browser: &mut Browser, server: &Server) {
    assert_eq!(browser.complaints, Vec::<String>::new());
    let own = format!("http://{}/", server.address());
    let others: Vec<&String> = browser
        .requests
        .iter()
        .filter(|url| !url.starts_with(&own) && !url.starts_with("blob:") && *url != "about:blank")
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Marks that can be seen of one view; of a canvas, the colours in it.
fn marks(browser: &mut Browser, view: &str, mark: &str) -> i64 {
    browser
        .evaluate(&format!(
            "(() => {{
                const figure = document.querySelector('[data-view=\"{view}\"]');
                if (!figure) return -1;
                if ('{mark}' !== 'canvas') return [...figure.querySelectorAll('{mark}')].filter((element) => {{
                    const box = element.getBoundingClientRect();
                    return box.width > 0 || box.height > 0;
                }}).length;
                const canvas = figure.querySelector('canvas');
                const data = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
                return new Set(data).size;
            }})()"
        ))
        .as_i64()
        .unwrap()
}

#[test]
fn every_view_draws_real_runs_in_both_schemes_and_on_narrow_screens() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, lines, _) in RUNS {
        write_run(&folder.path().join(name), lines);
    }
    let server = serving(folder.path());
    for (name, _, views) in RUNS {
        browser.size(1200, 900);
        browser.scheme("light");
        browser.open(&address(&server, name));
        // Maps are drawn when their size is known.
        browser.wait("[...document.querySelectorAll('canvas')].every((canvas) => canvas.width !== 300)");
        for (view, mark) in *views {
            let found = marks(&mut browser, view, mark);
            assert!(
                found >= 2 || (*mark == "path.band" && found == 1) || (view == &"loss" && found == 1),
                "{name}: {view} has {found} marks"
            );
        }
        browser.picture(&format!("{name}-light"));
        browser.scheme("dark");
        browser.picture(&format!("{name}-dark"));
        browser.scheme("light");
        for width in [1200, 620, 360] {
            browser.size(width, 800);
            browser.wait(&format!("document.documentElement.clientWidth <= {width}"));
            let wide = browser.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth, [...document.querySelectorAll('main *, header *')].filter((e) => !e.closest('.scroll, pre, svg') && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120)).slice(0, 3).join(' | ')]",
            );
            assert!(wide[0].as_i64() <= wide[1].as_i64() && wide[2] == "", "{name} at {width}: {wide}");
        }
        browser.picture(&format!("{name}-narrow"));
    }
    is_clean(&mut browser, &server);
}

#[test]
fn a_line_arrives_and_what_was_chosen_stays() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    write_run(&place, &run_lines(4));
    let server = serving(folder.path());
    browser.size(1200, 900);
    browser.open(&address(&server, "run"));
    browser.evaluate(&format!("document.querySelector('{NETWORK}[data-layer=\"head\"]').dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"));
    browser.evaluate("document.querySelector('#part-depth details').open = true");
    append(&place, &step_line(50, 0.125));
    let start = Instant::now();
    browser.wait("document.querySelector('#part-head').textContent.includes('t step 50')");
    browser.wait("document.querySelector('#part-depth').textContent.includes('step 50')");
    println!("a written line is seen after {:?}", start.elapsed());
    let kept = "document.querySelector('#part-depth details').open && document.querySelector('nav.network rect.selected')?.dataset.layer === 'head'";
    assert_eq!(browser.evaluate(kept), true);
    browser.wait("document.querySelector('.live').textContent.startsWith('live')");
    is_clean(&mut browser, &server);
}

#[test]
fn a_layer_is_chosen_in_all_views() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("torch"), RUNS[0].1);
    let server = serving(folder.path());
    browser.size(1200, 900);
    browser.open(&address(&server, "torch"));
    let selected = |browser: &mut Browser| -> Vec<String> {
        let found = browser.evaluate("[...new Set([...document.querySelectorAll('.selected')].map((e) => e.closest('[data-view]').dataset.view))].concat([...document.querySelectorAll('.outline')].filter((o) => !o.hidden).map((o) => 'outline of ' + o.closest('[data-view]').dataset.view))");
        found.as_array().unwrap().iter().map(|view| view.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(selected(&mut browser), Vec::<String>::new());
    // In the middle of a map, where the pointer chooses.
    let place = browser.evaluate("(() => { const canvas = document.querySelector('[data-view=\"gradient-map\"] canvas'); canvas.scrollIntoView({ block: 'center' }); const box = canvas.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; })()");
    browser.click(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    let views = selected(&mut browser);
    for view in [
        "network",
        "depth",
        "gradient-map",
        "signal-map",
        "update-map",
        "split",
        "outline of gradient-map",
        "outline of signal-map",
        "outline of update-map",
    ] {
        assert!(views.iter().any(|found| found == view), "{view} does not show the layer: {views:?}");
    }
    let reading = browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] .reading').textContent");
    assert!(reading.as_str().unwrap().contains(" · step "), "{reading}");
    browser.picture("chosen");
    browser.key("Escape");
    assert_eq!(selected(&mut browser), Vec::<String>::new());
    // With the keyboard alone: the strip, then a map.
    browser.evaluate("document.querySelector('nav.network svg').focus()");
    browser.key("End");
    assert_eq!(
        browser.evaluate("document.querySelector('nav.network rect.selected').dataset.layer"),
        Value::from("head")
    );
    browser.key("ArrowLeft");
    assert_eq!(browser.evaluate("document.querySelectorAll('nav.network rect.selected').length"), 1);
    browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] svg').focus()");
    browser.key("+");
    let note = browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] .tools .soft').textContent");
    assert!(note.as_str().unwrap().contains('…'), "zoomed: {note}");
    browser.key("0");
    assert_eq!(
        browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] .tools .soft').textContent"),
        Value::from("")
    );
    is_clean(&mut browser, &server);
}

#[test]
fn pictures_and_numbers_are_saved() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("torch"), RUNS[0].1);
    let server = serving(folder.path());
    browser.size(1200, 900);
    browser.open(&address(&server, "torch"));
    // What is saved is read here in place of being written to a disk.
    browser.evaluate("window.files = []; URL.createObjectURL = ((make) => (blob) => { if (blob.type) window.files.push(blob); return make(blob); })(URL.createObjectURL.bind(URL)); HTMLAnchorElement.prototype.click = function () { window.name2 = this.download; }");
    let press = |browser: &mut Browser, view: &str, label: &str| {
        browser.evaluate("window.files.length = 0");
        browser.evaluate(&format!("[...document.querySelectorAll('[data-view=\"{view}\"] .save button')].find((b) => b.textContent === '{label}').click()"));
    };
    press(&mut browser, "gradient-map", "CSV");
    let csv = browser.evaluate("window.files[0].text()");
    let lines: Vec<&str> = csv.as_str().unwrap().lines().collect();
    assert_eq!(lines[0], "layer,0,1,3,10,20,24");
    assert!(lines.len() > 8 && lines[1].starts_with("\"body.0\",") && lines[1].split(',').count() == 7, "{lines:?}");
    press(&mut browser, "depth", "CSV");
    let csv = browser.evaluate("window.files[0].text()");
    assert!(csv.as_str().unwrap().starts_with("layer,\"step 0\",\"step 24\"\n"), "{csv}");
    for view in ["loss", "depth", "gradient-map", "waterfall-before"] {
        press(&mut browser, view, "SVG");
        let svg = browser.evaluate("window.files[0].text()");
        let svg = svg.as_str().unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains("xmlns=") && svg.contains("fill=\"rgb("),
            "{view}: {}",
            &svg[..200]
        );
        press(&mut browser, view, "PNG");
        browser.wait("window.files.some((blob) => blob.type === 'image/png')");
        let size = browser.evaluate(
            "createImageBitmap(window.files.find((blob) => blob.type === 'image/png')).then((image) => image.width)",
        );
        assert_eq!(size, 1120, "{view}");
    }
    is_clean(&mut browser, &server);
}

#[test]
fn hostile_names_stay_text() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let evil = "</script><img src=x onerror=document.title='owned'><b data-layer=x>\\\"'&amp;";
    let name = "<img src=x onerror=alert(1)>";
    let lines: String = run_lines(6).replace("\"head\"", &format!("\"{evil}\""));
    write_run(
        &folder.path().join(name),
        &(lines + &support::HOSTILE_RUN.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()),
    );
    let server = serving(folder.path());
    browser.size(1200, 900);
    browser.open(&format!("http://{}/", server.address()));
    assert_eq!(browser.evaluate("document.images.length"), 0);
    assert!(browser.evaluate("document.querySelector('.runs a').textContent").as_str().unwrap().contains(name));
    let url = browser.evaluate("document.querySelector('.runs a').href");
    browser.open(url.as_str().unwrap());
    append(&folder.path().join(name), &step_line(60, 0.5).replace("\"head\"", &format!("\"{evil}\"")));
    browser.wait("document.querySelector('#part-depth').textContent.includes('step 60')");
    let found = browser.evaluate("[document.images.length, document.title, document.querySelectorAll('b[data-layer]').length, document.querySelectorAll('script').length]");
    assert_eq!(found, serde_json::json!([0, "isogain run", 0, 1]));
    let layer = evil.replace("\\\"", "\"");
    let cell = format!(
        "[...document.querySelectorAll('nav.network rect')].find((rect) => rect.dataset.layer === {})",
        serde_json::to_string(&layer).unwrap()
    );
    browser.evaluate(&format!("{cell}.dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"));
    let text = browser.evaluate("document.querySelector('nav.network .chosen').textContent");
    assert!(text.as_str().unwrap().contains(&layer), "{text}");
    browser.picture("hostile");
    is_clean(&mut browser, &server);
}

#[test]
fn runs_are_listed_and_compared() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, lines, _) in RUNS {
        write_run(&folder.path().join(name), lines);
    }
    let server = serving(folder.path());
    browser.size(1200, 900);
    browser.open(&format!("http://{}/", server.address()));
    browser.picture("list");
    browser.evaluate("[...document.querySelectorAll('input.pick')].slice(0, 3).forEach((box) => box.click())");
    let url =
        browser.evaluate("document.getElementById('compare').hidden ? '' : document.getElementById('compare').href");
    browser.open(url.as_str().unwrap());
    browser.wait("document.querySelectorAll('[data-view=\"loss\"] .line > path:first-child').length === 3");
    assert!(
        browser.evaluate("document.querySelector('#part-recipe').textContent").as_str().unwrap().contains("seed")
            || browser.evaluate("document.querySelectorAll('#part-recipe tbody tr').length").as_i64() > Some(0)
    );
    browser.picture("compare");
    is_clean(&mut browser, &server);
}
