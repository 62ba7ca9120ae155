//! The page as people get it: networks are cured and trained by the program, and what it shows of them is looked at in a
//! real browser, live and as files. Pictures are left in `target/pages`.

#![cfg(test)]

#[path = "../../../isogain-view/tests/support/browser.rs"]
#[allow(dead_code, reason = "shared with the server's own tests, which use more of it")]
mod browser;
#[path = "../cli/desk.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use more of it")]
mod desk;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use browser::Browser;
use desk::Desk;

/// A network whose gradient vanishes, small enough to be cured in seconds.
const ILL: &str = "[network]\ndepth = 20\nwidth = 24\n\n[run]\nsteps = 120\n";

/// Views, and what counts as a mark of each.
type Marks = &'static [(&'static str, &'static str)];

/// Recipes whose runs have what a plain network has not, and the views that show it.
const OTHERS: &[(&str, &str, Marks)] = &[
    (
        "lstm",
        "[data]\nsource = \"adding\"\ntask = \"regression\"\nlength = 20\n\n[network]\nkind = \"lstm\"\nwidth = 16\n\n[clip]\nkind = \"global-norm\"\nthreshold = 0.01\n\n[run]\nsteps = 30\n",
        &[("time", ".line circle"), ("clipping", ".line circle")],
    ),
    (
        "transformer",
        "[network]\nkind = \"transformer\"\ndepth = 2\nwidth = 16\nheads = 2\nhead = \"mean\"\n\n[run]\nsteps = 30\n",
        &[("attention", ".line circle"), ("gradient-map", "canvas")],
    ),
    (
        "overflow",
        "[network]\ndepth = 8\nwidth = 16\ninit = \"he-normal\"\n\n[optimizer]\nlearning_rate = 1e6\n\n[run]\nsteps = 30\n",
        &[("flight", "td.broken"), ("network", "rect.lost")],
    ),
];

/// What the page of a plain run draws, what counts as a mark of it, and how many there are at least.
const OF_A_PLAIN_RUN: &[(&str, &str, i64)] = &[
    ("network", "rect", 20),
    ("loss", ".line path", 1),
    ("depth", ".line circle", 40),
    // One colour where all layers are alike.
    ("gradient-map", "canvas", 1),
    ("signal-map", "canvas", 1),
    ("update-map", "canvas", 4),
    ("waterfall-before", "rect.bar", 4),
    ("waterfall-after", "rect.bar", 4),
    ("phase", ".shades path", 6),
    ("phase", ".point circle", 1),
    ("split", ".line circle", 60),
    ("units", ".line circle", 40),
    ("histogram-cotangent", ".ridge path", 20),
    ("histogram-activation", ".ridge path", 20),
    ("over-time-cotangent", ".course.shown path", 5),
    ("over-time-activation", ".course.shown path", 5),
];

/// What the report of a cure draws.
const OF_A_CURE: &[(&str, &str, i64)] = &[
    ("network", "rect", 19),
    ("network", "rect.ill", 1),
    ("loss", ".line.before path", 3),
    ("loss", ".line.after path", 3),
    ("loss", "path.band.after", 1),
    ("loss", "path.band.other", 1),
    ("gradient", ".line.before circle", 19),
    ("gradient", ".line.after circle", 19),
    ("gradient", "path.band.theory", 1),
    ("waterfall-before", "rect.bar", 3),
    ("waterfall-after", "rect.bar", 3),
    ("predicted", ".line.after circle", 3),
    ("predicted", ".line.other circle", 3),
    ("phase", ".point.before circle", 1),
    ("phase", ".edge", 1),
];

/// The server at work; it ends with the test.
struct Serving(Child, String);

