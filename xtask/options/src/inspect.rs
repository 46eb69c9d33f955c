//! `cargo xtask inspect`

use clap::Parser;

/// Show the threads in a browser
///
/// It serves the page of `checkpointer serve` and prints its link, until Ctrl-C. The server is found or
/// started first; the threads are those that the demo, the examples and `checkpointer` leave there.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask inspect", bin_name = "cargo xtask inspect")]
pub struct Args {
    /// The thread whose link is printed [default: the list of threads]
    #[arg(value_name = "THREAD")]
    pub thread: Option<String>,
    /// The address and port to listen on; port 0 is any that is free [default: 127.0.0.1:7788]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Let the page fork, answer questions and set the metadata of threads
    #[arg(long)]
    pub allow_writes: bool,
}
