//! The gateway on a real socket, with stand-ins for the services on others.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod admission;
mod bodies;
mod gateway;
mod headers;
mod overload;
mod own_answers;
mod passing;
mod trouble;
