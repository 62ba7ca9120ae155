//! The threads that draw: one for each page that somebody looks at, started by the first reader, ended some time after the
//! last one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isogain_report::compare_parts;
use tokio::sync::watch;

use crate::feed::{Publisher, Reader, Shown};
use crate::follow::{Came, Follower};
use crate::found::{self, Found, Root};
use crate::list::Lister;

/// Pages that are drawn at the same time. Each run may hold some ten megabytes.
const MOST_FEEDS: usize = 12;
/// Runs that are compared at once.
pub(crate) const MOST_COMPARED: usize = 6;
/// How long a page is kept up to date that nobody looks at.
const IDLE: Duration = Duration::from_secs(20);
/// Between two looks at a record.
const PAUSE: Duration = Duration::from_millis(150);
/// How long is read before others may have the digest.
const BUDGET: Duration = Duration::from_millis(250);
/// Between two drawings at least; and drawing takes no more than a fifth of the time.
const SHORTEST_GAP: Duration = Duration::from_millis(400);

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Page {
    /// The list of all runs.
    List,
    /// One run, by its id.
    Run(String),
    /// Several runs, by their ids.
    Compare(Vec<String>),
}

/// The threads, by page.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    roots: Vec<Root>,
    feeds: Mutex<HashMap<Page, Feed>>,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Feed {
    publisher: Arc<Publisher>,
    follower: Arc<Mutex<Follower>>,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// No such run.
    Unknown,
    /// Too many are open.
    Busy,
}

