//! HTTP: the pages, and their events.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use isogain_report::live_html;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::feed::{Reader, Sent, Shown};
use crate::guard::{COOKIE_NAME, Guard, Refused};
use crate::hub::{Hub, NoPage, Page};

/// Readers at the same time.
const MOST_READERS: usize = 100;
/// How long a page waits for what it shows; after that it opens without and is sent it later.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Events that wait for a slow reader; it is sent newer ones in their place.
const WAITING: usize = 4;

/// What is served.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) guard: Guard,
    pub(crate) hub: Hub,
}

#[derive(Clone)]
struct Context {
    site: Arc<Site>,
    readers: Arc<Semaphore>,
}

/// Serves until told to stop.
pub(crate) async fn run(listener: TcpListener, site: Arc<Site>, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let context = Context { site, readers: Arc::new(Semaphore::new(MOST_READERS)) };
    let router = Router::new().fallback(answer).with_state(context);
    let server = async { axum::serve(listener, router).await };
    tokio::select! {
        _ = server => {}
        _ = stopped => {}
    }
}

/// Every request comes here: what is asked for is compared with what there is, and no path is made of it.
async fn answer(State(context): State<Context>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let value = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name).map(|pair| pair.1)
    };
    let guard = &context.site.guard;
    let mut response = match guard.check(request.method(), request.headers(), value("token")) {
        Err(refused) => refuse(refused),
        // The token leaves the address line for a cookie that no script reads.
        Ok(()) if value("token").is_some() => enter(guard, request.uri().path()),
        Ok(()) => match route(request.uri().path(), value("runs")) {
            Some((page, true)) => events(&context, &page, value("seen")).await,
            Some((Page::List, false)) => match context.site.hub.only() {
                Some(Page::Run(id)) => see(&format!("/run/{id}")),
                _ => show(&context, &Page::List).await,
            },
            Some((page, false)) => show(&context, &page).await,
            None => plain(StatusCode::NOT_FOUND, "There is no such page."),
        },
    };
    protect(&mut response);
    response
}

/// The page a path names, and whether its events are asked for.
fn route(path: &str, runs: Option<&str>) -> Option<(Page, bool)> {
    let is_id = |id: &str| id.len() == 12 && id.bytes().all(|c| c.is_ascii_hexdigit());
    let pieces: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let compared = || {
        let ids: Vec<String> = runs?.split(',').map(str::to_owned).collect();
        ids.iter().all(|id| is_id(id)).then_some(Page::Compare(ids))
    };
    Some(match pieces[..] {
        [""] => (Page::List, false),
        ["events"] => (Page::List, true),
        ["run", id] if is_id(id) => (Page::Run(id.to_owned()), false),
        ["run", id, "events"] if is_id(id) => (Page::Run(id.to_owned()), true),
        ["compare"] => (compared()?, false),
        ["compare", "events"] => (compared()?, true),
        _ => return None,
    })
}

