//! `serve`

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, ThreadId};
use inspector::page::{self, Options, Token};
use tokio::net::TcpListener;

use super::exit::{Failure, Outcome};
use super::output::Output;

/// The variable that has the token. An option would be seen by all users of the machine.
const TOKEN: &str = "CHECKPOINTER_TOKEN";

/// Serve a page that shows the threads in a browser
///
/// It only reads, unless --allow-writes is given. Without other options it can be reached from this
/// machine only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread whose link is printed [default: the list of threads]
    #[arg(value_name = "THREAD", value_parser = |id: &str| ThreadId::new(id))]
    thread: Option<ThreadId>,
    /// The address and port to listen on; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7788", value_parser = listen_on)]
    listen: SocketAddr,
    /// A further name under which browsers reach the page, such as that of a proxy before it
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Ask for a token: that of the variable `CHECKPOINTER_TOKEN`, or a new one, which is printed
    #[arg(long)]
    token: bool,
    /// Ask for no token though other machines reach the page: a proxy before it has a login
    #[arg(long, conflicts_with = "token")]
    behind_login: bool,
    /// Let the page fork, answer questions, pin checkpoints and change the metadata of threads
    #[arg(long)]
    allow_writes: bool,
}

pub(crate) async fn run(
    checkpointer: Arc<dyn Checkpointer>,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let token = args.token()?;
    let options = args.options(token.clone())?;
    let listen = args.listen;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| {
        format!("failed to listen on {listen}; `--listen 127.0.0.1:0` takes a port that is free")
    })?;
    let url = args.url(listener.local_addr()?, token.as_ref());
    if output.is_json() {
        output.json(&json!({ "url": url }))?;
    } else {
        output.line(&url)?;
    }
    output.flush()?;
    let router = page::router(checkpointer, options);
    axum::serve(listener, router)
        .await
        .context("failed to serve")?;
    Ok(Outcome::Done)
}

fn listen_on(address: &str) -> Result<SocketAddr, &'static str> {
    let expected = "expected an IP address and a port, such as 127.0.0.1:7788";
    address.parse().map_err(|_| expected)
}

impl Args {
    /// The token that is asked for. Other machines need one, unless there is a login.
    fn token(&self) -> anyhow::Result<Option<Token>> {
        if !self.token {
            if self.listen.ip().is_loopback() || self.behind_login {
                return Ok(None);
            }
            return Err(Failure::usage(format!(
                "other machines could reach the page at {}: add --token, or --behind-login if a proxy \
                 before it has a login",
                self.listen,
            )));
        }
        match env::var(TOKEN) {
            Ok(token) => Ok(Some(Token::new(token).context(TOKEN)?)),
            Err(_) => Ok(Some(Token::generate())),
        }
    }

    fn options(&self, token: Option<Token>) -> anyhow::Result<Options> {
        let ip = self.listen.ip();
        if ip.is_unspecified() && self.hosts.is_empty() {
            return Err(Failure::usage(
                "say with --host under which name browsers reach the page: it answers under no other",
            ));
        }
        let mut options = Options::new();
        options.token = token;
        options.allow_writes = self.allow_writes;
        options.hosts.push(in_url(ip));
        options.hosts.extend(self.hosts.iter().cloned());
        Ok(options)
    }

    /// The link that is printed.
    fn url(&self, address: SocketAddr, token: Option<&Token>) -> String {
        let host = match self.hosts.first() {
            Some(host) => host.clone(),
            None => in_url(address.ip()),
        };
        let link = page::link(self.thread.as_ref(), token);
        format!("http://{host}:{}/{link}", address.port())
    }
}

/// An address as it stands in a URL.
fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Serve {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &str) -> Args {
        Serve::parse_from(["serve"].into_iter().chain(words.split_whitespace())).args
    }

    fn options(words: &str) -> anyhow::Result<Options> {
        let args = args(words);
        args.options(args.token()?)
    }

    #[test]
    fn by_default_it_only_reads_and_is_for_this_machine() {
        let options = options("").unwrap();
        assert!(args("").listen.ip().is_loopback());
        assert!(!options.allow_writes && options.token.is_none());
        assert!(
            options
                .hosts
                .iter()
                .all(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&&**host))
        );
    }

    #[test]
    fn other_machines_need_a_token_or_a_login() {
        for listen in ["192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80"] {
            let listen = format!("--listen {listen} --host page.example");
            let error = options(&listen).unwrap_err().to_string();
            assert!(error.contains("add --token, or --behind-login"), "{error}");
            assert!(
                options(&format!("{listen} --token"))
                    .unwrap()
                    .token
                    .is_some()
            );
            assert!(
                options(&format!("{listen} --behind-login"))
                    .unwrap()
                    .token
                    .is_none()
            );
        }
        assert!(Serve::try_parse_from(["serve", "--token", "--behind-login"]).is_err());
    }

    #[test]
    fn a_page_on_all_addresses_must_be_told_its_name() {
        let error = options("--listen 0.0.0.0:80 --token")
            .unwrap_err()
            .to_string();
        assert!(error.contains("--host"), "{error}");
    }

    #[test]
    fn the_link_opens_the_thread_under_the_pages_name() {
        let token = Token::new("a token & more than 16").unwrap();
        let url = |words: &str, token| args(words).url("[::1]:7788".parse().unwrap(), token);
        assert_eq!(url("", None), "http://[::1]:7788/threads");
        let with_token =
            "http://page.example:7788/thread?id=t%2F1&token=a%20token%20%26%20more%20than%2016";
        assert_eq!(url("t/1 --host page.example", Some(&token)), with_token);
    }
}
