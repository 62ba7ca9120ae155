//! The recipe's file, and the line in it that a finding points at.

/// A recipe as the user wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipeFile<'a> {
    /// Path as the user gave it; empty for the built-in recipe.
    pub path: &'a str,
    /// The text of the file.
    pub text: &'a str,
}

/// Words of a rule's name and the recipe's table they speak of; every other rule speaks of the network.
const SUBJECTS: [(&str, &str); 9] = [
    ("learning-rate", "optimizer"),
    ("below-eps", "optimizer"),
    ("loss", "optimizer"),
    ("clipping", "clip"),
    ("input", "data"),
    ("target", "data"),
    ("batch", "data"),
    ("steps", "run"),
    ("underflow", "run"),
];

impl RecipeFile<'_> {
    /// The line, counted from 1, of the table that a rule speaks of, or of `[network]`, or 1.
    pub fn line_of(&self, rule: &str) -> usize {
        let subject = SUBJECTS.iter().find(|(word, _)| rule.contains(word)).map_or("network", |(_, table)| table);
        self.line_of_table(subject).or_else(|| self.line_of_table("network")).unwrap_or(1)
    }

    fn line_of_table(&self, table: &str) -> Option<usize> {
        let starts = |line: &str| {
            let inside = line.trim_start().strip_prefix('[').unwrap_or_default().trim_start();
            inside.strip_prefix(table).is_some_and(|rest| rest.trim_start().starts_with(']'))
        };
        Some(self.text.lines().position(starts)? + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_points_at_the_table_it_speaks_of() {
        let text = "# mine\n[data]\nbatch = 8\n\n[ network ]\ndepth = 30\n[optimizer]\n";
        let file = RecipeFile { path: "net.toml", text };
        assert_eq!(file.line_of("vanishing-gradient"), 5);
        assert_eq!(file.line_of("learning-rate-too-high"), 7);
        assert_eq!(file.line_of("small-batch-norm"), 2);
        assert_eq!(file.line_of("clipping-dominates"), 5, "no [clip] in this recipe");
        assert_eq!(RecipeFile::default().line_of("vanishing-gradient"), 1);
    }
}
