//! Weights from safetensors files, one tensor at a time: a model of any size needs the memory of its largest tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::flow::Values;

use super::{Survey, WeightError, WeightReport};

/// Bytes before the header: its length, little-endian.
const LENGTH_BYTES: u64 = 8;

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads the files of one model, several where it is cut into shards, and says what its weights say.
///
/// # Errors
/// A file that cannot be read, is no safetensors file or is damaged; a tensor that is in two of them.
pub fn check(paths: &[PathBuf], with_spectrum: bool) -> Result<WeightReport, WeightError> {
    let mut files = paths.iter().map(|path| Opened::new(path)).collect::<Result<Vec<_>, _>>()?;
    let shapes = files.iter().flat_map(Opened::shapes).collect();
    let mut survey = Survey::new(shapes, false, with_spectrum)?;
    for file in &mut files {
        file.read_into(&mut survey)?;
    }
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Ok(survey.report(&names.join(", ")))
}

/// A file whose header was read.
struct Opened {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the values begin.
    start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, WeightError> {
        let io = |source| WeightError::Io { path: path.to_owned(), source };
        let wrong = |message: String| WeightError::Format { path: path.to_owned(), message };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut file = BufReader::new(file);
        let mut prefix = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut prefix).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => wrong(format!("no safetensors file: {length} bytes are too few for a header")),
            _ => io(error),
        })?;
        let header = u64::from_le_bytes(prefix);
        if let Some(what) = other_format(prefix) {
            return Err(wrong(format!("no safetensors file: this is {what}")));
        }
        if header > LONGEST_HEADER || header > length - LENGTH_BYTES {
            return Err(wrong(format!(
                "no safetensors file, or one cut short: it announces a header of {header} bytes and has {length} in all"
            )));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("not a safetensors header: {error}")))?;
        let start = LENGTH_BYTES + header;
        let expected = start.saturating_add(metadata.data_len() as u64);
        if expected != length {
            return Err(wrong(format!("{length} bytes, but the header speaks of {expected}: cut short, or not whole")));
        }
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Self { path: path.to_owned(), file, start, tensors })
    }

    fn shapes(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        self.tensors.iter().map(|(name, info)| (name.clone(), info.shape.clone()))
    }

    fn read_into(&mut self, survey: &mut Survey) -> Result<(), WeightError> {
        for (name, info) in &self.tensors {
            let (start, end) = info.data_offsets;
            let read = match info.dtype {
                Dtype::F64 => |bytes: &[u8]| Values::from(numbers(bytes, f64::from_le_bytes)),
                Dtype::F32 => |bytes: &[u8]| Values::from(numbers(bytes, f32::from_le_bytes)),
                Dtype::F16 => |bytes: &[u8]| Values::from(numbers(bytes, |two| f16::from_le_bytes(two).to_f32())),
                Dtype::BF16 => |bytes: &[u8]| Values::from(numbers(bytes, |two| bf16::from_le_bytes(two).to_f32())),
                other => {
                    survey.skip(&format!("{name} ({other:?})"));
                    continue;
                }
            };
            let io = |source| WeightError::Io { path: self.path.clone(), source };
            self.file.seek(SeekFrom::Start(self.start + start as u64)).map_err(io)?;
            let mut bytes = vec![0; end - start];
            self.file.read_exact(&mut bytes).map_err(io)?;
            survey.add(name, &read(&bytes))?;
        }
        Ok(())
    }
}

/// What else is often given instead, by its first bytes.
fn other_format(prefix: [u8; 8]) -> Option<&'static str> {
    match prefix {
        [b'P', b'K', 3, 4, ..] => Some("a zip archive, as torch.save writes it"),
        [0x80, 2..=5, ..] => Some("a Python pickle, as old versions of torch.save write it"),
        [0x89, b'H', b'D', b'F', ..] => Some("HDF5, as old versions of Keras write it"),
        [b'G', b'G', b'U', b'F', ..] => Some("GGUF"),
        _ => None,
    }
}

fn numbers<const WIDTH: usize, T>(bytes: &[u8], number: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
    bytes.as_chunks::<WIDTH>().0.iter().map(|chunk| number(*chunk)).collect()
}
