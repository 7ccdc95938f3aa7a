//! Field maps that have been used, kept for the next message of the same thread: a map has two allocations, a small answer two maps.

use http::HeaderMap;
use http::header::MaxSizeReached;
use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// As many as a thread has at once, give or take: one of a request, one of its response, and some of others meanwhile.
const KEPT: usize = 16;

/// A map with more room than this was made for an unusual message. 64 fields take about 7 KiB.
const ROOM: usize = 64;

/// An empty map with room for this many fields.
///
/// # Errors
/// When no map holds so many.
pub(crate) fn take(room: usize) -> Result<HeaderMap, MaxSizeReached> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.filter(|map| map.capacity() >= room).map_or_else(|| HeaderMap::try_with_capacity(room), Ok)
}

/// Keeps a map whose message is over.
pub(crate) fn give_back(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > ROOM {
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
        let mut map = take(20).unwrap();
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
        (0..2 * KEPT).for_each(|_| give_back(HeaderMap::with_capacity(8)));
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
