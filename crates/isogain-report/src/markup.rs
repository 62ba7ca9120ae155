//! Text that goes into the page, escaped, and the few pieces of markup every view uses.

use std::f64::consts::LN_10;

use isogain_core::render::escape::printable;
use isogain_core::render::numbers;
use isogain_core::trial::Verdict;

/// What stands for a value that is missing.
pub(crate) const MISSING: &str = "–";

/// Text for an element or a quoted attribute: no character of it is markup, none turns the line around.
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A sentence of the core's, escaped, its powers of ten raised (`10^-11.6`) and its factors (`x0.408`) with a real sign.
pub(crate) fn prose(sentence: &str) -> String {
    let escaped = text(sentence);
    let mut pieces = escaped.split("10^");
    let mut raised = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_number = |(index, c): (usize, char)| c.is_ascii_digit() || (c == '-' && index == 0);
        let whole =
            piece.char_indices().take_while(|found| is_number(*found)).map(|(_, c)| c.len_utf8()).sum::<usize>();
        let rest = &piece[whole..];
        let digits = rest.strip_prefix('.').map_or(0, |rest| rest.chars().take_while(char::is_ascii_digit).count());
        let end = if digits > 0 { whole + 1 + digits } else { whole };
        let (exponent, rest) = piece.split_at(end);
        raised += &format!("10<sup>{}</sup>{rest}", exponent.replace('-', "−"));
    }
    let mut signed = String::with_capacity(raised.len());
    let mut before = ' ';
    let mut chars = raised.chars().peekable();
    while let Some(c) = chars.next() {
        let is_factor = c == 'x' && before == ' ' && chars.peek().is_some_and(char::is_ascii_digit);
        signed.push(if is_factor { '×' } else { c });
        before = c;
    }
    signed
}

/// The first letter a capital.
pub(crate) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// JSON for a script element: `<` cannot end the element, and the two separators cannot end a line.
pub(crate) fn json(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A factor given by its natural logarithm: `×0.408`, and with an exponent beyond three decades.
pub(crate) fn factor(log_gain: f64) -> String {
    let decades = log_gain / LN_10;
    if decades.abs() < 3.0 {
        format!("×{}", numbers::number(log_gain.exp()))
    } else {
        format!("×10<sup>{}</sup>", signed(decades))
    }
}

/// The same as bare text, for labels that are read aloud.
pub(crate) fn spoken_factor(log_gain: f64) -> String {
    numbers::factor(log_gain).replace('x', "×")
}

/// A number with one decimal and a real minus sign.
pub(crate) fn signed(value: f64) -> String {
    format!("{value:.1}").replace('-', "−")
}

/// A figure with how it is read behind a question mark at its title, for the pointer and for the keyboard. `id` and `about`
/// are the page's own words.
pub(crate) fn hinted(figure: &str, id: &str, about: &str) -> String {
    let hint = format!(
        "</h3><span class=\"hint\"><button type=\"button\" aria-label=\"how to read this\" aria-describedby=\"{id}-about\">?</button>\
         <span role=\"tooltip\" id=\"{id}-about\">{}</span></span>",
        text(about)
    );
    figure.replacen("</h3>", &hint, 1)
}

/// A badge for a verdict; a sign as well as a colour.
pub(crate) fn verdict(verdict: Verdict) -> String {
    let (class, sign, word) = match verdict {
        Verdict::Improves => ("good", "✓", "improves"),
        Verdict::NoEffect => ("calm", "=", "no effect"),
        Verdict::Harms => ("bad", "✗", "harms"),
        Verdict::Inconclusive => ("calm", "?", "inconclusive"),
    };
    format!("<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>")
}

/// A section with a heading that can be linked to. `id` and `title` are the page's own words.
pub(crate) fn section(id: &str, title: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}\n</section>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(text("<a href=\"x\" id='y'>&\n"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;\\u{a}");
        assert_eq!(json("{\"a\":\"</script>\u{2028}\"}"), "{\"a\":\"\\u003c/script>\\u2028\"}");
    }

    #[test]
    fn prose_is_set_in_type() {
        assert_eq!(prose("by 10^-11.6, x0.409 <p>."), "by 10<sup>−11.6</sup>, ×0.409 &lt;p&gt;.");
        assert_eq!(prose("6 x 10^7. Next x10^2"), "6 x 10<sup>7</sup>. Next ×10<sup>2</sup>");
        assert_eq!(prose("0x1f max3 10^<b>"), "0x1f max3 10<sup></sup>&lt;b&gt;");
    }

    #[test]
    fn factors() {
        assert_eq!(factor(0.408_f64.ln()), "×0.408");
        assert_eq!(factor(-26.8), "×10<sup>−11.6</sup>");
        assert_eq!(spoken_factor(-26.8), "×10^-11.6");
    }
}