async fn subscribe(context: &Context, page: &Page) -> Result<Reader, Response> {
    let (site, page) = (Arc::clone(&context.site), page.clone());
    // It may search folders, for which other readers shall not wait.
    let found = tokio::task::spawn_blocking(move || site.hub.subscribe(&page)).await;
    match found {
        Ok(Ok(reader)) => Ok(reader),
        Ok(Err(NoPage::Unknown)) => Err(plain(StatusCode::NOT_FOUND, "There is no such run here.")),
        Ok(Err(NoPage::Busy)) | Err(_) => {
            Err(plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open; close some and wait a little."))
        }
    }
}

async fn show(context: &Context, page: &Page) -> Response {
    let mut reader = match subscribe(context, page).await {
        Ok(reader) => reader,
        Err(response) => return response,
    };
    let has_parts = reader.wait_for(|shown| !shown.pieces.is_empty());
    // A record that cannot be read in that time opens empty.
    drop(tokio::time::timeout(PATIENCE, has_parts).await.map(|found| found.map(drop)));
    let shown = Arc::clone(&reader.borrow());
    let seen = shown.name();
    let parts: Vec<_> = shown.pieces.iter().map(|piece| piece.part.clone()).collect();
    let (title, address) = match page {
        Page::List => ("isogain view", format!("/events?seen={seen}")),
        Page::Run(id) => ("isogain run", format!("/run/{id}/events?seen={seen}")),
        Page::Compare(ids) => ("isogain compare", format!("/compare/events?runs={}&seen={seen}", ids.join(","))),
    };
    Html(live_html(title, &parts, &address)).into_response()
}

/// `seen` names what the page that asks was made with.
async fn events(context: &Context, page: &Page, seen: Option<&str>) -> Response {
    let Ok(place) = Arc::clone(&context.readers).try_acquire_owned() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Too many readers; close some pages.");
    };
    let mut reader = match subscribe(context, page).await {
        Ok(reader) => reader,
        Err(response) => return response,
    };
    let is_seen = |shown: &Shown| seen.is_some_and(|seen| seen == shown.name());
    let mut sent = if is_seen(&reader.borrow()) { Sent::page(&reader.borrow()) } else { Sent::default() };
    let (sender, receiver) = mpsc::channel::<Result<Event, Infallible>>(WAITING);
    tokio::spawn(async move {
        let _place = place;
        loop {
            let shown = Arc::clone(&reader.borrow_and_update());
            for (name, data) in sent.update(&shown) {
                if sender.send(Ok(Event::default().event(name).data(&*data))).await.is_err() {
                    return;
                }
            }
            drop(shown);
            tokio::select! {
                () = sender.closed() => return,
                changed = reader.changed() => if changed.is_err() { return },
            }
        }
    });
    Sse::new(ReceiverStream::new(receiver))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

fn enter(guard: &Guard, path: &str) -> Response {
    let path = if route(path, None).is_some() { path } else { "/" };
    let mut response = see(path);
    if let Some(token) = guard.token() {
        let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
    }
    response
}

/// Sends the reader to another of these pages.
fn see(path: &str) -> Response {
    let mut response = plain(StatusCode::SEE_OTHER, "");
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

fn refuse(refused: Refused) -> Response {
    match refused {
        Refused::Method => plain(StatusCode::METHOD_NOT_ALLOWED, "This page is only read."),
        Refused::Host => plain(StatusCode::FORBIDDEN, "Ask for this page by its address, or as localhost."),
        Refused::Origin => plain(StatusCode::FORBIDDEN, "A page of another site may not read this one."),
        Refused::Token => plain(
            StatusCode::UNAUTHORIZED,
            "This page needs its token: open the whole address that the program printed.",
        ),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// What every answer says to the browser.
fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    // A page carries its whole policy itself, with the hashes of its script and style; both hold.
    let policy = if is_page { "frame-ancestors 'none'" } else { "default-src 'none'; frame-ancestors 'none'" };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_paths_are_pages() {
        let id = "0123456789ab";
        assert_eq!(route("/", None), Some((Page::List, false)));
        assert_eq!(route(&format!("/run/{id}"), None), Some((Page::Run(id.into()), false)));
        assert_eq!(route(&format!("/run/{id}/events"), None), Some((Page::Run(id.into()), true)));
        assert!(route("/compare/events", Some(&format!("{id},{id}"))).is_some());
        for path in [
            "",
            "//",
            "/run",
            "/run/",
            "/run/..",
            "/run/../../etc/passwd",
            "/run/%2e%2e%2fetc",
            "/run/0123456789ab/",
            "/run/0123456789ab/run.jsonl",
            "/run/0123456789a\u{661}",
            "/..",
            "/compare",
        ] {
            assert_eq!(route(path, None), None, "{path}");
        }
        assert_eq!(route("/compare", Some("../../x,0123456789ab")), None);
    }
}
