//! The world that the campaign plays in: the real binaries, their broker and databases, and a fault proxy on every
//! link between them.

mod node;

pub use node::Node;
