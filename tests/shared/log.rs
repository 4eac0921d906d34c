//! A log, which notes what farfire says, and panics if it is told to.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::{DefaultGuard, set_default},
};

#[derive(Clone, Default)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    fatal: Option<&'static str>,
}

impl Log {
    /// One that panics at every line with this in it.
    pub(crate) fn panicking_at(fatal: &'static str) -> Self {
        let fatal = Some(fatal);
        Self {
            fatal,
            ..Self::default()
        }
    }

    /// Notes what this thread says, until what this gives is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        set_default(self.clone())
    }

    /// The lines with this in them.
    pub(crate) fn with(&self, word: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let with = lines.iter().filter(|line| line.contains(word));
        with.cloned().collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("farfire")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        let fatal = self.fatal.is_some_and(|fatal| line.0.contains(fatal));
        assert!(!fatal, "a log of {}", line.0);
        self.lines.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("text grows");
    }
}