impl Serving {
    fn of(desk: &Desk, arguments: &[&str]) -> Self {
        let mut command = desk.command(&[&["view", "--port", "0"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self(child, url.trim().to_owned())
    }

    /// Address of the page of a run, by the end of its name.
    fn run(&self, browser: &mut Browser, name: &str) -> String {
        browser.open(&self.1);
        let name = serde_json::to_string(name).unwrap();
        browser.wait(&format!("[...document.querySelectorAll('.runs a')].some((a) => a.textContent.endsWith({name}))"));
        let found = browser.evaluate(&format!(
            "[...document.querySelectorAll('.runs a')].find((a) => a.textContent.endsWith({name})).href"
        ));
        found.as_str().unwrap().to_owned()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Marks of a view that can be seen; of a canvas, the colours that were drawn. -1 where there is no such view.
fn marks(browser: &mut Browser, view: &str, mark: &str) -> i64 {
    let asked = format!(
        "(() => {{
            const figure = document.querySelector('[data-view=\"{view}\"]');
            if (!figure) return -1;
            if ('{mark}' !== 'canvas') return [...figure.querySelectorAll('{mark}')].filter((element) => {{
                const box = element.getBoundingClientRect();
                return box.width > 0 || box.height > 0;
            }}).length;
            const canvas = figure.querySelector('canvas');
            // Of a copy: the browser complains of a canvas that is read often.
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {{ willReadFrequently: true }});
            copy.drawImage(canvas, 0, 0);
            const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set([...new Uint32Array(data.buffer)].filter((colour) => colour !== 0)).size;
        }})()"
    );
    browser.evaluate(&asked).as_i64().unwrap()
}

/// Every view has its marks, its numbers and its words; nothing overflows in any width, scheme or order of them.
fn is_whole(browser: &mut Browser, name: &str, views: &[(&str, &str, i64)]) {
    browser.size(1200, 900);
    browser.scheme("light");
    browser.wait("[...document.querySelectorAll('canvas')].every((canvas) => canvas.width !== 300)");
    for (view, mark, least) in views {
        let found = marks(browser, view, mark);
        assert!(found >= *least, "{name}: {view} has {found} of {mark}");
    }
    let bare = browser.evaluate(
        "[...document.querySelectorAll('figure.chart')].filter((f) => !f.querySelector('table') || !f.querySelector('desc, figcaption')).map((f) => f.dataset.view).join()",
    );
    assert_eq!(bare, "", "{name}: views without a table or words");
    let mute = browser.evaluate(
        "[...document.querySelectorAll('figure.chart')].filter((f) => !f.querySelector('.hint [role=tooltip]') && !f.dataset.view.startsWith('waterfall') ).map((f) => f.dataset.view).join()",
    );
    assert_eq!(mute, "", "{name}: views that do not say how they are read");
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        for width in [1200, 620, 375] {
            browser.size(width, 900);
            browser.wait(&format!("document.documentElement.clientWidth <= {width}"));
            let wide = browser.evaluate(
                "[document.documentElement.scrollWidth - document.documentElement.clientWidth, [...document.querySelectorAll('main *, header *, nav *')].filter((e) => !e.closest('.scroll, pre, svg, [role=tooltip]') && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120)).slice(0, 3).join(' | ')]",
            );
            assert!(wide[0].as_i64() <= Some(0) && wide[1] == "", "{name}, {scheme}, {width}: {wide}");
            browser.picture(&format!("{name}-{scheme}-{width}"));
        }
    }
    browser.scheme("light");
    browser.size(1200, 900);
}

