//! Names that have a row, so that a step is kept as numbers in the order of the rows.

use std::collections::HashMap;

use crate::chart::spaced;

/// Longest name that has a row, bytes.
const LONGEST_NAME: usize = 400;

/// Names in the order in which they are shown; at most so many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    most: usize,
    names: Vec<String>,
    places: HashMap<String, usize>,
    left_out: usize,
}

impl Rows {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Row of each of the names of one step; the first step that has any decides the order, and, where it has more
    /// names than there may be rows, evenly spaced ones get a row.
    pub(crate) fn places<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) -> Vec<Option<usize>> {
        if self.names.is_empty() {
            let all: Vec<&str> = names.clone().collect();
            self.left_out = all.len().saturating_sub(self.most);
            for index in spaced(all.len(), self.most) {
                self.add(all[index]);
            }
        }
        let has_all = self.left_out > 0;
        names
            .enumerate()
            .map(|(index, name)| {
                if self.names.get(index).is_some_and(|known| known == name) {
                    return Some(index);
                }
                match self.places.get(name) {
                    Some(place) => Some(*place),
                    None if has_all => None,
                    None => self.add(name),
                }
            })
            .collect()
    }

    /// A row for one more name, if there is room.
    fn add(&mut self, name: &str) -> Option<usize> {
        if self.names.len() >= self.most || name.len() > LONGEST_NAME {
            self.left_out += 1;
            return None;
        }
        // Of two of one name the second is not told apart.
        let place = *self.places.entry(name.to_owned()).or_insert(self.names.len());
        if place == self.names.len() {
            self.names.push(name.to_owned());
        }
        Some(place)
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Row of a name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Names without a row.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_row_and_there_are_not_too_many() {
        let mut rows = Rows::new(3);
        assert_eq!(rows.places(["a", "b"].into_iter()), [Some(0), Some(1)]);
        assert_eq!(rows.places(["b", "c", "d", "a"].into_iter()), [Some(1), Some(2), None, Some(0)]);
        assert_eq!((rows.names().len(), rows.left_out()), (3, 1));
        let names: Vec<String> = (0..9).map(|index| index.to_string()).collect();
        let mut many = Rows::new(3);
        let places = many.places(names.iter().map(String::as_str));
        assert_eq!((many.names(), many.left_out()), (&["0".to_owned(), "4".into(), "8".into()][..], 6));
        assert_eq!(places[4], Some(1));
    }
}
