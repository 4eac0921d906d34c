//! Remotes: stateless values that name a channel, its types and its policy.

/// The three kinds of remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteKind {
    /// Reliable and ordered.
    Event,
    /// At most once, unordered, at most 1000 bytes.
    Unreliable,
    /// A call with a reply.
    Function,
}