/// Nothing was complained about, and nothing was asked for but the page itself.
fn is_clean(browser: &mut Browser, own: &str) {
    assert_eq!(browser.complaints, Vec::<String>::new());
    let others: Vec<&String> = browser
        .requests
        .iter()
        .filter(|url| !url.starts_with(own) && !url.starts_with("blob:") && *url != "about:blank")
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

fn selected(browser: &mut Browser) -> Vec<String> {
    let found = browser.evaluate(
        "[...new Set([...document.querySelectorAll('.selected')].map((e) => e.closest('[data-view]').dataset.view))]",
    );
    found.as_array().unwrap().iter().map(|view| view.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_cured_run_is_drawn_in_every_view() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    desk.write("ill.toml", ILL);
    let ran = desk.isogain(&["cure", "ill.toml", "--quiet", "--out", "runs/cure"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);

    // The report, a file.
    let report = format!("file://{}", desk.path("runs/cure/report.html").display());
    browser.open(&report);
    is_whole(&mut browser, "cure", OF_A_CURE);
    browser.evaluate("document.querySelector('nav.network svg').focus()");
    browser.key("End");
    browser.key("ArrowLeft");
    let chosen = browser.evaluate("document.querySelector('nav.network rect.selected').dataset.layer");
    assert!(selected(&mut browser).iter().any(|view| view == "gradient"), "the strip drives the charts");
    browser.key("Escape");
    assert!(selected(&mut browser).is_empty() && chosen.is_string());
    // How a chart is read, by the keyboard alone.
    browser.evaluate("document.querySelector('[data-view=\"gradient\"] .hint button').focus({ focusVisible: true })");
    let tip = "getComputedStyle(document.querySelector('[data-view=\"gradient\"] [role=tooltip]')).visibility";
    assert_eq!(browser.evaluate(tip), "visible");
    browser.key("Escape");
    assert_eq!(browser.evaluate(tip), "hidden");
    // The finding has the text of `explain`.
    let page = browser.evaluate("document.querySelector('#findings details.page').textContent");
    for sentence in ["Back-propagation multiplies one factor per layer", "When to ignore it"] {
        assert!(page.as_str().unwrap().contains(sentence), "{page}");
    }
    is_clean(&mut browser, &report);
    browser.requests.clear();

    // Both its records, live.
    let server = Serving::of(&desk, &["runs"]);
    for name in ["cured", "untreated"] {
        let url = server.run(&mut browser, name);
        browser.open(&url);
        is_whole(&mut browser, name, OF_A_PLAIN_RUN);
    }
    // Theory has a band for the plain network that is untreated, and none for the one cured by skips.
    assert_eq!(marks(&mut browser, "depth", "path.band"), 1);
    assert!(marks(&mut browser, "gradient-map", "canvas") >= 4, "from layer to layer the gradient shrinks");
    // One layer, chosen in a map, is chosen in every view that has it.
    let place = browser.evaluate("(() => { const canvas = document.querySelector('[data-view=\"gradient-map\"] canvas'); canvas.scrollIntoView({ block: 'center' }); const box = canvas.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; })()");
    browser.click(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    let views = selected(&mut browser);
    let layer = browser.evaluate("document.querySelector('nav.network rect.selected').dataset.layer");
    for view in ["network", "depth", "gradient-map", "signal-map", "update-map", "split", "histogram-cotangent"] {
        assert!(views.iter().any(|found| found == view), "{view} does not show {layer}: {views:?}");
    }
    let course =
        browser.evaluate("document.querySelector('[data-view=\"over-time-cotangent\"] .course.shown').dataset.of");
    assert_eq!(course, layer);
    browser.picture("cured-chosen");
    // Zoomed, dragged, and read out.
    let whole = marks(&mut browser, "gradient-map", "canvas");
    browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] svg').focus()");
    browser.key("+");
    browser.key("+");
    let note = "document.querySelector('[data-view=\"gradient-map\"] .tools .soft').textContent";
    let before = browser.evaluate(note);
    assert!(before.as_str().unwrap().contains('…') && whole > 3, "{before}");
    browser.drag([place[0].as_f64().unwrap(), place[1].as_f64().unwrap()], [-80.0, -40.0]);
    assert_ne!(browser.evaluate(note), before, "what is dragged moves");
    let reading = browser.evaluate("document.querySelector('[data-view=\"gradient-map\"] .reading').textContent");
    assert!(reading.as_str().unwrap().contains(" · step "), "{reading}");
    is_clean(&mut browser, &server.1);

    // Side by side, as a file.
    let ran = desk.isogain(&["compare", "runs/cure/untreated", "runs/cure/cured", "--html", "compare.html"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let compared = format!("file://{}", desk.path("compare.html").display());
    browser.requests.clear();
    browser.open(&compared);
    let views = [
        ("loss", ".line > path:first-of-type", 2),
        ("depth", ".line circle", 40),
        ("map-1", "canvas", 4),
        ("map-2", "canvas", 1),
    ];
    browser.size(1200, 900);
    browser.wait("[...document.querySelectorAll('canvas')].every((canvas) => canvas.width !== 300)");
    for (view, mark, least) in views {
        let found = marks(&mut browser, view, mark);
        assert!(found >= least, "compare: {view} has {found} of {mark}");
    }
    let shades = browser.evaluate("[...document.querySelectorAll('template.map')].map((map) => map.dataset.shade)");
    assert_eq!(shades[0], shades[1], "maps side by side have one scale");
    browser.picture("compare-file");
    is_clean(&mut browser, &compared);
}

#[test]
fn what_other_networks_have_is_drawn_and_live_runs_arrive() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    // The server is there before any run, and its folder before it is made.
    let server = Serving::of(&desk, &[]);
    browser.size(1200, 900);
    browser.open(&server.1);
    assert!(browser.evaluate("document.body.textContent").as_str().unwrap().contains("No run yet"));
    for (name, recipe, views) in OTHERS {
        desk.write(&format!("{name}.toml"), recipe);
        let ran = desk.isogain(&["train", &format!("{name}.toml"), "--quiet", "--out", &format!("runs/{name}")]);
        assert!(matches!(ran.code, Some(0 | 1)), "{name}: {}", ran.stderr);
        let url = server.run(&mut browser, name);
        browser.open(&url);
        let views: Vec<(&str, &str, i64)> = views.iter().map(|(view, mark)| (*view, *mark, 1)).collect();
        is_whole(&mut browser, name, &views);
        assert!(desk.read(&format!("runs/{name}/report.html")).contains("data-view=\"loss\""));
    }
    // A run that is still going on: its steps arrive while it trains.
    desk.write("long.toml", "[network]\ndepth = 6\nwidth = 64\n\n[run]\nsteps = 200000\n");
    let training = desk.begin(&["train", "long.toml", "--quiet", "--out", "runs/long"]);
    let url = server.run(&mut browser, "long");
    browser.open(&url);
    browser.wait("Number(document.documentElement.dataset.updates ?? 0) >= 3");
    let step = "Number(/t step ([0-9,]+)/.exec(document.querySelector('#part-head').textContent)?.[1].replaceAll(',', '') ?? 0)";
    let first = browser.evaluate(step).as_f64().unwrap();
    browser.wait(&format!("{step} > {first}"));
    #[cfg(unix)]
    training.interrupt();
    let ended = training.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    browser.wait("document.querySelector('.live').textContent.startsWith('live')");
    is_clean(&mut browser, &server.1);
}

#[test]
fn hostile_names_stay_text_in_every_page() {
    let Some(mut browser) = Browser::start() else { return };
    let desk = Desk::new();
    let evil = "</script><img src=x onerror=document.title='owned'>";
    let folder = "runs/<img src=x onerror=alert(1)>";
    desk.write("tiny.toml", desk::TINY);
    let ran = desk.isogain(&["train", "tiny.toml", "--quiet", "--out", folder]);
    assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    // A record may be written by any program: the layer is called so in every line of it.
    let record = desk.read(&format!("{folder}/run.jsonl")).replace("\"fc1", &format!("\"{evil}"));
    desk.write(&format!("{folder}/run.jsonl"), &record);
    for arguments in
        [&["view", folder, "--html", "run.html"][..], &["compare", folder, folder, "--html", "compare.html"]]
    {
        let ran = desk.isogain(arguments);
        assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
    }
    let server = Serving::of(&desk, &["runs"]);
    let file = |name: &str| format!("file://{}", desk.path(name).display());
    let pages = [server.1.clone(), file("compare.html"), file("run.html")];
    for page in pages {
        browser.open(&page);
        let found = browser.evaluate("[document.images.length, document.title.startsWith('isogain'), document.querySelectorAll('script:not([type])').length]");
        assert_eq!(found, serde_json::json!([0, true, 1]), "{page}");
    }
    // Chosen, it is shown everywhere, and still text.
    browser.evaluate("document.querySelector('nav.network svg').focus()");
    browser.key("Home");
    assert_eq!(browser.evaluate("document.querySelector('nav.network rect.selected').dataset.layer"), evil);
    assert_eq!(browser.evaluate("document.querySelector('[data-view=\"over-time-cotangent\"] .of').textContent"), evil);
    let said = browser.evaluate("document.querySelector('main').textContent");
    assert!(said.as_str().unwrap().contains(evil), "the name is there, as text");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
