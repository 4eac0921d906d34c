use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use bytes::{BufMut, Bytes};

use super::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::<Bell>::default();
    (bell.clone(), bell.into())
}

fn body(text: &'static str) -> Result<Bytes, InvokeError> {
    Ok(Bytes::from_static(text.as_bytes()))
}

fn poll(slot: &CallSlot, waker: &Waker) -> Poll<Result<Bytes, InvokeError>> {
    slot.poll_result(&Context::from_waker(waker))
}

#[test]
fn a_result_wakes_the_caller_and_is_taken_once() {
    let (bell, waker) = bell();
    let slot = CallSlot::new();
    assert_eq!(poll(&slot, &waker), Poll::Pending);
    slot.complete(body("first"));
    assert_eq!(bell.rung(), 1);
    assert_eq!(poll(&slot, &waker), Poll::Ready(body("first")));
    assert_eq!(poll(&slot, &waker), Poll::Pending);
}

#[test]
fn the_first_result_counts() {
    let slot = CallSlot::new();
    slot.complete(body("first"));
    slot.complete(body("second"));
    slot.disconnected(DisconnectReason::Left);
    assert_eq!(poll(&slot, Waker::noop()), Poll::Ready(body("first")));
}

#[test]
fn the_caller_may_be_polled_by_another_task_later() {
    let ((old, old_waker), (new, new_waker)) = (bell(), bell());
    let slot = CallSlot::new();
    assert_eq!(poll(&slot, &old_waker), Poll::Pending);
    assert_eq!(poll(&slot, &new_waker), Poll::Pending);
    slot.complete(body("now"));
    assert_eq!((old.rung(), new.rung()), (0, 1));
}

/// A waker is the program's, and may do anything when it goes.
#[test]
fn wakers_are_dropped_where_no_lock_is_held() {
    struct Curious(Arc<CallSlot>, Arc<AtomicUsize>);
    impl Wake for Curious {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            self.0.stage();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (done, finished) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (slot, dropped) = (CallSlot::new(), Arc::<AtomicUsize>::default());
        let curious = || Waker::from(Arc::new(Curious(slot.clone(), dropped.clone())));
        for before in [0, 0, 1] {
            assert_eq!(dropped.load(Ordering::SeqCst), before);
            assert_eq!(poll(&slot, &curious()), Poll::Pending);
        }
        slot.give_up(CallCode::CANCELLED);
        done.send(dropped.load(Ordering::SeqCst)).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(20)), Ok(3));
}

#[test]
fn giving_up_wakes_the_task_and_says_how_far_the_call_had_come() {
    let (bell, waker) = bell();
    let slot = CallSlot::new();
    assert!(slot.enter(Stage::Send));
    let cx = Context::from_waker(&waker);
    assert_eq!(slot.poll_abandoned(&cx), Poll::Pending);
    assert_eq!(
        slot.give_up(CallCode::CALLER_DEADLINE),
        Some(Stage::Send),
        "the first time"
    );
    assert_eq!(bell.rung(), 1);
    assert_eq!(slot.poll_abandoned(&cx), Poll::Ready(()));
    assert_eq!(slot.gave_up(), Some(CallCode::CALLER_DEADLINE));
    assert_eq!(slot.give_up(CallCode::CANCELLED), None, "the second time");
    assert_eq!(slot.gave_up(), Some(CallCode::CALLER_DEADLINE));
}

#[test]
fn a_call_that_was_given_up_goes_no_further() {
    let slot = CallSlot::new();
    assert_eq!(slot.give_up(CallCode::CANCELLED), Some(Stage::Admit));
    assert!(!slot.enter(Stage::Wait));
}

#[test]
fn a_result_that_came_first_is_not_given_up() {
    let slot = CallSlot::new();
    slot.complete(body("just in time"));
    assert_eq!(slot.give_up(CallCode::CALLER_DEADLINE), None);
    assert_eq!(slot.gave_up(), None);
    assert_eq!(
        poll(&slot, Waker::noop()),
        Poll::Ready(body("just in time"))
    );
    slot.complete(body("late"));
    assert_eq!(poll(&slot, Waker::noop()), Poll::Pending);
}

#[test]
fn a_result_after_giving_up_is_dropped() {
    let slot = CallSlot::new();
    slot.give_up(CallCode::CANCELLED);
    slot.complete(body("too late"));
    assert_eq!(poll(&slot, Waker::noop()), Poll::Pending);
}

#[test]
fn a_disconnect_tells_the_stage() {
    let slot = CallSlot::new();
    slot.enter(Stage::Receive);
    slot.disconnected(DisconnectReason::TimedOut);
    let error = InvokeError::Disconnected {
        stage: Stage::Receive,
        reason: DisconnectReason::TimedOut,
    };
    assert_eq!(poll(&slot, Waker::noop()), Poll::Ready(Err(error)));
}

/// Either the caller gave up, and then the request was not completed, or it was, and then the caller
/// knows that it may run: never both, whoever is quicker.
#[test]
fn caller_and_task_agree_on_whether_the_call_was_sent() {
    for _ in 0..2_000 {
        let slot = CallSlot::new();
        slot.enter(Stage::Send);
        let task = thread::spawn({
            let slot = slot.clone();
            move || slot.enter(Stage::Wait)
        });
        let stage = slot.give_up(CallCode::CALLER_DEADLINE);
        let completed = task.join().expect("no panic");
        let told_not_sent = stage == Some(Stage::Send);
        assert_ne!(completed, told_not_sent);
    }
}

