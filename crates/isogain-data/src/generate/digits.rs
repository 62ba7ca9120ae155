//! 1,797 real 8x8 images of handwritten digits (UCI, CC BY 4.0; see `assets/LICENSE-digits.md`).

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use isogain_core::network::Shape;

use crate::error::{Error, Result};
use crate::number::Number;
use crate::raw::{Bytes, Raw, Segment};
use crate::table::{Scaling, Table, Values, Wanted};

const PACKED: &[u8] = include_bytes!("../../assets/digits.gz");
const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;

/// Records of 64 pixels and a label.
pub(super) fn table() -> Result<Table> {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(PACKED).read_to_end(&mut bytes);
    unpacked.map_err(Error::system("unpack", Path::new("the built-in digits")))?;
    let mut labels = Vec::new();
    let mut pixels = Vec::with_capacity(bytes.len());
    for record in bytes.chunks_exact(PIXELS + 1) {
        pixels.extend_from_slice(&record[..PIXELS]);
        labels.push(u32::from(record[PIXELS]));
    }
    let segments = vec![Segment { rows: labels.len(), bytes: Bytes::Memory(pixels) }];
    let raw = Raw { number: Number::U8, is_big_endian: true, skip: 0, values: PIXELS, planes: 1, segments };
    Ok(Table {
        shape: Shape::image(SIDE, SIDE, 1),
        values: Values::Raw(raw),
        wanted: Wanted::Labels { labels, classes: 10, each: 1 },
        // Digits are always in their place, and each pixel has its own distribution.
        scaling: Scaling::Value,
    })
}
