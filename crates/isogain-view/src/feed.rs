//! What is shown, published: whatever the number of readers, one thread reads and draws, and each reader is sent the parts
//! that it has not seen.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use isogain_report::Part;
use tokio::sync::watch;

/// A part, drawn once for all readers.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) part: Part,
    /// The data of its event, JSON.
    pub(crate) event: Arc<str>,
    pub(crate) hash: u64,
}

/// A page as it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) pieces: Vec<Piece>,
    /// How far it is, in a few words.
    pub(crate) state: String,
}

/// What a thread that draws holds; readers come and go.
pub(crate) type Publisher = watch::Sender<Arc<Shown>>;

/// What a reader holds.
pub(crate) type Reader = watch::Receiver<Arc<Shown>>;

impl Shown {
    /// These parts; those that are the same as before are not written again.
    pub(crate) fn after(before: &Self, parts: Vec<Part>, state: String) -> Self {
        let piece = |part: Part| match before.pieces.iter().find(|piece| piece.part == part) {
            Some(piece) => piece.clone(),
            None => Piece::of(part),
        };
        Self { pieces: parts.into_iter().map(piece).collect(), state }
    }
}

impl Shown {
    /// Names what is shown, so that a page can say which parts it has.
    pub(crate) fn name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.pieces.iter().for_each(|piece| piece.hash.hash(&mut hasher));
        format!("{:016x}", hasher.finish())
    }
}

impl Piece {
    fn of(part: Part) -> Self {
        let mut hasher = DefaultHasher::new();
        part.html.hash(&mut hasher);
        let event = serde_json::json!({ "id": part.id, "html": part.html }).to_string();
        Self { hash: hasher.finish(), event: event.into(), part }
    }
}

/// What one reader has been sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    hashes: Vec<(&'static str, u64)>,
    state: String,
}

impl Sent {
    /// The page itself, which had these parts.
    pub(crate) fn page(shown: &Shown) -> Self {
        Self { hashes: shown.pieces.iter().map(|piece| (piece.part.id, piece.hash)).collect(), state: String::new() }
    }

    /// The events that bring the reader up to date: name and data.
    pub(crate) fn update(&mut self, shown: &Shown) -> Vec<(&'static str, Arc<str>)> {
        let mut events = Vec::new();
        for piece in &shown.pieces {
            let id = piece.part.id;
            match self.hashes.iter_mut().find(|(known, _)| *known == id) {
                Some((_, hash)) if *hash == piece.hash => continue,
                Some((_, hash)) => *hash = piece.hash,
                None => self.hashes.push((id, piece.hash)),
            }
            events.push(("part", Arc::clone(&piece.event)));
        }
        if self.state != shown.state {
            self.state.clone_from(&shown.state);
            events.push(("state", serde_json::Value::from(shown.state.as_str()).to_string().into()));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_it_has_not_seen() {
        let part = |id, html: &str| Part { id, html: html.to_owned() };
        let first = Shown::after(&Shown::default(), vec![part("a", "1"), part("b", "</script>\n")], String::new());
        let second = Shown::after(&first, vec![part("a", "2"), part("b", "</script>\n")], "live".into());
        let mut sent = Sent::page(&first);
        assert!(sent.update(&first).is_empty());
        let events = sent.update(&second);
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].0, &*events[0].1), ("part", "{\"html\":\"2\",\"id\":\"a\"}"));
        assert_eq!((events[1].0, &*events[1].1), ("state", "\"live\""));
        assert!(sent.update(&second).is_empty());
        assert_eq!(Sent::default().update(&second).len(), 3);
        assert!(Arc::ptr_eq(&first.pieces[1].event, &second.pieces[1].event), "what stays is not written again");
    }
}
