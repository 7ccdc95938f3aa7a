//! Field maps that have been used, kept for the next message of the same thread: a map has two allocations, a small answer two maps.

use http::HeaderMap;
use http::header::MaxSizeReached;
use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// As many as a busy thread has at once: those of the requests that have come together, which wait for the app, or of their answers.
const KEPT: usize = 64;

/// A map with more room than this was made for an unusual message. 64 fields take about 7 KiB.
const ROOM: usize = 64;

/// A map with less would suit one message and not the next. As many fields as a browser sends.
const LEAST_ROOM: usize = 20;

/// An empty map with room for this many fields, and for those of most messages.
///
/// # Errors
/// When no map holds so many.
pub(crate) fn take(room: usize) -> Result<HeaderMap, MaxSizeReached> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    let room = room.max(LEAST_ROOM);
    spare.filter(|map| map.capacity() >= room).map_or_else(|| HeaderMap::try_with_capacity(room), Ok)
}

/// Keeps a map whose message is over.
pub(crate) fn give_back(mut map: HeaderMap) {
    if !(LEAST_ROOM..=ROOM).contains(&map.capacity()) {
        return;
    }
    map.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{ACCEPT, HOST};

    #[test]
    fn map_comes_back_empty_and_with_room() {
        let mut map = take(40).unwrap();
        map.insert(HOST, HeaderValue::from_static("a"));
        map.append(ACCEPT, HeaderValue::from_static("b"));
        map.append(ACCEPT, HeaderValue::from_static("c"));
        let room = map.capacity();
        give_back(map);
        let again = take(room).unwrap();
        assert!(again.is_empty() && again.capacity() == room);
        // One that is too small for the next message is not grown field by field.
        give_back(again);
        assert!(take(room + 1).unwrap().capacity() > room);
    }

    #[test]
    fn unusual_maps_and_those_beyond_what_is_needed_are_let_go() {
        give_back(HeaderMap::with_capacity(1000));
        assert!(take(0).unwrap().capacity() < 1000);
        // One for two fields would suit few messages.
        give_back(HeaderMap::with_capacity(2));
        assert!(take(0).unwrap().capacity() >= LEAST_ROOM);
        (0..2 * KEPT).for_each(|_| give_back(HeaderMap::with_capacity(LEAST_ROOM)));
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
