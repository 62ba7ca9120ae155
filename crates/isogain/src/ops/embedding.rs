//! A row of a table for every token, plus one for its step.

use burn::tensor::Tensor;

use super::buffer::{Buffer, Real, by_type, extent, filled, primitive};
use super::site::Site;
use super::tape::apply;

/// Rows `[batch x steps, features]` for tokens `[batch x steps, 1]`; gradients of `table` `[vocabulary, features]` and
/// `positions` `[steps, features]` leave through the site.
///
/// # Panics
/// When a token is not in the vocabulary.
pub(crate) fn embedding(tokens: Tensor<2>, table: Tensor<2>, positions: Option<Tensor<2>>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(tokens, table, positions));
    }
    let (table, positions) = (primitive(table), positions.map(primitive));
    let here = site.clone();
    apply(tokens, site, move |tokens| {
        let output = by_type!(tokens, forward(&tokens, &table, positions.as_ref()));
        let pull = move |cotangent: Buffer, is_read: bool| {
            by_type!(tokens, backward(&tokens, &table, positions.as_ref(), &cotangent, is_read, &here))
        };
        (output, Box::new(pull))
    })
}

fn stock(tokens: Tensor<2>, table: Tensor<2>, positions: Option<Tensor<2>>) -> Tensor<2> {
    let ([rows, _], [_, features]) = (tokens.dims(), table.dims());
    let output = table.select(0, tokens.inner().reshape([rows]).int());
    let Some(positions) = positions else { return output };
    let [steps, _] = positions.dims();
    (output.reshape([rows / steps, steps, features]) + positions.unsqueeze()).reshape([rows, features])
}

fn forward<T: Real>(tokens: &Buffer, table: &Buffer, positions: Option<&Buffer>) -> Buffer {
    let (vocabulary, features) = extent(table);
    let rows = T::read(table);
    let mut output = Vec::with_capacity(extent(tokens).0 * features);
    for token in T::read(tokens) {
        let token = token.wide() as usize;
        assert!(token < vocabulary, "token {token} of a vocabulary of {vocabulary}");
        output.extend_from_slice(&rows[token * features..][..features]);
    }
    if let Some(positions) = positions {
        let positions = T::read(positions);
        for sample in output.chunks_mut(positions.len()) {
            sample.iter_mut().zip(positions).for_each(|(value, &position)| *value += position);
        }
    }
    filled(output, &[extent(tokens).0, features])
}

fn backward<T: Real>(
    tokens: &Buffer,
    table: &Buffer,
    positions: Option<&Buffer>,
    cotangent: &Buffer,
    is_read: bool,
    site: &Site,
) -> Option<Buffer> {
    let (vocabulary, features) = extent(table);
    let mut gradient = vec![T::default(); vocabulary * features];
    for (token, cotangent) in T::read(tokens).iter().zip(T::read(cotangent).chunks_exact(features)) {
        let row = &mut gradient[token.wide() as usize * features..][..features];
        row.iter_mut().zip(cotangent).for_each(|(sum, &value)| *sum += value);
    }
    site.matrix_gradient("weight", filled(gradient, &[vocabulary, features]));
    if let Some(positions) = positions {
        let (steps, _) = extent(positions);
        let mut gradient = vec![T::default(); steps * features];
        for sample in T::read(cotangent).chunks(gradient.len()) {
            gradient.iter_mut().zip(sample).for_each(|(sum, &value)| *sum += value);
        }
        site.matrix_gradient("position", filled(gradient, &[steps, features]));
    }
    // A token has no neighbours to move to.
    is_read.then(|| filled(vec![T::default(); extent(tokens).0], &[extent(tokens).0, 1]))
}
