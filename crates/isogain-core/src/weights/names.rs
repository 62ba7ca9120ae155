//! What a tensor's name says about it. Names are conventions: they decide only where shapes cannot.

use std::cmp::Ordering;

/// Last parts of names that are running statistics, not parameters.
const STATISTICS: [&str; 6] =
    ["running_mean", "running_var", "running_variance", "running_batches", "num_batches_tracked", "inv_freq"];

/// Words in the path of a table that is looked up and not multiplied by: its rows are no units of a layer.
const TABLES: [&str; 7] = ["embed", "embedding", "embeddings", "wte", "wpe", "emb", "token"];

/// Words in the path of a normalisation.
const NORMS: [&str; 10] = ["norm", "layernorm", "batchnorm", "groupnorm", "rmsnorm", "ln", "bn", "gn", "ln_f", "norms"];

/// Whole names of modules that come last, where the order is by name.
const LAST: [&str; 9] = ["head", "lm_head", "classifier", "fc", "output", "out", "logits", "score", "heads"];

/// Words of a path that speak of skip connections around what is in it.
const BLOCKS: [&str; 6] = ["block", "blocks", "res", "resblock", "residual", "skip"];

/// The name without its last part: `fc1` of `fc1.weight`.
pub(super) fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

/// The words of a path in lower case, digits at their ends left out: `Layer1.0.bn2` is `layer`, ``, `bn`.
fn words(path: &str) -> impl Iterator<Item = String> {
    path.split(['.', '/']).map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()).to_lowercase())
}

fn speaks_of(path: &str, vocabulary: &[&str]) -> bool {
    words(path)
        .any(|word| vocabulary.contains(&word.as_str()) || word.split('_').any(|part| vocabulary.contains(&part)))
}

pub(super) fn is_statistic(name: &str) -> bool {
    STATISTICS.contains(&last_part(name))
}

pub(super) fn is_bias(name: &str) -> bool {
    let last = last_part(name);
    last.contains("bias") || last == "beta"
}

pub(super) fn is_table(name: &str) -> bool {
    let words: Vec<String> = words(name).collect();
    let is = |word: &String| {
        let parts = word.split(['_', '-']).map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
        parts
            .into_iter()
            .any(|part| TABLES.contains(&part) || part.ends_with("embedding") || part.ends_with("embeddings"))
    };
    words.iter().any(is)
}

/// Whether a vector is the scale of a normalisation: by PyTorch's convention every vector called `weight` is.
pub(super) fn is_gamma(name: &str) -> bool {
    let of_norm = speaks_of(module(name), &NORMS) || words(module(name)).any(|word| word.ends_with("norm"));
    match last_part(name) {
        "weight" => true,
        "gamma" | "scale" => of_norm,
        _ => false,
    }
}

/// Weights that are applied again at every time step.
pub(super) fn is_recurrent(name: &str) -> bool {
    let last = last_part(name);
    last.starts_with("weight_hh") || last.starts_with("weight_ih")
}

/// Keras and Flax keep `[..., inputs, units]` and call it `kernel`.
pub(super) fn has_units_last(name: &str) -> bool {
    last_part(name) == "kernel"
}

/// Whether the path speaks of residual blocks: `block3.fc`, `layer1.0.conv2`.
pub(super) fn is_in_block(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let stage = |part: &str| part.strip_prefix("layer").is_some_and(|number| is_number(&number));
    speaks_of(name, &BLOCKS) || parts.windows(2).any(|pair| stage(pair[0]) && is_number(&pair[1]))
}

/// Order of names as people read them: numbers by value, and what is called head or classifier last.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    let is_last = |name: &str| name.split('.').next().is_some_and(|first| LAST.contains(&first));
    is_last(a).cmp(&is_last(b)).then_with(|| natural(a, b))
}

fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (pieces(a).into_iter(), pieces(b).into_iter());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => {
                let number = |piece: &str| piece.parse::<u64>().ok();
                let ordering = match (number(a), number(b)) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    _ => a.cmp(b),
                };
                if ordering != Ordering::Equal {
                    return ordering;
                }
            }
        }
    }
}

/// Runs of digits and runs of anything else.
fn pieces(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    for end in 1..=bytes.len() {
        if end == bytes.len() || bytes[end].is_ascii_digit() != bytes[end - 1].is_ascii_digit() {
            // A digit is one byte, so both ends are between characters.
            found.push(&text[start..end]);
            start = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_and_the_head_is_last() {
        let mut names = vec!["head.weight", "fc10.weight", "fc2.weight", "conv1.weight", "é3.w", "é12.w", "fc.weight"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["conv1.weight", "fc2.weight", "fc10.weight", "é3.w", "é12.w", "fc.weight", "head.weight"]);
    }

    #[test]
    fn roles_by_name() {
        for table in [
            "embed_tokens.weight",
            "wte.weight",
            "pos_embedding",
            "cls_token",
            "bert.embeddings.word_embeddings.weight",
        ] {
            assert!(is_table(table), "{table}");
        }
        for layer in ["patch.proj.weight", "fc1.weight", "member.weight", "transformer.h.0.mlp.c_fc.weight"] {
            assert!(!is_table(layer), "{layer}");
        }
        assert!(is_gamma("bn1.weight") && is_gamma("norm3.gamma") && is_gamma("final_norm.scale"));
        assert!(!is_gamma("block3.scale") && !is_gamma("ls1.gamma"), "a LayerScale is no normalisation");
        assert!(is_in_block("layer1.0.conv2.weight") && is_in_block("block3.fc.weight") && is_in_block("h.blocks.2.w"));
        assert!(!is_in_block("net.4.weight") && !is_in_block("fc12.weight") && !is_in_block("layers.3.weight"));
        assert!(is_recurrent("rnn.weight_hh_l0") && !is_recurrent("rnn.weight"));
    }
}
