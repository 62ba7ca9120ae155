//! Texts of a record, brought to a length that a page can show; a cut one ends in an ellipsis.

use isogain_core::record::Healed;
use isogain_core::rules::Finding;

/// Characters of a sentence.
const LONGEST: usize = 2000;
/// Characters of a recipe.
const LONGEST_RECIPE: usize = 200_000;
/// Lines of evidence, causes, remedies and consequences of one finding, and repairs tried for it.
const MOST: usize = 50;

/// Cuts a sentence.
pub(super) fn cut(text: &mut String) {
    cut_to(text, LONGEST);
}

/// Cuts a recipe.
pub(super) fn cut_recipe(text: &mut String) {
    cut_to(text, LONGEST_RECIPE);
}

fn cut_to(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
}

/// Cuts a finding and its consequences.
pub(super) fn bound(finding: &mut Finding) {
    cut(&mut finding.rule);
    cut(&mut finding.message);
    finding.layers.iter_mut().for_each(cut);
    finding.theory.as_mut().map(cut);
    finding.evidence.truncate(MOST);
    for evidence in &mut finding.evidence {
        cut(&mut evidence.name);
        cut(&mut evidence.source);
    }
    finding.causes.truncate(MOST);
    finding.remedies.truncate(MOST);
    finding.remedies.iter_mut().for_each(cut);
    finding.consequences.truncate(MOST);
    finding.consequences.iter_mut().for_each(bound);
}

/// Cuts the story of a repair.
pub(super) fn bound_healed(healed: &mut Healed) {
    cut(&mut healed.rule);
    healed.recipe.as_mut().map(cut_recipe);
    // The one that was applied is among those that are kept.
    if let Some(index) = healed.applied.filter(|index| (MOST..healed.tried.len()).contains(index)) {
        healed.tried.swap(MOST - 1, index);
        healed.applied = Some(MOST - 1);
    }
    healed.tried.truncate(MOST);
    for attempt in &mut healed.tried {
        cut(&mut attempt.remedy);
        cut(&mut attempt.parameters);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cut_text_is_text() {
        let mut text = "ä".repeat(3000);
        super::cut(&mut text);
        assert_eq!((text.chars().count(), text.ends_with("ä…")), (2001, true));
        let mut short = "ä".repeat(2000);
        super::cut(&mut short);
        assert!(!short.ends_with('…'));
    }
}
