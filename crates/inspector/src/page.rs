//! The page: a router that shows the threads of any checkpointer in a browser.

mod about;
mod access;
mod actions;
mod app;
mod asked;
mod assets;
mod changes;
mod channels;
mod checkpoint;
mod compare;
mod conversation;
mod document;
mod facts;
mod filter;
mod forgery;
mod headers;
mod lanes;
mod links;
mod live;
mod login;
mod options;
mod origin;
mod problem;
mod shown;
mod silence;
mod sought;
mod tasks;
mod thread;
mod threads;
mod timeline;
mod tree;
mod turn;
mod weight;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use checkpointer::{Checkpointer, ThreadId};

use app::App;
pub use options::{Options, Token, TokenTooShort};

/// The longest form that a browser may send, in bytes: an answer, or a thread's metadata.
const LONGEST_FORM: usize = 1024 * 1024;

/// Makes the page as a router, to be served alone or nested in a service.
///
/// It only reads, unless [`Options::allow_writes`] is set. It answers under the names of this machine,
/// and under those that [`Options::host`] adds; others are refused, so that no foreign site can reach it
/// by a name of its own. Who may see it is up to the service that nests it, or to [`Options::token`].
///
/// All its links are relative: it works under any path, also behind a proxy that cuts the path off.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use checkpointer::MemoryCheckpointer;
/// use inspector::page::{Options, router};
///
/// let checkpointer = Arc::new(MemoryCheckpointer::new());
/// let options = Options::new().host("agents.example.com");
/// // Behind the login of the service, such as a `route_layer`.
/// let service: Router = Router::new().nest("/inspector", router(checkpointer, options));
/// # let _ = service;
/// ```
pub fn router(checkpointer: Arc<dyn Checkpointer>, options: Options) -> Router {
    let app = Arc::new(App::new(checkpointer, options));
    shown_after_login(&app)
        .merge(login::routes())
        .merge(assets::routes())
        .fallback(problem::no_such_page)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            turn::in_time,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            origin::check,
        ))
        .layer(middleware::from_fn(problem::fit))
        .layer(middleware::map_response(headers::add))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .with_state(app)
}

/// Makes a link that opens the page: the list of threads, or one thread. It is relative to the page's path.
///
/// # Examples
///
/// ```
/// use checkpointer::ThreadId;
/// use inspector::page::link;
///
/// assert_eq!(link(None, None), "threads");
/// let thread_id = ThreadId::new("support 4711")?;
/// assert_eq!(link(Some(&thread_id), None), "thread?id=support%204711");
/// # Ok::<(), checkpointer::Error>(())
/// ```
#[must_use]
pub fn link(thread_id: Option<&ThreadId>, token: Option<&Token>) -> String {
    let token = token.map_or("", Token::as_str);
    match thread_id {
        Some(thread_id) => links::link("thread", &[("id", thread_id.as_str()), ("token", token)]),
        None => links::link("threads", &[("token", token)]),
    }
}

/// The routes that need the token, where there is one.
fn shown_after_login(app: &Arc<App>) -> Router<Arc<App>> {
    let mut routes = Router::new()
        .route("/", get(threads::enter))
        .route("/threads", get(threads::page))
        .route("/thread", get(thread::page))
        .route("/about", get(about::part))
        .route("/size", get(about::size))
        .route("/history", get(thread::history))
        .route("/checkpoint", get(checkpoint::part))
        .route("/value", get(document::value))
        .route("/messages", get(conversation::earlier))
        .route("/compare", get(compare::page))
        .route("/changes", get(live::changes));
    if app.options.allow_writes {
        routes = routes.merge(actions::routes());
    }
    let access = middleware::from_fn_with_state(Arc::clone(app), access::check);
    routes.route_layer(access)
}
