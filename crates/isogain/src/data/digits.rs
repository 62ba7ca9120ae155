//! The built-in data: 1,797 real 8x8 images of handwritten digits (UCI, CC BY 4.0; see `assets/LICENSE-digits.md`).

use std::io::Read;

use flate2::read::GzDecoder;

use super::{Table, Targets};
use crate::Error;

const PACKED: &[u8] = include_bytes!("../../assets/digits.gz");
const PIXELS: usize = 64;

pub(super) fn load() -> Result<Table, Error> {
    let mut bytes = Vec::new();
    GzDecoder::new(PACKED).read_to_end(&mut bytes).map_err(Error::io("unpack", "the built-in digits"))?;
    let rows = bytes.chunks_exact(PIXELS + 1);
    let inputs = rows.clone().flat_map(|row| &row[..PIXELS]).map(|&pixel| f64::from(pixel)).collect();
    let labels = rows.map(|row| usize::from(row[PIXELS])).collect();
    Ok(Table { features: PIXELS, inputs, targets: Targets::Classes(labels, 10) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_published_counts() {
        let table = load().unwrap();
        let Targets::Classes(labels, classes) = &table.targets else { panic!("digits have classes") };
        let counts: Vec<usize> = (0..*classes).map(|class| labels.iter().filter(|&&l| l == class).count()).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(table.inputs.len(), 1797 * 64);
        assert!(table.inputs.iter().all(|&pixel| (0.0..=16.0).contains(&pixel)));
    }
}
