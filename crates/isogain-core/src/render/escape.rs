//! Text from a recipe or a model that must stay text, whatever is in it.

/// The text on one line: control characters and those that change the direction of writing are escaped, so that no name
/// can move a cursor or make a line read as another one.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_treacherous(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// The same over several lines.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// At most `most` characters, the middle left out where there are more: the end of a layer's name tells it apart.
pub fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let head: String = text.chars().take(head).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}…{tail}")
}

fn is_treacherous(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX 9), and line separators.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_line() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}é\n"), "a\\u{1b}[31m\\u{202e}é\\u{a}");
        assert_eq!(printable_lines("a\r\nb"), "a\\u{d}\nb");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("block12.conv1", 20), "block12.conv1");
        assert_eq!(shortened("encoder.layers.12.mlp", 9), "enco….mlp");
    }
}
