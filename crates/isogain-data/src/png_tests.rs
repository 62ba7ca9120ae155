//! Apart from the decoder, which xtask takes as a file.

use crate::png::{Image, decode};

/// A file of `oracle/make_png.py`, as Pillow wrote it.
fn picture(name: &str) -> Image {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/png").join(name);
    decode(&std::fs::read(path).unwrap()).unwrap()
}

fn expect(name: &str, channels: usize, pixel: impl Fn(usize, usize) -> Vec<usize>) {
    let expected: Vec<u8> =
        (0..13).flat_map(|y| (0..21).flat_map(|x| pixel(x, y)).collect::<Vec<_>>()).map(|value| value as u8).collect();
    let image = picture(name);
    assert_eq!((image.height, image.width, image.channels), (13, 21, channels), "{name}");
    assert_eq!(image.pixels, expected, "{name}");
}

#[test]
fn pillows_pictures_are_read() {
    let pixel = |x: usize, y: usize| {
        [(x * 7 + y * 3) % 256, x * y % 256, (200_usize.wrapping_sub(x * 2 + y * 5)) % 256, (x + y * 9) % 256]
    };
    expect("rgba.png", 4, |x, y| pixel(x, y).to_vec());
    expect("rgb.png", 3, |x, y| pixel(x, y)[..3].to_vec());
    expect("grey.png", 1, |x, y| vec![pixel(x, y)[0]]);
    expect("grey_alpha.png", 2, |x, y| vec![pixel(x, y)[0], pixel(x, y)[3]]);
    for (bits, colours) in [(1, 2), (2, 4), (4, 16), (8, 256)] {
        expect(&format!("palette_{bits}.png"), 3, |x, y| {
            let index = (x + y) % colours;
            vec![index * 16 % 256, 255 - index, index]
        });
    }
    expect("black_and_white.png", 1, |x, y| vec![255 * (x * y % 2)]);
}
