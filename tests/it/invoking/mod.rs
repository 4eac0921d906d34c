//! A call resolves exactly once: with the handler's result, or with the reason why there is none.

mod ends;
mod failures;
mod giving_up;
mod limits;
mod results;
mod waiting;

use farfire::{Invocation, InvokeError, Payload};

use crate::world::within;

/// Makes the call; far below its timeout if that is a minute.
async fn made<R: Payload>(call: Invocation<R>) -> Result<R, InvokeError> {
    within(call.into_future()).await
}

/// Makes the call beside the test.
fn making<R: Payload>(call: Invocation<R>) -> tokio::task::JoinHandle<Result<R, InvokeError>> {
    tokio::spawn(call.into_future())
}