/// Exactly one of the two ends the call, whoever is quicker.
#[test]
fn caller_and_task_agree_on_whether_there_is_a_result() {
    for _ in 0..2_000 {
        let slot = CallSlot::new();
        let task = thread::spawn({
            let slot = slot.clone();
            move || slot.complete(body("result"))
        });
        let gave_up = slot.give_up(CallCode::CALLER_DEADLINE).is_some();
        task.join().expect("no panic");
        let result = poll(&slot, Waker::noop());
        assert_eq!(result.is_ready(), !gave_up);
    }
}

/// A header in front of `body`, written by `encode` into `room` bytes of head room.
fn framed(room: usize, header: &'static [u8], body: &[u8]) -> Bytes {
    let mut message = vec![0; room];
    message.extend_from_slice(body);
    put_in_front(message, room, |len, out| {
        assert_eq!(len, body.len());
        out.put_slice(header);
    })
}

#[test]
fn a_header_stands_right_before_its_body() {
    assert_eq!(framed(8, b"head", b"body"), "headbody");
    assert_eq!(framed(4, b"full", b"body"), "fullbody");
    assert_eq!(framed(8, b"", b"body"), "body");
    assert_eq!(framed(8, b"head", b""), "head");
}

#[test]
fn a_body_stays_whole_whatever_room_its_buffer_has() {
    for body_len in [0, 1, 41, SMALL, SMALL + 1, 5000] {
        for slack in [0, 1, 41, SMALL, SMALL + 1, 5000] {
            let body: Vec<u8> = (0..body_len).map(|at| at as u8).collect();
            let mut message = Vec::with_capacity(8 + body_len + slack);
            message.resize(8, 0);
            message.extend_from_slice(&body);
            let framed = put_in_front(message, 8, |_, out| out.put_slice(b"head"));
            assert_eq!(framed[..4], *b"head");
            assert_eq!(framed[4..], body);
        }
    }
}

#[test]
fn there_is_room_for_the_longest_headers() {
    const { assert!(MAX_REQUEST_HEADER <= HEADER_ROOM && MAX_REPLY_HEADER <= HEADER_ROOM) }
    let header = RequestHeader {
        function: u32::MAX,
        remaining: Duration::from_millis(u64::from(u32::MAX)),
        barrier: Some(u64::MAX >> 2),
        depth: 8,
    };
    let mut request = vec![0; MAX_REQUEST_HEADER];
    request.extend_from_slice(&[7; 70_000]);
    let request = put_in_front(request, MAX_REQUEST_HEADER, |len, out| {
        header.encode(len, out)
    });
    let (decoded, body) = crate::wire::invoke::decode_request(request).expect("a whole request");
    assert_eq!(decoded, header);
    assert_eq!(body, vec![7; 70_000]);
}

/// What each code of the wire means to a caller that wonders whether to try again.
#[test]
fn every_code_says_whether_the_handler_ran() {
    let rows = [
        (CallCode::DROPPED, Delivery::Unknown),
        (CallCode::CANCELLED, Delivery::Unknown),
        (CallCode::CALLER_DEADLINE, Delivery::Unknown),
        (CallCode::BUSY, Delivery::Rejected),
        (CallCode::RATE_LIMITED, Delivery::Rejected),
        (CallCode::DRAINING, Delivery::Rejected),
        (CallCode::UNKNOWN_FUNCTION, Delivery::Rejected),
        (CallCode::NO_HANDLER, Delivery::Rejected),
        (CallCode::SIGNATURE, Delivery::Rejected),
        (CallCode::DENIED, Delivery::Rejected),
        (CallCode::REQUEST_TOO_LARGE, Delivery::Rejected),
        (CallCode::REQUEST_MALFORMED, Delivery::Rejected),
        (CallCode::REQUEST_STALLED, Delivery::NotSent),
        (CallCode::CALLEE_DEADLINE, Delivery::Unknown),
        (CallCode::PANICKED, Delivery::Executed),
        (CallCode::ABANDONED, Delivery::Unknown),
        (CallCode::RESPONSE_TOO_LARGE, Delivery::Executed),
        (CallCode::RESPONSE_ENCODE, Delivery::Executed),
        (CallCode::RUNTIME_SHUTDOWN, Delivery::Unknown),
        (CallCode::HANDLER_INTERNAL, Delivery::Executed),
        (CallCode::from(0x77), Delivery::Unknown),
    ];
    for (code, delivery) in rows {
        let error = InvokeError::from_code(code, None, None);
        assert_eq!(error.delivery(), delivery, "{code}");
        let safe = matches!(delivery, Delivery::NotSent | Delivery::Rejected);
        assert_eq!(error.is_retry_safe(), safe, "{code}");
    }
}

#[test]
fn a_call_that_ended_before_it_was_sent_is_safe_to_repeat() {
    for (stage, delivery) in [
        (Stage::Admit, Delivery::NotSent),
        (Stage::Open, Delivery::NotSent),
        (Stage::Send, Delivery::NotSent),
        (Stage::Wait, Delivery::Unknown),
        (Stage::Receive, Delivery::Unknown),
        (Stage::Barrier, Delivery::Unknown),
        (Stage::Decode, Delivery::Unknown),
    ] {
        let elapsed = Duration::from_secs(1);
        let timeout = InvokeError::Timeout { stage, elapsed };
        let reason = DisconnectReason::Left;
        let disconnected = InvokeError::Disconnected { stage, reason };
        assert_eq!(timeout.delivery(), delivery, "{stage:?}");
        assert_eq!(disconnected.delivery(), delivery, "{stage:?}");
    }
}
