//! A handler that fails fails its call, and nothing else.

use farfire::{Delivery, HandlerError, InvokeError, RemoteFunction};

use super::made;
use crate::world::{World, within};

const TRY: RemoteFunction<String, u32> = RemoteFunction::new("Try");

fn refuse(text: String) -> Result<u32, HandlerError> {
    match text.as_str() {
        "fine" => Ok(7),
        "long" => Err("ä".repeat(300).into()),
        "internal" => Err(HandlerError::internal("the password is hunter2")),
        _ => Err(text.into()),
    }
}

/// A server and a client whose handlers of [`TRY`] are the same, and what both answer to `text`.
async fn both<T, M>(
    handler: impl Fn(String) -> T + Clone + Send + Sync + 'static,
    texts: &[&str],
) -> Vec<Result<u32, InvokeError>>
where
    T: farfire::Outcome<u32, M>,
{
    let world = World::with(|server| server.remotes(&[&TRY]));
    let answer = handler.clone();
    world
        .server
        .on_server_invoke(&TRY, move |_, text| answer(text));
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&TRY, handler);
    let mut results = Vec::new();
    for text in texts {
        let text = (*text).to_owned();
        results.push(made(ada.invoke_server(&TRY, &text)).await);
        results.push(made(world.server.invoke_client(&player, &TRY, &text)).await);
    }
    results
}

/// R56, R57: the caller gets the message, and may rely on it that the handler ran.
#[tokio::test]
async fn a_handlers_refusal_is_the_callers_error_with_its_message() {
    for error in both(refuse, &["no gold", "no gold"]).await {
        let error = error.unwrap_err();
        let message = "no gold".to_owned();
        assert_eq!(error, InvokeError::Failed { message });
        assert_eq!(error.delivery(), Delivery::Executed);
        assert!(!error.is_retry_safe());
    }
}

/// Design 5: at most 256 bytes of a message cross, cut between two characters.
#[tokio::test]
async fn a_long_message_is_cut() {
    for error in both(|text| async { refuse(text) }, &["long"]).await {
        let message = "ä".repeat(128);
        assert_eq!(error, Err(InvokeError::Failed { message }));
    }
}

/// R56, design 5: of an internal error only a number crosses.
#[tokio::test]
async fn an_internal_error_stays_on_the_side_that_failed() {
    for error in both(refuse, &["internal", "internal"]).await {
        let error = error.unwrap_err();
        assert!(matches!(error, InvokeError::Internal { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(error.delivery(), Delivery::Executed);
    }
}

/// Each failure has a number of its own, or the log could not be searched for it.
#[tokio::test]
async fn incidents_have_different_numbers() {
    let mut seen = Vec::new();
    for error in both(refuse, &["internal", "internal"]).await {
        let Err(InvokeError::Internal { incident }) = error else {
            panic!("not an incident: {error:?}");
        };
        assert!(!seen.contains(&incident));
        seen.push(incident);
    }
}

fn check_panics(results: &[Result<u32, InvokeError>]) {
    for (at, result) in results.iter().enumerate() {
        // Two calls panic, then two are fine, and so on.
        if at / 2 % 2 == 1 {
            assert_eq!(*result, Ok(7));
            continue;
        }
        let error = result.clone().unwrap_err();
        assert!(matches!(error, InvokeError::Panicked { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(error.delivery(), Delivery::Executed);
    }
}

/// H14: a panic is an answer, its text stays, and the next call is none the worse for it.
#[tokio::test]
async fn a_handler_that_panics_fails_its_call_and_answers_the_next() {
    let handler = |text: String| match text.as_str() {
        "panic" => panic!("the password is hunter2"),
        _ => 7,
    };
    check_panics(&both(handler, &["panic", "fine", "panic", "fine"]).await);
}

/// H14, before the handler's first wait: on the network thread.
#[tokio::test]
async fn a_handler_that_panics_before_it_waits_fails_its_call_alone() {
    let handler = |text: String| async move {
        assert_ne!(text, "panic", "the password is hunter2");
        tokio::task::yield_now().await;
        7
    };
    check_panics(&both(handler, &["panic", "fine", "panic", "fine"]).await);
}

/// H14, after the handler's first wait: on the program's runtime.
#[tokio::test]
async fn a_handler_that_panics_after_it_waited_fails_its_call_alone() {
    let handler = |text: String| async move {
        tokio::task::yield_now().await;
        assert_ne!(text, "panic", "the password is hunter2");
        7
    };
    check_panics(&both(handler, &["panic", "fine", "panic", "fine"]).await);
}

/// H37: the program may shut its runtime down under its handlers; callers are told at once.
#[test]
fn a_handler_whose_runtime_ends_fails_its_call() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = {
        let _entered = runtime.enter();
        World::with(|server| server.remotes(&[&TRY]))
    };
    world
        .server
        .on_server_invoke(&TRY, |_, _| std::future::pending::<u32>());
    let ada = world.client("Ada").connect_blocking().unwrap();
    drop(runtime);
    let minute = std::time::Duration::from_secs(60);
    let before = std::time::Instant::now();
    let error = ada.invoke_server(&TRY, &"wait".into()).timeout(minute);
    let error = error.blocking().unwrap_err();
    assert!(before.elapsed() < minute / 3);
    assert!(
        matches!(error, InvokeError::Disconnected { .. }),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(ada.is_connected());
}
