//! The statistics kernel against a plain read of the same memory, and against numpy and PyTorch.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::program::{Program, python_with};
use super::{number, text};
use crate::steps::say;

/// Kilobytes of the buffers.
const SIZES: [usize; 5] = [4, 64, 1024, 4096, 65_536];

/// Prints the table.
pub(super) fn table() -> Result<()> {
    let python =
        python_with("import torch, numpy; print(f'numpy {numpy.__version__} and PyTorch {torch.__version__}')");
    let mut theirs = match &python {
        Some(python) => Some(Program::script(&python.path, Path::new("benches/statistics_torch.py"), &[])?),
        None => None,
    };
    let against = match &python {
        Some(python) => format!("against {}", python.version),
        None => "not against numpy and PyTorch: no Python with both (set ISOGAIN_PYTHON)".to_string(),
    };
    let mut ours = Program::example("isogain-core", "kernel_bench", &[])?;
    let measured = SIZES.map(|kilobytes| -> Result<(Value, Option<Value>)> {
        let found = ours.ask(kilobytes)?;
        Ok((found, theirs.as_mut().map(|theirs| theirs.ask(kilobytes)).transpose()?))
    });
    let measured: Vec<(Value, Option<Value>)> = measured.into_iter().collect::<Result<_>>()?;
    let path = measured.first().map_or("?", |(ours, _)| text(ours, "path"));
    say(&format!(
        "\nThe statistics kernel ({path}), gigabytes per second, {against}. Goals: at 64 MB 0.95 of a plain read, 0.4 with \
         the histogram; 20 GB/s up to 4 MB; 20 times as fast as the others:\n"
    ));
    say(
        "| size | plain read | kernel | over plain read | with histogram | over plain read | two threads | f16 | bf16 | over numpy | over PyTorch |",
    );
    say("|---|---|---|---|---|---|---|---|---|---|---|");
    measured.iter().try_for_each(|(ours, theirs)| row(ours, theirs.as_ref()))
}

fn row(ours: &Value, theirs: Option<&Value>) -> Result<()> {
    let of = |key| number(ours, key);
    let kilobytes = of("kilobytes")?;
    let size = if kilobytes < 1024.0 { format!("{kilobytes} KB") } else { format!("{} MB", kilobytes / 1024.0) };
    let [plain, kernel, histogram] = [of("streaming")?, of("kernel")?, of("histogram")?];
    let milliseconds = kilobytes * 1024.0 / kernel / 1e6;
    let over = |key: &str| -> Result<String> {
        let Some(theirs) = theirs else { return Ok("-".to_string()) };
        Ok(format!("{:.0}x", number(theirs, key)? / milliseconds))
    };
    // A buffer that one thread has read before another one woke up is not worth two.
    let two = if kilobytes < 1024.0 { "-".to_string() } else { format!("{:.1}", of("two_threads")?) };
    let (numpy, torch) = (over("numpy_ms")?, over("torch_ms").context("PyTorch's statistics")?);
    say(&format!(
        "| {size} | {plain:.1} | {kernel:.1} | {:.2} | {histogram:.1} | {:.2} | {two} | {:.1} | {:.1} | {numpy} | {torch} |",
        kernel / plain,
        histogram / plain,
        of("f16")?,
        of("bf16")?,
    ));
    Ok(())
}
