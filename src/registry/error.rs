//! What can be wrong with a declaration.
//!
//! Knows nothing about what is declared already.

use crate::remote::RemoteKind;

/// A remote was declared in two ways in one program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// The name already belongs to a remote of another kind.
    #[error(
        "remote {name:?} is declared as a {declared} and used as a {requested}: give one of them another name"
    )]
    Kind {
        /// The remote's name.
        name: &'static str,
        /// The kind it was first declared with.
        declared: RemoteKind,
        /// The kind it was used with now.
        requested: RemoteKind,
    },
    /// The name already belongs to a remote with other types.
    #[error(
        "remote {name:?} is declared with {declared} and used with {requested}: give one of them another name"
    )]
    Types {
        /// The remote's name.
        name: &'static str,
        /// The shape it was first declared with.
        declared: String,
        /// The shape it was used with now.
        requested: String,
    },
    /// There are already 4096 remotes.
    #[error("a server has at most 4096 remotes: send the varying part as an argument")]
    TooMany,
}
