//! The page of a run that is still written, served on this machine.
//!
//! ```no_run
//! use isogain_view::{Options, serve};
//!
//! let server = serve(Options { roots: vec![std::path::PathBuf::from("runs").into()], ..Options::default() })?;
//! println!("{}", server.url());
//! server.wait();
//! # Ok::<(), isogain_view::ViewError>(())
//! ```
//!
//! Whoever opens the address sees the runs under the given folders, also those that begin later, and each of them as
//! `isogain_report` draws it, newer parts coming as server-sent events. Each record is read by one thread, whatever the
//! number of readers; its steps are taken into a [`Digest`](isogain_report::Digest) of bounded size and forgotten.
//!
//! Nothing is asked for but by GET. A request names a run by a hash of its path, so that no path is ever made from a
//! request. `Host` must be an address or `localhost`, and `Origin`, where there is one, the page's own: a page of another
//! site cannot read this one, even if its name is turned to this address. Beyond the loopback interface a random token is
//! required, which [`Server::url`] carries.

mod feed;
mod follow;
mod found;
mod guard;
mod hub;
mod lines;
mod list;
mod web;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use isogain_core::record::{Run, read};

pub use found::Root;

use follow::{Came, Follower};
use guard::Guard;
use hub::Hub;

/// What is served, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Folders of runs, folders with such folders below them, or records; they need not exist yet.
    pub roots: Vec<Root>,
    /// The address to listen at; other than a loopback address it makes a token necessary.
    pub address: IpAddr,
    /// The port; 0 for one that is free.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { roots: vec![PathBuf::from("runs").into()], address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0 }
    }
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server cannot be started.
    #[error("cannot start the server: {0}")]
    Start(std::io::Error),
    /// There is no run to show.
    #[error(transparent)]
    Record(#[from] isogain_core::record::RecordError),
    /// The page cannot be put together.
    #[error("cannot make the page: {0}")]
    Report(#[from] isogain_report::ReportError),
    /// No token can be made.
    #[error("this system gives no random numbers, and a page that others can open needs a token")]
    NoRandomness,
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    token: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the page on a thread of its own and returns at once.
///
/// # Errors
/// `Listen` when the address is taken or not this machine's; `NoRandomness` when a token is needed and none can be made.
pub fn serve(options: Options) -> Result<Server, ViewError> {
    let asked = SocketAddr::new(options.address, options.port);
    let listen = |source| ViewError::Listen { address: asked, source };
    let listener = TcpListener::bind(asked).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let token =
        if address.ip().is_loopback() { None } else { Some(guard::random_token().ok_or(ViewError::NoRandomness)?) };
    let site = Arc::new(web::Site { guard: Guard::new(token.clone()), hub: Hub::new(options.roots) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ViewError::Start)?;
    let (stop, stopped) = oneshot::channel();
    let run = move || runtime.block_on(web::run(listener, site, stopped));
    let thread = std::thread::Builder::new().name("isogain-view".into()).spawn(run).map_err(ViewError::Start)?;
    Ok(Server { address, token, stop: Some(stop), thread: Some(thread) })
}

/// The page of a record as it is now, as one file, and what is known of the run but its steps. Damaged lines are left out,
/// and the page says so; whatever the record's size, the memory stays bounded.
///
/// # Errors
/// `Record` when there is no such file, or no run in it.
pub fn still(record: &Path, name: &str) -> Result<(String, Run), ViewError> {
    // A path that was given may be a link.
    let place = record.canonicalize().unwrap_or_else(|_| record.to_path_buf());
    let mut follower = Follower::new();
    while follower.read(&place, Duration::from_secs(1)) == Came::More {}
    let Some(digest) = follower.digest() else {
        // The strict reader says why.
        let run = read(record)?;
        return Ok((isogain_report::run_html(&run, name)?, run));
    };
    Ok((isogain_report::digest_html(digest, name, &follower.left_out())?, digest.overview().clone()))
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser, the token included where one is required.
    pub fn url(&self) -> String {
        // What listens at every address is reached at this machine's own.
        let host = match self.address.ip() {
            address if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            address => address,
        };
        let place = SocketAddr::new(host, self.address.port());
        match &self.token {
            Some(token) => format!("http://{place}/?token={token}"),
            None => format!("http://{place}/"),
        }
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A thread that panicked serves no more either.
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error says that the server stopped by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
