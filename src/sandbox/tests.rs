//! Promises of the sandbox, over real sockets and on its rules alone.
