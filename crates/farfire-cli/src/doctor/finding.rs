//! What was found out about one thing.

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is in the way.
    Fine,
    /// It may be in the way, or could be better.
    Note,
    /// It is in the way.
    Problem,
    /// The system does not tell.
    Unchecked,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Problem => "PROBLEM",
            Self::Unchecked => "unchecked",
        }
    }
}

impl Finding {
    pub(super) fn new(what: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            what,
            verdict,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn fine(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fine, found)
    }

    pub(super) fn note(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Note, found)
    }

    pub(super) fn problem(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Problem, found)
    }

    /// The same with what to do about it.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}
