//! What the page shows, in reading order: one file each.

pub(crate) mod course;
pub(crate) mod findings;
pub(crate) mod gradient;
pub(crate) mod header;
pub(crate) mod judged;
pub(crate) mod limits;
pub(crate) mod loss;
pub(crate) mod maps;
pub(crate) mod recipe;
pub(crate) mod recorded;
pub(crate) mod remedies;
pub(crate) mod waterfall;
