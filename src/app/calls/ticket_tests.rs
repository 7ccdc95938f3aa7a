//! What becomes of hints and outcomes that come too late.

use super::*;
use crate::protocol::ResponseBody;
use bytes::Bytes;

#[test]
fn a_hint_that_comes_too_late_is_left_out() {
    let hinted = |before: &dyn Fn(&Answering)| {
        let (answering, interim) = (Answering::to_nobody(), Interim::default());
        before(&answering);
        answering.hint(&interim, HeaderMap::new());
        interim.take().len()
    };
    assert_eq!(hinted(&|_| ()), 1);
    assert_eq!(hinted(&|answering| answering.offer(Ok(Response::new(ResponseBody::Full(Bytes::new()))))), 0);
    assert_eq!(hinted(&|answering| answering.ticket.abandon()), 0);
}

#[test]
fn an_outcome_that_nobody_reads_is_dropped() {
    let kept = Arc::new(());
    let outcome = || {
        let mut response = Response::new(ResponseBody::Empty);
        response.extensions_mut().insert(Arc::clone(&kept));
        Ok(response)
    };
    let early = Answering::to_nobody();
    early.offer(outcome());
    early.offer(outcome());
    assert_eq!(Arc::strong_count(&kept), 2, "the first is kept for whoever waits");
    early.ticket.abandon();
    let late = Answering::to_nobody();
    late.ticket.abandon();
    late.offer(outcome());
    assert_eq!(Arc::strong_count(&kept), 1);
}
