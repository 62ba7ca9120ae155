//! The pages of rules and remedies as markup: the Markdown that they are written in and no more of it. Headings, paragraphs,
//! lists and code; a line that it does not know is a paragraph.

use crate::markup::{prose, text};

/// A page without its title; headings begin at the fourth level, below those of the report.
pub(crate) fn page(markdown: &str) -> String {
    let mut html = String::new();
    let mut block: Vec<&str> = Vec::new();
    let mut code: Option<Vec<&str>> = None;
    for line in markdown.lines() {
        if let Some(lines) = &mut code {
            if line.starts_with("```") {
                html += &pre(lines);
                code = None;
            } else {
                lines.push(line);
            }
        } else if line.starts_with("```") {
            html += &flushed(&mut block);
            code = Some(Vec::new());
        } else if let Some(heading) = line.strip_prefix('#') {
            html += &flushed(&mut block);
            let title = heading.trim_start_matches('#').trim();
            if heading.starts_with('#') {
                html += &format!("<h4>{}</h4>\n", inline(title));
            }
        } else if line.trim().is_empty() {
            html += &flushed(&mut block);
        } else {
            block.push(line);
        }
    }
    html += &flushed(&mut block);
    code.map_or(html.clone(), |lines| html + &pre(&lines))
}

fn pre(lines: &[&str]) -> String {
    format!(
        "<pre tabindex=\"0\"><code>{}</code></pre>\n",
        lines.iter().map(|line| text(line) + "\n").collect::<String>()
    )
}

/// A paragraph, a list, or lines that are indented and stand as they are.
fn flushed(block: &mut Vec<&str>) -> String {
    let lines = std::mem::take(block);
    let Some(first) = lines.first() else { return String::new() };
    if lines.iter().all(|line| line.starts_with("    ")) {
        let lines: Vec<&str> = lines.iter().map(|line| &line[4..]).collect();
        return pre(&lines);
    }
    if item(first).is_none() {
        return format!("<p>{}</p>\n", inline(&lines.join(" ")));
    }
    let mut items: Vec<String> = Vec::new();
    for line in &lines {
        match (item(line), items.last_mut()) {
            (None, Some(last)) => *last += &format!(" {}", line.trim()),
            (found, _) => items.push(found.unwrap_or(line).to_owned()),
        }
    }
    let tag = if first.trim_start().starts_with(['*', '-']) { "ul" } else { "ol" };
    let items: String = items.iter().map(|item| format!("<li>{}</li>", inline(item))).collect();
    format!("<{tag}>{items}</{tag}>\n")
}

/// What stands behind the mark of an item.
fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("* ").or_else(|| line.strip_prefix("- ")) {
        return Some(rest);
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < line.len()).then(|| rest.strip_prefix(". "))?
}

/// `code` and **strong**; everything else is text.
fn inline(line: &str) -> String {
    let mut html = String::new();
    for (index, piece) in line.split('`').enumerate() {
        if index % 2 == 1 {
            html += &format!("<code>{}</code>", text(piece));
            continue;
        }
        for (index, piece) in piece.split("**").enumerate() {
            html += &if index % 2 == 1 { format!("<b>{}</b>", prose(piece)) } else { prose(piece) };
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use isogain_core::{remedies, rules};

    #[test]
    fn pages_are_set() {
        let html = page(
            "# t\n\n## What <it>\n\nOne `a<b`\ntwo **three**.\n\n* x\n  y\n* z\n\n    1 < 2\n\n```toml\n[n]\n```\n1. a\n2. b\n",
        );
        let expected = "<h4>What &lt;it&gt;</h4>\n<p>One <code>a&lt;b</code> two <b>three</b>.</p>\n<ul><li>x y</li><li>z</li></ul>\n\
                        <pre tabindex=\"0\"><code>1 &lt; 2\n</code></pre>\n<pre tabindex=\"0\"><code>[n]\n</code></pre>\n<ol><li>a</li><li>b</li></ol>\n";
        assert_eq!(html, expected);
    }

    /// Every word of every page is there, and nothing of its marks.
    #[test]
    fn nothing_of_a_page_is_lost() {
        let pages = rules::TABLE.iter().map(|rule| rule.page).chain(remedies::TABLE.iter().map(|remedy| remedy.page));
        for markdown in pages {
            let html = page(markdown);
            assert!(!html.contains("```") && !html.contains("<p>#") && !html.contains("<p>* "), "{html}");
            let text: String =
                html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect();
            let text = text
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
                .replace("&quot;", "\"")
                .replace("&#39;", "'");
            let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic() && *c != 'x').count();
            let title = markdown.lines().next().unwrap_or_default();
            let fences: usize = markdown.lines().filter(|line| line.starts_with("```")).map(letters).sum();
            assert_eq!(letters(&text), letters(markdown) - letters(title) - fences, "{title}");
        }
    }
}
