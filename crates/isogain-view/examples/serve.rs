//! Serves the runs in some folders: `serve FOLDER...`.

use std::path::PathBuf;

use isogain_view::{Options, serve};

fn main() -> Result<(), isogain_view::ViewError> {
    let roots = std::env::args_os().skip(1).map(|path| PathBuf::from(path).into()).collect();
    let server = serve(Options { roots, ..Options::default() })?;
    println!("{}", server.url());
    server.wait();
    Ok(())
}
