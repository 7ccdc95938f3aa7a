//! The requests of this worker: each has a cell of the shared table as long as anybody holds it, and can be told to end.

mod cancellation;
mod cell_bits;

pub use cancellation::Bell;

use crate::contract::entry::{Entry, Stage};
use crate::contract::inflight::{Arrival, CELLS, OwnCells};
use crate::sys::clock::Anchor;
use cancellation::Cancellations;
use cell_bits::CellBits;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Cells that requests may take which are still arriving: however many clients take their time, those in apps find room.
const READING_CELLS: u32 = 192;

/// The cells of this worker, and who holds which.
pub struct Board {
    cells: OwnCells,
    anchor: Anchor,
    /// A bit for each cell in use.
    taken: CellBits,
    /// How many hold each cell.
    holders: [AtomicU32; CELLS],
    cancellations: Cancellations,
}

/// A request in the table. It stays there until the last clone is dropped.
pub struct Flight {
    /// `None` for a request that is not noted.
    place: Option<(&'static Board, usize)>,
}

impl Board {
    /// The board of this process, for its cells.
    ///
    /// It stays for as long as the process: a worker has one, and each request would count who refers to it.
    pub fn new(cells: OwnCells) -> &'static Self {
        let holders = [const { AtomicU32::new(0) }; CELLS];
        let (anchor, cancellations) = (Anchor::now(), Cancellations::new());
        Box::leak(Box::new(Self { cells, anchor, taken: CellBits::default(), holders, cancellations }))
    }

    /// Notes a request; where there is no room, it is only counted.
    pub fn note(&'static self, arrival: &Arrival<'_>) -> Flight {
        let Some(index) = self.take(arrival.stage) else {
            self.cells.count_unnoted();
            return Flight::unnoted();
        };
        self.holders[index].store(1, Ordering::Relaxed);
        self.write(index, arrival);
        Flight { place: Some((self, index)) }
    }

    /// Notes a request, or what more is known of one that is noted.
    pub fn note_in(&'static self, flight: &mut Flight, arrival: &Arrival<'_>) {
        match &flight.place {
            Some((board, index)) => board.write(*index, arrival),
            None => *flight = self.note(arrival),
        }
    }

    /// The requests of this process.
    pub fn entries(&self) -> Vec<Entry> {
        self.cells.entries()
    }

    /// A request of this process.
    pub fn entry(&self, id: u64) -> Option<Entry> {
        self.cells.find(id).map(|(_, entry)| entry)
    }

    /// Whether the response to a request is on its way, be it that the app is still making the rest of it.
    pub fn is_being_answered(&self, id: u64) -> bool {
        self.cells.find(id).is_some_and(|(index, _)| self.cells.is_being_answered(index))
    }

    /// Tells a request to end; `None` when there is no such request. What is given resolves when it has ended.
    pub fn cancel(&self, id: u64) -> Option<oneshot::Receiver<()>> {
        let (index, _) = self.cells.find(id)?;
        Some(self.cancellations.request(index, id))
    }

    fn take(&self, stage: Stage) -> Option<usize> {
        if stage == Stage::Reading && self.taken.count() >= READING_CELLS {
            return None;
        }
        self.taken.take_first()
    }

    fn write(&self, index: usize, arrival: &Arrival<'_>) {
        self.cells.write(index, arrival, self.anchor.ns(arrival.received));
    }
}

impl Flight {
    /// A request that is not in any table.
    pub fn unnoted() -> Self {
        Self { place: None }
    }

    /// Whether the request is in no table.
    pub fn is_unnoted(&self) -> bool {
        self.place.is_none()
    }

    /// Notes where the request is now; the thread that is in the app stays noted.
    pub fn set_stage(&self, stage: Stage) {
        if let Some((board, index)) = self.place {
            board.cells.set_stage(index, stage);
        }
    }

    /// Notes that the app has been entered, on this thread (gettid(2)).
    pub fn enter_app(&self, thread: i32) {
        if let Some((board, index)) = self.place {
            board.cells.enter_app(index, thread);
        }
    }

    /// Notes that the thread has come back; the response may still be on its way.
    pub fn leave_app(&self) {
        if let Some((board, index)) = self.place {
            board.cells.leave_app(index);
        }
    }

    /// What the table says of it.
    pub fn entry(&self) -> Option<Entry> {
        let (board, index) = self.place?;
        board.cells.entry(index)
    }

    /// What a future comes to; `None` when the request is told to end before. The bell is that of its connection.
    pub async fn unless_cancelled<F: Future + Unpin>(&self, bell: &Bell, mut future: F) -> Option<F::Output> {
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_cancelled(bell, cx).map(|()| None),
        })
        .await
    }

    /// Ready once the request is told to end; one that is not noted never is.
    fn poll_cancelled(&self, bell: &Bell, cx: &Context<'_>) -> Poll<()> {
        let Some((board, index)) = self.place else { return Poll::Pending };
        board.cancellations.poll(index, board.cells.id(index), bell, cx)
    }
}

impl Clone for Flight {
    fn clone(&self) -> Self {
        if let Some((board, index)) = &self.place {
            board.holders[*index].fetch_add(1, Ordering::Relaxed);
        }
        Self { place: self.place }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((board, index)) = &self.place
            && board.holders[*index].fetch_sub(1, Ordering::Release) == 1
        {
            board.cells.empty(*index);
            board.cancellations.clear(*index);
            board.taken.free(*index);
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("entry", &self.entry()).finish()
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("cells", &self.cells).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
