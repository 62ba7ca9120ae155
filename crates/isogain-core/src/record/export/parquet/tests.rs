//! What a reader of the specification finds; DuckDB itself reads such files in the tests of the command line.

use super::*;
use crate::record::samples::{full_step, header, step};

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// Decodes what [`hybrid`] wrote, by the specification: runs, or groups of eight packed numbers.
fn decoded(bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
    let mut values = Vec::new();
    let mut at = 0;
    while values.len() < count {
        let header = varint(bytes, &mut at);
        let length = (header >> 1) as usize;
        if header & 1 == 0 {
            let mut value = [0; 4];
            let bytes_of_value = usize::from(width.div_ceil(8));
            value[..bytes_of_value].copy_from_slice(&bytes[at..at + bytes_of_value]);
            at += bytes_of_value;
            values.extend(std::iter::repeat_n(u32::from_le_bytes(value), length));
        } else {
            for index in 0..8 * length {
                let bit = |bit: usize| {
                    let place = index * usize::from(width) + bit;
                    u32::from(bytes[at + place / 8] >> (place % 8) & 1) << bit
                };
                values.push((0..usize::from(width)).map(bit).sum());
            }
            at += length * usize::from(width);
        }
    }
    assert_eq!(at, bytes.len());
    values.truncate(count);
    values
}

#[test]
fn small_numbers_come_back() {
    for count in [1_usize, 7, 8, 9, 1000] {
        for width in 1..=17_u8 {
            let most = (1_u32 << width) - 1;
            let scattered: Vec<u32> = (0..count as u32).map(|index| index.wrapping_mul(2_654_435_761) & most).collect();
            let runs: Vec<u32> = (0..count as u32).map(|index| (index / 90) & most).collect();
            for values in [scattered, runs] {
                let mut bytes = Vec::new();
                hybrid(&values, width, &mut bytes);
                assert_eq!(decoded(&bytes, width, count), values, "{count} of {width} bits");
            }
        }
    }
    assert_eq!([0, 1, 2, 3, 4, 5, 256, 257].map(bits), [1, 1, 1, 2, 2, 3, 8, 9]);
}

#[test]
fn the_file_has_its_marks_and_its_footer() {
    let run = Run { steps: vec![step(0), full_step()], ..Run::new(header()) };
    let mut bytes = Vec::new();
    to_parquet(&run, &mut bytes).unwrap();
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (MAGIC, MAGIC));
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let footer = &bytes[bytes.len() - 8 - length..bytes.len() - 8];
    // Version 1, then the schema: six elements, the root first.
    assert_eq!(footer[..4], [0x15, 0x02, 0x19, 0x6c]);
    let text = String::from_utf8_lossy(footer);
    assert!(long::COLUMNS.iter().all(|column| text.contains(column)), "{text}");
    let mut again = Vec::new();
    to_parquet(&run, &mut again).unwrap();
    assert!(bytes == again, "the same run gives the same bytes");
}

#[test]
fn it_takes_less_than_the_text() {
    let run = Run { steps: (0..200).map(step).collect(), ..Run::new(header()) };
    let (mut parquet, mut csv) = (Vec::new(), Vec::new());
    to_parquet(&run, &mut parquet).unwrap();
    super::super::csv::to_csv(&run, &mut csv).unwrap();
    assert!(3 * parquet.len() < csv.len(), "{} bytes, {} as text", parquet.len(), csv.len());
}
