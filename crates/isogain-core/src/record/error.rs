//! Why a run could not be written or read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a run could not be written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, to stand between "cannot" and the path.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason; shared, because later writes report the first failure again.
        source: Arc<io::Error>,
    },
    /// A line that is not what a record holds there.
    #[error("{}:{line}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl RecordError {
    /// For `map_err` on what the operating system refused.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source: Arc::new(source) }
    }
}
