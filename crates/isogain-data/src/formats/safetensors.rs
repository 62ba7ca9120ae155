//! Named tensors of a safetensors file, read as inputs and targets.

use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::{Request, open};
use crate::array::{Array, pairs};
use crate::error::{Error, Place, Result};
use crate::number::Number;
use crate::raw::Bytes;
use crate::sheet::Sheet;

/// Most bytes of a header, as the format's own reader has it.
const MOST_HEADER: u64 = 100_000_000;

pub(crate) fn read(request: &Request<'_>) -> Result<Vec<Sheet>> {
    let path = &request.path;
    let file = Arc::new(open(path, request.key, &path.display().to_string())?);
    let wrong = |byte: u64, message: String| Error::file(path, Place::Byte(byte), message);
    let length = file.bytes_at(0, 8)?;
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
    if length > MOST_HEADER {
        return Err(wrong(0, format!("a header of {length} bytes; not a safetensors file, whose header is shorter")));
    }
    let start = file.bytes_at(0, 8 + length)?;
    // The format's own reader wants the whole file at once. This one checks shapes against offsets as well.
    let header: Metadata =
        serde_json::from_slice(&start[8..]).map_err(|error| wrong(8, format!("damaged header: {error}")))?;
    let tensors = header.tensors();
    let mut keys: Vec<String> = tensors.keys().cloned().collect();
    keys.sort();
    let from = 8 + length;
    let array = |key: &String| {
        let tensor = tensors[key];
        let number = number(tensor.dtype).ok_or_else(|| {
            let message = format!("numbers of type {:?}, which is not read", tensor.dtype);
            Error::file(path, Place::Key(key.clone()), message)
        })?;
        let (start, end) = (tensor.data_offsets.0 as u64, tensor.data_offsets.1 as u64);
        let room = file.bytes - from;
        if end > room {
            let message = format!("its numbers end at byte {end} behind the header; the file ends at {room}");
            return Err(Error::file(path, Place::Key(key.clone()), message));
        }
        let bytes = if end - start > request.limit {
            Bytes::Disk(Arc::clone(&file), from + start)
        } else {
            Bytes::Memory(file.bytes_at(from + start, end - start)?)
        };
        let (path, key, dims) = (path.clone(), key.clone(), tensor.shape.clone());
        Ok::<_, Error>(Array { path, key, number, is_big_endian: false, dims, bytes })
    };
    let sheet = |[inputs, answers]: &[String; 2]| array(inputs)?.sheet(array(answers)?.answers()?);
    pairs(&keys, &request.recipe.target, path)?.iter().map(sheet).collect()
}

fn number(dtype: Dtype) -> Option<Number> {
    Some(match dtype {
        Dtype::BOOL => Number::Bool,
        Dtype::U8 => Number::U8,
        Dtype::I8 => Number::I8,
        Dtype::U16 => Number::U16,
        Dtype::I16 => Number::I16,
        Dtype::U32 => Number::U32,
        Dtype::I32 => Number::I32,
        Dtype::U64 => Number::U64,
        Dtype::I64 => Number::I64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        _ => return None,
    })
}