/// A lock whose holder panicked guards plain data, which is as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(roots: Vec<Root>) -> Self {
        let inner = Inner { roots, feeds: Mutex::default(), stopped: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// One more reader of a page.
    ///
    /// # Errors
    /// When it names no run, or too many pages are open.
    pub(crate) fn subscribe(&self, page: &Page) -> Result<Reader, NoPage> {
        if let Some(feed) = locked(&self.inner.feeds).get(page) {
            return Ok(feed.publisher.subscribe());
        }
        let wanted: Vec<&String> = match page {
            Page::List => Vec::new(),
            Page::Run(id) => vec![id],
            Page::Compare(ids) => ids.iter().collect(),
        };
        // The disk is searched while no lock is held.
        let runs = if wanted.is_empty() { Vec::new() } else { found::runs(&self.inner.roots).0 };
        let found: Vec<Found> =
            wanted.iter().filter_map(|id| runs.iter().find(|run| run.id == **id).cloned()).collect();
        if found.len() < wanted.len()
            || matches!(page, Page::Compare(ids) if ids.len() < 2 || ids.len() > MOST_COMPARED)
        {
            return Err(NoPage::Unknown);
        }
        Inner::start(&self.inner, page, found)
    }

    /// The page of the only run there is, where a run itself and no folder of runs was given.
    pub(crate) fn only(&self) -> Option<Page> {
        let [root] = &self.inner.roots[..] else { return None };
        let (runs, _) = found::runs(&self.inner.roots);
        let [run] = &runs[..] else { return None };
        let is_it = run.name == root.name;
        is_it.then(|| Page::Run(run.id.clone()))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    fn start(inner: &Arc<Self>, page: &Page, found: Vec<Found>) -> Result<Reader, NoPage> {
        let mut feeds = locked(&inner.feeds);
        if let Some(feed) = feeds.get(page) {
            return Ok(feed.publisher.subscribe());
        }
        if feeds.len() >= MOST_FEEDS {
            return Err(NoPage::Busy);
        }
        let publisher: Arc<Publisher> = Arc::new(watch::Sender::new(Arc::default()));
        let reader = publisher.subscribe();
        let follower = Arc::new(Mutex::new(Follower::new()));
        feeds.insert(page.clone(), Feed { publisher: Arc::clone(&publisher), follower: Arc::clone(&follower) });
        drop(feeds);
        let (mine, page) = (Arc::clone(inner), page.clone());
        let body = move || match page.clone() {
            Page::List => mine.list(&page, &publisher),
            Page::Run(_) => mine.follow(&page, &publisher, &follower, &found),
            Page::Compare(_) => Self::compare(&mine, &page, &publisher, &found),
        };
        let started = std::thread::Builder::new().name("isogain-draw".into()).spawn(body);
        started.map(|_| reader).map_err(|_| NoPage::Busy)
    }

    /// Whether a thread shall end; then it is no longer in the table.
    fn is_over(&self, page: &Page, publisher: &Publisher, idle_since: &mut Option<Instant>) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return true;
        }
        if publisher.receiver_count() > 0 {
            *idle_since = None;
            return false;
        }
        if idle_since.get_or_insert_with(Instant::now).elapsed() < IDLE {
            return false;
        }
        // Readers come under this lock.
        let mut feeds = locked(&self.feeds);
        if publisher.receiver_count() > 0 {
            return false;
        }
        feeds.remove(page);
        true
    }

    fn list(&self, page: &Page, publisher: &Publisher) {
        let mut lister = Lister::default();
        let mut idle = None;
        while !self.is_over(page, publisher, &mut idle) {
            publish(publisher, lister.parts(&self.roots), "live".to_owned());
            pause(Duration::from_secs(1), &self.stopped);
        }
    }

    fn follow(&self, page: &Page, publisher: &Publisher, follower: &Mutex<Follower>, found: &[Found]) {
        let Some(run) = found.first() else { return };
        let mut idle = None;
        let (mut is_stale, mut drawn, mut gap) = (true, None::<Instant>, SHORTEST_GAP);
        while !self.is_over(page, publisher, &mut idle) {
            let mut follower = locked(follower);
            let came = follower.read(&run.record, BUDGET);
            is_stale |= came != Came::End(false);
            // The first drawing waits for the end, or for what half a second of reading has given.
            let is_due = drawn.is_none_or(|drawn| drawn.elapsed() >= gap);
            if is_stale && is_due {
                let start = Instant::now();
                publish(publisher, follower.parts(&run.name), follower.state(came));
                gap = SHORTEST_GAP.max(4 * start.elapsed()).max(sending(publisher));
                drawn = Some(Instant::now());
                is_stale = came == Came::More;
            }
            drop(follower);
            if came != Came::More {
                pause(PAUSE, &self.stopped);
            }
        }
    }

    fn compare(inner: &Arc<Self>, page: &Page, publisher: &Publisher, found: &[Found]) {
        // Each run is followed as its own page is, so that it is read once whoever looks at it.
        let mut followed: Vec<(String, Reader, Arc<Mutex<Follower>>)> = Vec::new();
        for run in found {
            let own = Page::Run(run.id.clone());
            let Ok(reader) = Self::start(inner, &own, vec![run.clone()]) else { continue };
            let follower = locked(&inner.feeds).get(&own).map(|feed| Arc::clone(&feed.follower));
            followed.extend(follower.map(|follower| (run.name.clone(), reader, follower)));
        }
        let mut idle = None;
        while !inner.is_over(page, publisher, &mut idle) {
            let is_new = followed.iter_mut().any(|(_, reader, _)| reader.has_changed().unwrap_or(false));
            if is_new || publisher.borrow().pieces.is_empty() {
                followed.iter_mut().for_each(|(_, reader, _)| drop(reader.borrow_and_update()));
                let guards: Vec<_> = followed.iter().map(|(name, _, follower)| (name, locked(follower))).collect();
                let runs: Vec<_> =
                    guards.iter().filter_map(|(name, follower)| Some(((*name).clone(), follower.digest()?))).collect();
                let parts = compare_parts(&runs);
                drop(guards);
                let left = found.len() - followed.len();
                let state = if left > 0 { format!("live; {left} runs too many are open") } else { "live".to_owned() };
                publish(publisher, parts, state);
            }
            pause(SHORTEST_GAP, &inner.stopped);
        }
    }
}

/// How long a reader may take to be sent all of what is shown: a megabyte in half a second.
fn sending(publisher: &Publisher) -> Duration {
    let bytes: usize = publisher.borrow().pieces.iter().map(|piece| piece.event.len()).sum();
    Duration::from_micros(bytes as u64 / 2)
}

fn publish(publisher: &Publisher, parts: Vec<isogain_report::Part>, state: String) {
    let shown = Shown::after(&publisher.borrow(), parts, state);
    publisher.send_replace(Arc::new(shown));
}

/// Sleeps, but not much longer than the server runs.
fn pause(time: Duration, stopped: &AtomicBool) {
    let end = Instant::now() + time;
    while Instant::now() < end && !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50).min(time));
    }
}
