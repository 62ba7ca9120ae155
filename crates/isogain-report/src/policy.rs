//! The page's content security policy: its own style and script by their hashes, and nothing else.

use sha2::{Digest, Sha256};

/// The policy for a page with this one style and this one script; `connect` is a source that the script may ask. Pictures
/// are those that the script makes of the page's own charts.
pub(crate) fn of(style: &str, script: &str, connect: Option<&str>) -> String {
    let connect = connect.map_or_else(String::new, |connect| format!("; connect-src {connect}"));
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src blob:{connect}; base-uri 'none'; form-action 'none'",
        source(style),
        source(script)
    )
}

/// `sha256-...` in base64, as Content Security Policy Level 3 names an inline text.
fn source(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

/// RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit > group.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), expected);
    }

    /// The digest of "abc" in FIPS 180-2, and of an empty text.
    #[test]
    fn sources_are_sha256() {
        assert_eq!(source("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(source(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
