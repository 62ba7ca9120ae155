//! Writes a recorded run as a TensorBoard event file: `to_tensorboard RUN FOLDER`.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use isogain_core::record::export::tensorboard::{FILE_NAME, to_tensorboard};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(run), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: to_tensorboard RUN FOLDER".into());
    };
    let run = isogain_core::record::read(&run)?;
    std::fs::create_dir_all(&folder)?;
    to_tensorboard(&run, BufWriter::new(File::create(folder.join(FILE_NAME))?))?;
    Ok(())
}
