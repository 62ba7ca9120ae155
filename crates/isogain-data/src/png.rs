//! PNG images of 8 bits a channel and less, decoded to bytes with the channels last.
//!
//! Of its own: the usual crate would ask shared crates for more features, and with them the engine's framework would be
//! compiled anew. Not read are 16 bits a channel and interlacing, which data sets do not use.

use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
    /// 1 for grey, 2 with transparency, 3 for colour, 4 with transparency.
    pub(crate) channels: usize,
    /// `[height, width, channels]`.
    pub(crate) pixels: Vec<u8>,
}

/// What is wrong with an image, and at which byte of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {byte}: {message}")]
pub(crate) struct PngError {
    /// From the start of the file.
    pub(crate) byte: u64,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

/// The first bytes of every PNG file.
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
/// Most pixels of one image: a header can claim more than any memory holds.
const MOST_PIXELS: u64 = 1 << 26;

/// Kinds of colour, as the header numbers them.
const GREY: u8 = 0;
const COLOUR: u8 = 2;
const PALETTE: u8 = 3;
const GREY_ALPHA: u8 = 4;
const COLOUR_ALPHA: u8 = 6;

fn wrong<T>(byte: usize, message: impl Into<String>) -> Result<T, PngError> {
    Err(PngError { byte: byte as u64, message: message.into() })
}

/// Decodes a PNG file.
///
/// # Errors
/// When it is none, is damaged or cut off, has 16 bits a channel, is interlaced, or is larger than 64 megapixels.
pub(crate) fn decode(file: &[u8]) -> Result<Image, PngError> {
    if !file.starts_with(&SIGNATURE) {
        return wrong(0, "not a PNG file, which begins with 89 50 4e 47");
    }
    let mut at = SIGNATURE.len();
    let (mut header, mut palette, mut packed, mut data_at) = (None, Vec::new(), Vec::new(), at);
    loop {
        let (kind, body) = chunk(file, at)?;
        match kind {
            b"IHDR" => header = Some(Header::read(body, at)?),
            b"PLTE" => palette = body.to_vec(),
            b"IDAT" => {
                if packed.is_empty() {
                    data_at = at;
                }
                packed.extend_from_slice(body);
            }
            b"IEND" => break,
            _ => {}
        }
        at += body.len() + 12;
    }
    let Some(header) = header else { return wrong(SIGNATURE.len(), "no header (IHDR)") };
    let mut lines = header.unpack(&packed, data_at)?;
    header.unfilter(&mut lines, data_at)?;
    header.pixels(&lines, &palette, data_at)
}

/// Kind and body of the chunk that begins here.
fn chunk(file: &[u8], at: usize) -> Result<(&[u8], &[u8]), PngError> {
    let cut = || PngError { byte: file.len() as u64, message: "the file ends before its last part (IEND)".into() };
    let head = file.get(at..at + 8).ok_or_else(cut)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let body = file.get(at + 8..at + 8 + length).ok_or_else(cut)?;
    let sum = file.get(at + 8 + length..at + 12 + length).ok_or_else(cut)?;
    let mut crc = Crc::new();
    crc.update(&head[4..]);
    crc.update(body);
    if sum != crc.sum().to_be_bytes() {
        return wrong(at, format!("the checksum of part {} is wrong", head[4..].escape_ascii()));
    }
    Ok((&head[4..], body))
}

struct Header {
    height: usize,
    width: usize,
    bits: usize,
    colour: u8,
}

impl Header {
    fn read(body: &[u8], at: usize) -> Result<Self, PngError> {
        let &[a, b, c, d, e, f, g, h, bits, colour, _, _, interlaced] = body else {
            return wrong(at, format!("a header of {} bytes; must be 13", body.len()));
        };
        let (width, height) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > MOST_PIXELS {
            return wrong(at + 8, format!("{width} x {height} pixels; must be 1 to {MOST_PIXELS} in all"));
        }
        if bits == 16 {
            return wrong(at + 16, "16 bits a channel; only 8 and fewer are read. Convert the image to 8 bits");
        }
        let known = match colour {
            GREY => [1, 2, 4, 8].contains(&bits),
            PALETTE => [1, 2, 4, 8].contains(&bits),
            COLOUR | GREY_ALPHA | COLOUR_ALPHA => bits == 8,
            _ => false,
        };
        if !known {
            return wrong(at + 16, format!("{bits} bits of colour type {colour}: no such kind of PNG"));
        }
        if interlaced != 0 {
            return wrong(at + 20, "an interlaced image, which is not read. Save it without interlacing");
        }
        Ok(Self { height: height as usize, width: width as usize, bits: usize::from(bits), colour })
    }

