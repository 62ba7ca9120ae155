//! Runs made of statistics, well and ill.