    /// Numbers stored for each pixel.
    fn samples(&self) -> usize {
        match self.colour {
            COLOUR => 3,
            GREY_ALPHA => 2,
            COLOUR_ALPHA => 4,
            _ => 1,
        }
    }

    /// Bytes of a line without its filter.
    fn line(&self) -> usize {
        (self.width * self.samples() * self.bits).div_ceil(8)
    }

    fn unpack(&self, packed: &[u8], at: usize) -> Result<Vec<u8>, PngError> {
        let expected = self.height * (1 + self.line());
        let mut lines = Vec::new();
        let read = ZlibDecoder::new(packed).take(expected as u64 + 1).read_to_end(&mut lines);
        match read {
            Ok(_) if lines.len() == expected => Ok(lines),
            Ok(_) if lines.len() > expected => wrong(at, "more pixels than the header says"),
            Ok(found) => wrong(at, format!("{found} bytes of pixels; the header says {expected}")),
            Err(error) => wrong(at, format!("damaged pixels: {error}")),
        }
    }

    /// Undoes the filters (PNG specification, section 9): each byte is told as the difference from a guess by those
    /// to the left and above.
    fn unfilter(&self, lines: &mut [u8], at: usize) -> Result<(), PngError> {
        let (line, step) = (self.line(), (self.samples() * self.bits / 8).max(1));
        let mut above = vec![0; line];
        for (row, bytes) in lines.chunks_exact_mut(1 + line).enumerate() {
            let (filter, bytes) = (bytes[0], &mut bytes[1..]);
            for index in 0..line {
                let left = if index < step { 0 } else { bytes[index - step] };
                let corner = if index < step { 0 } else { above[index - step] };
                let up = above[index];
                let guess = match filter {
                    0 => 0,
                    1 => left,
                    2 => up,
                    3 => ((u16::from(left) + u16::from(up)) / 2) as u8,
                    4 => paeth(left, up, corner),
                    other => return wrong(at, format!("line {row} has filter {other}; there are 0 to 4")),
                };
                bytes[index] = bytes[index].wrapping_add(guess);
            }
            above.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn pixels(&self, lines: &[u8], palette: &[u8], at: usize) -> Result<Image, PngError> {
        let (line, samples) = (self.line(), self.samples());
        let channels = if self.colour == PALETTE { 3 } else { samples };
        let mut pixels = Vec::with_capacity(self.height * self.width * channels);
        for bytes in lines.chunks_exact(1 + line) {
            let bytes = &bytes[1..];
            if self.bits == 8 && self.colour != PALETTE {
                pixels.extend_from_slice(bytes);
                continue;
            }
            let most = ((1_u16 << self.bits) - 1) as u8;
            for index in 0..self.width * samples {
                let bit = index * self.bits;
                let value = bytes[bit / 8] >> (8 - self.bits - bit % 8) & most;
                if self.colour == PALETTE {
                    let Some(colour) = palette.get(3 * usize::from(value)..3 * usize::from(value) + 3) else {
                        return wrong(at, format!("colour {value}; the palette has {}", palette.len() / 3));
                    };
                    pixels.extend_from_slice(colour);
                } else {
                    pixels.push(value * (255 / most));
                }
            }
        }
        Ok(Image { height: self.height, width: self.width, channels, pixels })
    }
}

/// Whichever of the three is nearest to left + up - corner.
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let distance = |value: u8| (guess - i16::from(value)).abs();
    if distance(left) <= distance(up) && distance(left) <= distance(corner) {
        left
    } else if distance(up) <= distance(corner) {
        up
    } else {
        corner
    }
}
